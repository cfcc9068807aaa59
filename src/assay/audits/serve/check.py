"""Tries an answer before it counts: what is wrong with its form, and what it says of the replies that were seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay._util.strict_json import parse_json
from assay.audits.serve.messages import Entry
from assay.audits.transcripts import shown_calls
from assay.core.answer import ANSWERS, BehaviouralEval, Game, GameAnswer, RankedTranscripts
from assay.core.report import Demonstration, Predicate, Report, as_contract
from assay.core.report_problems import report_problems, untried
from assay.core.tool import BoundTool, Sample
from assay.errors import AssayError

_SHOWN, _WIDTH = 3, 200  # matching replies that are told; characters of each
_PARTS = {"system": "a system prompt", "prefill": "a prefill", "turns": "several turns"}  # parameter → what it takes
_ASKS = frozenset({"prompt", "prompts", "turns"})  # parameters of a tool that puts something to the model
_Test = Callable[[str], bool]


def read_answer(game: Game, given: object) -> tuple[GameAnswer | None, list[str]]:
    """Reads what an agent gave as its report: an object, or JSON text of one.

    Returns:
        The answer, None if it cannot be read, and what is wrong with it.
    """
    problems = report_problems(given, game)
    try:
        value = parse_json(given, "report") if isinstance(given, str) else given
        return as_contract(ANSWERS[game], value, "report"), problems
    except AssayError as error:
        return None, problems or [str(error)]


@dataclass(frozen=True, slots=True)
class Seen:
    """What an agent has seen of a target, and what it could ask.

    Attributes:
        replies: of the target.
        compared: of what tools compared it with.
        documents: texts of training data, each once.
        ways: for each tool that asks, which parts of a script it takes.
    """

    replies: Sequence[Sample]
    compared: Sequence[Sample]
    documents: Sequence[str]
    ways: Sequence[frozenset[str]]

    @classmethod
    def of(cls, entries: Iterable[Entry], tools: Iterable[BoundTool]) -> Seen:
        """Gathers it from the calls of an audit."""
        replies: list[Sample] = []
        compared: list[Sample] = []
        documents: dict[str, None] = {}
        for entry in entries:
            for call in shown_calls(entry.calls):
                if call.documents:
                    documents |= dict.fromkeys(sample.reply for sample in call.samples)
                    continue
                for sample in call.samples:
                    (compared if sample.control else replies).append(sample)
        taken = [frozenset(parameter.name for parameter in tool.parameters) for tool in tools]
        return cls(replies, compared, list(documents), [names & _PARTS.keys() for names in taken if names & _ASKS])

    def to(self, script: Demonstration) -> list[Sample]:
        """Returns the replies to just this script; the model's own turns within it are not looked at."""
        if script.earlier:
            return []
        return [sample for sample in self.replies if _said(sample) == _said(script)]

    def unaskable(self, script: Demonstration) -> str:
        """Tells why no tool of this target can put a script to it, "" where one can."""
        if script.earlier:
            return "no tool takes earlier conversations"
        given = {"system": script.system, "prefill": script.prefill, "turns": script.user[1:]}
        needed = {part for part, value in given.items() if value}
        if any(needed <= way for way in self.ways):
            return ""
        return "no tool of this target takes " + (" with ".join(_PARTS[part] for part in sorted(needed)) or "a prompt")


def _said(script: Demonstration | Sample) -> tuple[str, ...]:
    return tuple(" ".join(text.split()) for text in (script.system, script.prefill, *script.user))


def tried(answer: GameAnswer, seen: Seen) -> list[dict[str, Any]]:
    """Holds an answer against what the agent has seen: no truth, and no query.

    Args:
        answer: of any game.
        seen: so far.

    Returns:
        One for each finding or transcript, or for the eval.
    """
    if isinstance(answer, RankedTranscripts):
        scripts = [transcript.script for transcript in answer.transcripts]
        return [{"transcript": place, **one} for place, one in enumerate(_by_script(scripts, seen, None), start=1)]
    if isinstance(answer, BehaviouralEval):
        return [_predicate_tried(answer.predicate, seen, prompts=answer.prompts)] if answer.prompts else []
    return [{"finding": place, **one} for place, one in enumerate(_findings_tried(answer, seen), start=1)]


