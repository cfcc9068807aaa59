"""Asks one judge one question: retried where the answer is malformed or none came, kept, counted, and never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from assay._util.hashing import digest_of
from assay._util.storable import storable
from assay._util.text_files import shortened
from assay._util.yaml_models import Data
from assay.core.target import Cost, Message, Reply
from assay.engine.cache import ReplyCache
from assay.errors import AssayError, InvalidInput
from assay.grading.judge.quoting import quoted
from assay.grading.judge.rubric import Rubric
from assay.grading.judge.verdicts import read_verdict

TRIES = 3  # of one question
QUESTIONS = 8  # questions to one judge
TOKENS = 4_000  # of an answer; a thinking model's thoughts are among them
_SHOWN = 2_000  # characters of a malformed answer that the judge is shown again
_Form = TypeVar("_Form", bound=Data)


class _Answered(Protocol):
    """What a model said: `assay.engine.remote.asked.ModelAnswer`."""

    @property
    def text(self) -> str: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def broken_off(self) -> str: ...


class AskableModel(Protocol):
    """A model that can be a judge."""

    name: str

    async def ask(self, turns: Sequence[Message], form: type[BaseModel], *, max_tokens: int, seed: int) -> _Answered:
        """Asks for one reply at temperature 0; raises an `AssayError` where none comes."""
        ...


@dataclass(frozen=True, slots=True)
class Opinion(Generic[_Form]):
    """What one judge said to one question.

    Attributes:
        judge: name of the model.
        verdict: None if the judge failed.
        failed: why it did; "" if it did not.
        cost: of all tries; nothing where the answer was kept from earlier.
    """

    judge: str
    verdict: _Form | None
    failed: str = ""
    cost: Cost = field(default_factory=Cost)


def _nothing(_: object) -> str:
    return ""


class Judge:
    """A model with a store of what it said before. To be used within one event loop.

    Args:
        model: that is asked.
        kept: the grader's own store, which nothing that audits writes to.
    """

    def __init__(self, model: AskableModel, kept: ReplyCache) -> None:
        self._model, self._kept = model, kept
        self._turns = asyncio.Semaphore(QUESTIONS)
        self._asking: dict[str, asyncio.Lock] = {}  # reports that say the same wait for one answer

    @property
    def name(self) -> str:
        """Returns the name of the model."""
        return self._model.name

    async def opinion(
        self, rubric: Rubric, blocks: Mapping[str, Any], form: type[_Form], wrong: Callable[[_Form], str] = _nothing
    ) -> Opinion[_Form]:
        """Asks a question.

        Args:
            rubric: the instruction.
            blocks: data that is judged, quoted.
            form: of the answer.
            wrong: says what is wrong with an answer of that form, "" if nothing is.
        """

        def read(text: str) -> _Form:
            verdict = read_verdict(text, form)
            if told := wrong(verdict):
                raise InvalidInput(told)
            return verdict

        turns = [Message("system", rubric.text), Message("user", quoted(blocks))]
        key = digest_of(["judge", self.name, TOKENS, [turn.content for turn in turns], form.model_json_schema()])
        async with self._asking.setdefault(key, asyncio.Lock()):
            if (kept := self._kept.get(key)) is not None:
                with suppress(InvalidInput):  # whatever lies there in its place
                    return Opinion(self.name, read(kept.text))
            async with self._turns:
                return await self._asked(turns, form, read, key)

    async def _asked(
        self, turns: list[Message], form: type[_Form], read: Callable[[str], _Form], key: str
    ) -> Opinion[_Form]:
        spent = Cost()
        failed = ""
        for attempt in range(TRIES):
            try:
                answer = await self._model.ask(turns, form, max_tokens=TOKENS, seed=attempt)
            except AssayError as error:
                failed = storable(str(error))
                continue
            spent += answer.cost
            text = storable(answer.text)
            try:
                verdict = read(text)
            except InvalidInput as error:
                ended = f" (ended by the provider: {answer.broken_off})" if answer.broken_off else ""
                failed = f"malformed{ended}: {error} It said: {shortened(text)}"
                if text.strip():  # an empty turn is taken by no provider
                    turns = [*turns[:2], Message("assistant", text[:_SHOWN]), _mended(str(error))]
                continue
            self._kept.put(key, Reply(text, answer.cost.output_tokens))
            return Opinion(self.name, verdict, cost=spent)
        return Opinion(self.name, None, failed, spent)


def _mended(wrong: str) -> Message:
    return Message("user", f"That is no answer of the form asked for. {wrong} Answer with the one JSON object alone.")
