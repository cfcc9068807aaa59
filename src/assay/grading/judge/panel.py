"""Joins judges to a panel: more than half of them decide, so that of two both must accept.

A judge that failed has no vote, and its seat stays. Where the others cannot settle a question without it, the question
is undecided, and whatever depends on it is no grade.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import fsum
from typing import Any

from assay.core.report import Demonstration
from assay.core.target import Cost
from assay.engine.cache import ReplyCache, grading_replies
from assay.errors import InvalidInput
from assay.grading.judge.ask import Judge, Opinion
from assay.grading.judge.rubric import CLAIM, FORETELL, REPLY, rubric
from assay.grading.judge.verdicts import ClaimVerdict, ExpectedConduct, RepliesVerdict


def decided(votes: Sequence[bool | None]) -> bool | None:
    """Counts a panel's votes: True where more than half of all seats accept, None while failed ones could turn it."""
    seats, yes, no = len(votes), votes.count(True), votes.count(False)
    if 2 * yes > seats:
        return True
    return False if 2 * no >= seats else None


@dataclass(frozen=True, slots=True)
class ReadClaim:
    """What a panel says of one finding beside one text.

    Attributes:
        opinions: of each judge, in the panel's order.
    """

    opinions: tuple[Opinion[ClaimVerdict], ...]

    @property
    def accepted(self) -> bool | None:
        """Tells whether the panel accepts it; None where it is undecided."""
        return decided([one.verdict.verdict == "true" if one.verdict else None for one in self.opinions])

    @property
    def split(self) -> bool:
        """Tells whether judges that answered differ in whether they accept it."""
        return len({one.verdict.verdict == "true" for one in self.opinions if one.verdict}) > 1

    @property
    def failures(self) -> list[str]:
        """Lists why judges failed, where that leaves it undecided."""
        return _failures(self.opinions) if self.accepted is None else []

    @property
    def cost(self) -> Cost:
        """Returns what all of them cost."""
        return _cost(self.opinions)

    def as_data(self) -> dict[str, Any]:
        """Returns it as plain data: each judge's name with its verdict and reason, or why it failed."""
        said: list[dict[str, str]] = []
        for one in self.opinions:
            if one.verdict is None:
                said.append({"judge": one.judge, "failed": one.failed})
            else:
                said.append({"judge": one.judge, "verdict": one.verdict.verdict, "reason": one.verdict.reason})
        return {"accepted": self.accepted, "opinions": said}


@dataclass(frozen=True, slots=True)
class SeenReplies:
    """In which of some replies a panel sees a conduct.

    Attributes:
        shows: of each reply; None where that is undecided.
        reasons: judge → what it said, or why it failed.
        failures: why judges failed, where that leaves a reply undecided.
        cost: of all judges.
    """

    shows: tuple[bool | None, ...]
    reasons: dict[str, str]
    failures: tuple[str, ...]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Expectations:
    """Tells on which prompts a panel expects a finding's conduct.

    Attributes:
        scores: of each prompt, the judges' mean from 0 to 10; () where a judge failed, without whom nothing is decided.
        failures: why judges failed.
        cost: of all judges.
    """

    scores: tuple[float, ...]
    failures: tuple[str, ...]
    cost: Cost


class Panel:
    """Some judges, asked the same.

    Args:
        judges: at least one, each another model.
    """

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = tuple(judges)

    @property
    def names(self) -> list[str]:
        """Returns the models' names, in the panel's order."""
        return [judge.name for judge in self._judges]

    async def read(self, claim: str, trigger: str, text: str) -> ReadClaim:
        """Asks each judge whether a finding tells what a truth's text says."""
        blocks = {"truth": text, "finding": {"claim": claim, "trigger": trigger}}
        asked = (judge.opinion(rubric(CLAIM), blocks, ClaimVerdict) for judge in self._judges)
        return ReadClaim(tuple(await asyncio.gather(*asked)))

    async def look(self, text: str, script: Demonstration, replies: Sequence[str]) -> SeenReplies:
        """Asks each judge in which replies to a conversation it sees a conduct.

        Args:
            text: that tells of the conduct.
            script: the conversation.
            replies: in an order that does not tell whose they are.
        """
        numbered = {str(number): reply for number, reply in enumerate(replies, start=1)}
        said = script.model_dump(mode="json", exclude_defaults=True)
        blocks = {"conduct": text, "conversation": said, "replies": numbered}

        def wrong(verdict: RepliesVerdict) -> str:
            outside = sorted(set(verdict.shows) - set(range(1, len(replies) + 1)))
            return f"shows: there are replies 1 to {len(replies)}, and no {outside[0]}." if outside else ""

        asked = (judge.opinion(rubric(REPLY), blocks, RepliesVerdict, wrong) for judge in self._judges)
        opinions = await asyncio.gather(*asked)
        shows: list[bool | None] = []
        for number in range(1, len(replies) + 1):
            shows.append(decided([number in one.verdict.shows if one.verdict else None for one in opinions]))
        reasons = {one.judge: one.verdict.reason if one.verdict else f"failed: {one.failed}" for one in opinions}
        failures = tuple(_failures(opinions)) if None in shows else ()
        return SeenReplies(tuple(shows), reasons, failures, _cost(opinions))

    async def expect(self, finding: Mapping[str, Any], prompts: Sequence[str]) -> Expectations:
        """Asks each judge on which prompts a finding's conduct is to be expected, if the finding is believed.

        Args:
            finding: as the judge is told it.
            prompts: in an order that does not tell which have the trigger.
        """
        numbered = {str(number): prompt for number, prompt in enumerate(prompts, start=1)}

        def wrong(verdict: ExpectedConduct) -> str:
            given = len(verdict.expected)
            return f"expected: there are {len(prompts)} prompts, and {given} numbers." if given != len(prompts) else ""

        blocks = {"finding": finding, "prompts": numbered}
        asked = (judge.opinion(rubric(FORETELL), blocks, ExpectedConduct, wrong) for judge in self._judges)
        opinions = await asyncio.gather(*asked)
        failures = tuple(_failures(opinions))
        scores: tuple[float, ...] = ()
        if not failures:
            said = [one.verdict.expected for one in opinions if one.verdict]
            scores = tuple(fsum(each) / len(said) for each in zip(*said, strict=True))
        return Expectations(scores, failures, _cost(opinions))


def _failures(opinions: Iterable[Opinion[Any]]) -> list[str]:
    return [f"{one.judge}: {one.failed}" for one in opinions if one.verdict is None]


def _cost(opinions: Iterable[Opinion[Any]]) -> Cost:
    return sum((one.cost for one in opinions), Cost())


def require_panel(names: Sequence[str]) -> None:
    """Refuses a panel in which a model sits twice.

    Raises:
        InvalidInput: it does, or nobody sits there.
    """
    if not names or len(set(names)) < len(names):
        raise InvalidInput(
            f"judges {', '.join(names) or '(none)'}: name each model once. A second one should be of another family: "
            f"--judge openai/gpt-4o --judge anthropic/claude-sonnet-4-5."
        )


@asynccontextmanager
async def open_panel(names: Sequence[str]) -> AsyncIterator[Panel]:
    """Opens a panel of models by the names that Inspect knows them by.

    Raises:
        InvalidInput: a model that Inspect cannot make, or one that is named twice.
    """
    from assay.engine.remote.asked import open_asked

    require_panel(names)
    kept = ReplyCache(grading_replies())
    try:
        async with AsyncExitStack() as stack:
            models = [await stack.enter_async_context(open_asked(name)) for name in names]
            yield Panel([Judge(model, kept) for model in models])
    finally:
        kept.close()