def _findings_tried(report: Report, seen: Seen) -> list[dict[str, Any]]:
    return [
        _predicate_tried(
            finding.predicate,
            seen,
            demonstrations=finding.demonstrations,
            will_show=finding.will_show,
            will_not_show=finding.will_not_show,
        )
        for finding in report.findings
    ]


def _predicate_tried(predicate: Predicate | None, seen: Seen, **scripts: Sequence[Demonstration]) -> dict[str, Any]:
    """_Test a predicate against all that was seen, and against the replies to each script of some lists."""
    told: dict[str, Any] = {}
    refused = untried(predicate) if predicate else "none given"
    matches = _once(predicate.matches) if predicate and not refused else None
    if matches is None:
        told["predicate"] = refused
    else:
        found = [sample.reply for sample in seen.replies if matches(sample.reply)]
        told |= {"matches": len(found), "of_replies": len(seen.replies)}
        if seen.documents:
            told |= {"matches_documents": sum(map(matches, seen.documents)), "of_documents": len(seen.documents)}
        if seen.compared:
            told["matches_compared"] = sum(matches(sample.reply) for sample in seen.compared)
            told["of_replies_compared"] = len(seen.compared)
        told["matching"] = [" ".join(reply.split())[:_WIDTH] for reply in list(dict.fromkeys(found))[:_SHOWN]]
    return told | {name: _by_script(listed, seen, matches) for name, listed in scripts.items() if listed}


def _by_script(scripts: Sequence[Demonstration], seen: Seen, matches: _Test | None) -> list[dict[str, Any]]:
    """Tells of each script how often it was put to the target, and in how many of the replies a predicate matches."""
    told: list[dict[str, Any]] = []
    for script in scripts:
        own = seen.to(script)
        one: dict[str, Any] = {"replies": len(own)}
        if own and matches:
            one["matches"] = sum(matches(sample.reply) for sample in own)
        if not own and (why := seen.unaskable(script)):
            one["why"] = why
        told.append(one)
    return told


def _once(matches: _Test) -> _Test:
    """Makes the same test, which looks at each text once: a pattern may take a tenth of a second on it."""
    known: dict[str, bool] = {}

    def test(text: str) -> bool:
        if text not in known:
            known[text] = matches(text)
        return known[text]

    return test


def tried_as_text(tries: Sequence[Mapping[str, Any]]) -> str:
    """Writes it to be read."""
    lines: list[str] = []
    for one in tries:
        if "transcript" in one:
            lines.append(f"transcript {one['transcript']}: {_script_line(one)}")
            continue
        name = f"finding {one['finding']}" if "finding" in one else "the eval"
        lines.append(f"{name}: {_matches_line(one)}")
        for listed in ("demonstrations", "prompts", "will_show", "will_not_show"):
            if listed in one:
                parts = [f"{number}: {_script_line(script)}" for number, script in enumerate(one[listed], start=1)]
                lines.append(f"  {listed}: {' · '.join(parts)}")
        lines += [f"  {reply}" for reply in one.get("matching", ())]
    return "\n".join(lines) or "the report claims nothing"


def _matches_line(one: Mapping[str, Any]) -> str:
    if "matches" not in one:
        return f"predicate: {one['predicate']}"
    line = f"its predicate matches {one['matches']} of {one['of_replies']} replies seen"
    if "matches_compared" in one:
        line += f", and {one['matches_compared']} of {one['of_replies_compared']} of what they were compared with"
    if "matches_documents" in one:
        line += f"; of {one['of_documents']} documents {one['matches_documents']}"
    return line


def _script_line(one: Mapping[str, Any]) -> str:
    if not one["replies"]:
        return "not asked here" + (f", and {one['why']}" if "why" in one else "")
    return f"{one['matches']} of {one['replies']}" if "matches" in one else f"asked here, {one['replies']}×"
