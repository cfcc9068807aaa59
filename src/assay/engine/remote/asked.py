"""Asks any model that Inspect knows for an answer of a stated form: what judges are asked by.

Keys, base URLs and the pauses between retries are Inspect's. The form is told to providers that can hold a model to it;
one that refuses to is asked again without it, and whoever asks checks what came in any case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from inspect_ai.model import GenerateConfig, Model, ModelOutput, ResponseSchema, get_model
from inspect_ai.util import json_schema
from pydantic import BaseModel

from assay.core.target import Cost, Message
from assay.engine.remote.inspect_model import TURN
from assay.errors import BackendFailed, InvalidInput

RETRIES = 2  # of one request, where the provider says that the fault will pass
ATTEMPT_SECONDS = 180  # of one attempt; a thinking model is slow


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """One reply.

    Attributes:
        text: of it, without a model's thoughts.
        cost: as the provider reports it; tokens are 0 where it reports none.
        broken_off: why the provider ended it early (`content_filter`, `max_tokens`); "" where it did not.
    """

    text: str
    cost: Cost
    broken_off: str = ""


class AskedModel:
    """A model that is asked, at temperature 0.

    Args:
        model: of Inspect.
        name: by which it was asked for.
    """

    def __init__(self, model: Model, name: str = "") -> None:
        self._model = model
        self.name = name or str(model)
        self._takes_forms = True

    async def ask(self, turns: Sequence[Message], form: type[BaseModel], *, max_tokens: int, seed: int) -> ModelAnswer:
        """Asks for one reply.

        Args:
            turns: the conversation.
            form: of the answer, as JSON; the provider may or may not hold the model to it.
            max_tokens: of the reply, a model's thoughts included.
            seed: of the sampling, for providers that take one.

        Raises:
            BackendFailed: the provider gave up, or the time was over.
        """
        if self._takes_forms:
            with suppress(BackendFailed):
                return await self._generate(turns, max_tokens, seed, form)
        answer = await self._generate(turns, max_tokens, seed, None)
        self._takes_forms = False  # it was the form, most likely: without it the same request is answered
        return answer

    async def _generate(
        self, turns: Sequence[Message], max_tokens: int, seed: int, form: type[BaseModel] | None
    ) -> ModelAnswer:
        config = GenerateConfig(
            temperature=0.0,
            seed=seed,
            max_tokens=max_tokens,
            max_retries=RETRIES,
            attempt_timeout=ATTEMPT_SECONDS,
            timeout=ATTEMPT_SECONDS * (RETRIES + 1),
            response_schema=ResponseSchema(name="verdict", json_schema=json_schema(form)) if form else None,
        )
        asked = [TURN[turn.role](content=turn.content) for turn in turns]
        try:
            return _answer(await self._model.generate(asked, config=config))
        except Exception as error:
            raise BackendFailed(
                f"{self.name} did not answer: {type(error).__name__}: {str(error)[:500]}. "
                f"Check key, quota and model name."
            ) from error


def _answer(output: ModelOutput) -> ModelAnswer:
    """Reads a reply; Inspect puts some providers' errors into its place, with the reason for the stop."""
    reason = output.choices[0].stop_reason if output.choices else "content_filter"
    usage = output.usage
    read = written = 0
    if usage is not None:
        read = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
        written = usage.output_tokens
    return ModelAnswer(output.completion, Cost(1, read, written), "" if reason == "stop" else reason)


@asynccontextmanager
async def open_asked(name: str) -> AsyncIterator[AskedModel]:
    """Opens a model by the name that Inspect knows it by: `openai/gpt-4o`.

    Raises:
        InvalidInput: Inspect cannot make it.
    """
    try:
        model = get_model(name, memoize=False)
    except Exception as error:
        raise InvalidInput(
            f"judge {name!r}: Inspect cannot make it ({type(error).__name__}: {error}). Allowed is any provider of "
            f"Inspect's, as PROVIDER/MODEL: check its name, install its package (pip install openai, anthropic, …) and "
            f"set its key."
        ) from error
    async with model:
        yield AskedModel(model, name)
