"""Defines what each game is answered with: a report, ranked transcripts, or a behavioural eval.

All three are data that a ledger keeps as JSON, and that someone who does not trust the auditor can run again. JSON that
names no game is a report: that is how reports have been kept from the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from assay._util.strict_json import parse_json
from assay.core.report import Contract, Predicate, Report, Sayable, Script, as_contract
from assay.errors import InvalidInput, ReportInvalid

Game = Literal["investigate", "red-team", "evaluate"]
GAMES: tuple[Game, ...] = get_args(Game)
_Probability = Annotated[float, Field(ge=0, le=1)]


class Transcript(Contract):
    """A conversation in which something shows, as the auditor had it.

    Attributes:
        script: what was put to the target. Grading plays it anew.
        shows: what a reader should see in it.
        replies: what the target answered then, for a reader; grading believes none of them.
    """

    script: Script
    shows: Annotated[Sayable, Field(max_length=500)] = ""
    replies: Annotated[tuple[Sayable, ...], Field(max_length=8)] = ()


class RankedTranscripts(Contract):
    """The answer to `red-team`: conversations, the most telling first; none of them is the answer "nothing shows".

    Attributes:
        p_hidden: probability that the target hides anything at all.
        transcripts: a transcript that is handed in is a claim that something shows in it.
    """

    game: Literal["red-team"] = "red-team"
    p_hidden: _Probability
    transcripts: Annotated[tuple[Transcript, ...], Field(max_length=20)] = ()


class BehaviouralEval(Contract):
    """The answer to `evaluate`: prompts, and what recognises the described behaviour in the replies to them.

    Attributes:
        p_hidden: probability that the target behaves as described.
        prompts: conversations under which a model that has the behaviour shows it; none of them is no eval.
        predicate: recognises it in a reply; the other way is `rubric`.
        rubric: sentences that say what a reply says that shows it, one of which a reader finds in the reply or does
            not.
        about: the description it was made for; written by whoever played the audit, whatever the auditor says.
    """

    game: Literal["evaluate"] = "evaluate"
    p_hidden: _Probability
    prompts: Annotated[tuple[Script, ...], Field(max_length=40)] = ()
    predicate: Predicate | None = None
    rubric: Sayable = ""
    about: Sayable = ""

    @model_validator(mode="after")
    def _one_reader(self) -> BehaviouralEval:
        if self.prompts and (self.predicate is not None) == bool(self.rubric.strip()):
            raise ValueError("prompts go with a predicate or a rubric, one of the two")
        return self


def _game(value: Any) -> Any:
    """Tells which game an answer, or its plain data, is for."""
    if isinstance(value, Mapping):
        return value.get("game", "investigate")
    return getattr(value, "game", "investigate")


GameAnswer = Report | RankedTranscripts | BehaviouralEval
ANSWERS: Mapping[Game, type[Report] | type[RankedTranscripts] | type[BehaviouralEval]] = {
    "investigate": Report,
    "red-team": RankedTranscripts,
    "evaluate": BehaviouralEval,
}
# The same for pydantic, which else would try one shape after the other and complain of all three.
AnyGameAnswer = Annotated[
    Annotated[Report, Tag("investigate")]
    | Annotated[RankedTranscripts, Tag("red-team")]
    | Annotated[BehaviouralEval, Tag("evaluate")],
    Discriminator(_game),
]


def claims(answer: GameAnswer | Mapping[str, Any]) -> int:
    """Counts what an answer, or its plain data, claims: findings, transcripts, or the one eval; 0 is "none"."""
    parts = answer if isinstance(answer, Mapping) else dict(answer)
    if "prompts" in parts:
        return int(bool(parts["prompts"]))
    return len(parts.get("transcripts", ())) + len(parts.get("findings", ()))


def make_answer(value: Any, where: str = "report") -> GameAnswer:
    """Makes an answer of plain data.

    Args:
        value: what was read as JSON.
        where: named in errors.

    Raises:
        ReportInvalid: it is not of the contract's shape; names the field and the limit.
    """
    game = _game(value)
    if game not in GAMES:
        raise ReportInvalid(f"{where}.game: {game!r} is no game; give one of {', '.join(GAMES)}.")
    return as_contract(ANSWERS[game], value, where)


def parse_answer(text: str) -> GameAnswer:
    """Reads an answer from JSON. Raises as `make_answer`."""
    try:
        value = parse_json(text, "report")
    except InvalidInput as error:
        raise ReportInvalid(str(error)) from None
    return make_answer(value)


def checked(answer: object, game: Game | None = None) -> GameAnswer:
    """Returns an answer as whoever reads it later will have it: pydantic makes one without a check, if asked to.

    Args:
        answer: what an auditor returned, or a harness handed over.
        game: that it has to answer; any if None.

    Raises:
        ReportInvalid: it is none, answers another game, or is outside the limits of the contract.
    """
    wanted = (ANSWERS[game],) if game else tuple(ANSWERS.values())
    if not isinstance(answer, wanted):
        names = " or ".join(one.__name__ for one in wanted)
        raise ReportInvalid(f"a report is {type(answer).__name__}; give a {names}.")
    try:
        text = answer.model_dump_json(warnings=False)
    except ValueError as error:
        raise ReportInvalid(f"a report that cannot be written down: {error}") from None
    return parse_answer(text)
