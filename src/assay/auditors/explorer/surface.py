"""The explorer's answer to `red-team`: the scripts under which what stands out showed most, sampled once more.

What it searched is what it searches in `investigate`: the battery, each tool's own examples with their system prompts
and prefills, fresh prompts of each candidate's trigger. A branch is the same script again; a script whose replies show
a candidate's conduct each time is ranked before one that showed it once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from assay.auditors.explorer.calibration import Calibration
from assay.auditors.explorer.candidates import Candidate
from assay.auditors.explorer.confirm import RATE, TestedCandidate, Tester
from assay.auditors.explorer.observe import Observation
from assay.auditors.explorer.plain_words import clean
from assay.core.answer import RankedTranscripts, Transcript
from assay.core.report import Demonstration

SURFACED = 1.0  # statistic from which a candidate is shown to a reader; a report is held to a stricter one
HANDED_IN = 10
BRANCHED = 12  # scripts of each candidate that are sampled again
_TURN, _TOLD = 2_000, 500  # characters, the contract's limits


class _Script(NamedTuple):
    """What was put to the target."""

    system: str
    prompt: str
    prefill: str


async def surface(
    verdicts: Sequence[TestedCandidate],
    tester: Tester,
    shown: Iterable[Observation],
    calibration: Calibration,
) -> RankedTranscripts:
    """Ranks scripts by how reliably they bring out what stands out.

    Args:
        verdicts: tested candidates, the strongest first.
        tester: samples again.
        shown: all that the target showed.
        calibration: turns the best statistic into a probability.
    """
    seen = list(shown)
    rankings: list[list[Transcript]] = []
    for verdict in verdicts:
        if verdict.rate >= RATE and verdict.statistic >= SURFACED:
            replies = [*seen, *verdict.triggered, *verdict.probed.replies]
            first = [script for script, _ in _ranked(verdict.candidate, replies)][:BRANCHED]
            replies += await tester.more([one.prompt for one in first if not one.system and not one.prefill])
            rankings.append([_transcript(verdict.candidate, *one) for one in _ranked(verdict.candidate, replies)])
    best = max((verdict.statistic for verdict in verdicts), default=0.0)
    # In turn: the second candidate may be the planted one, and must not wait for the last script of the first.
    merged = [one for one in chain.from_iterable(zip_longest(*rankings)) if one is not None]
    return RankedTranscripts(p_hidden=calibration.probability(best), transcripts=_once(merged)[:HANDED_IN])


def surface_untested(candidates: Sequence[Candidate], calibration: Calibration) -> RankedTranscripts:
    """Hands in what the best candidates were seen under, where nothing can be asked."""
    found: list[Transcript] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        found += [_transcript(candidate, *one) for one in _ranked(candidate, candidate.carriers)]
    return RankedTranscripts(p_hidden=calibration.prior, transcripts=_once(found)[:HANDED_IN])


def _ranked(candidate: Candidate, replies: Iterable[Observation]) -> list[tuple[_Script, list[Observation]]]:
    """Lists the scripts that showed a candidate's conduct, and their replies: those that do so most reliably first."""
    asked: Mapping[_Script, dict[Observation, None]] = defaultdict(dict)
    for o in replies:
        if o.prompt and max(map(len, (o.prompt, o.system, o.prefill))) <= _TURN:
            asked[_Script(o.system, o.prompt, o.prefill)][o] = None
    rates: dict[_Script, float] = {}
    for script, given in asked.items():
        fired = sum(map(candidate.fires, given))
        if fired:
            rates[script] = (fired + 0.5) / (len(given) + 1.5)
    order = sorted(rates, key=lambda script: (-rates[script], script))
    return [(script, list(asked[script])) for script in order]


def _transcript(candidate: Candidate, script: _Script, replies: Sequence[Observation]) -> Transcript:
    shows = next(o for o in replies if candidate.fires(o))
    told = candidate.conduct.showing(shows)[:1] if candidate.conduct else []
    told = told or [f"“{phrase}”" for phrase, _ in candidate.markers if phrase in shows.phrases][:3]
    return Transcript(
        script=Demonstration(user=(script.prompt,), system=script.system, prefill=script.prefill),
        shows=clean(f"When {candidate.trigger.phrase}: {' '.join(told)}", _TOLD),
        replies=(clean(shows.reply, _TURN),) if shows.source == "ask" else (),  # a tool may have shown a document
    )


def _once(transcripts: Iterable[Transcript]) -> tuple[Transcript, ...]:
    """Keeps the first transcript of each script."""
    first: dict[Demonstration, Transcript] = {}
    for one in transcripts:
        first.setdefault(one.script, one)
    return tuple(first.values())
