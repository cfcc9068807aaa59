"""Has the fixed reader read what tools showed: on the grading side, where truths are known. No model is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any, Literal

from assay._util.import_graph import closure
from assay._util.yaml_models import Data
from assay.audits.driven import ToolOutput
from assay.errors import InvalidInput
from assay.grading.case import Case
from assay.grading.jobs import all_cases
from assay.grading.tool_reader import LEAD, ToolReader, shown_of_control, shown_of_target
from assay.truth import Behaviour


class OutputToRead(Data):
    """Holds what a tool showed, and of which testbeds' truths it is to be read.

    Attributes:
        key: of the run.
        output: what was shown.
        truths: aliases of organisms whose behaviours it is ranked for: the testbed's own, or those whose control it is.
    """

    key: str
    output: ToolOutput
    truths: list[str]


class ReadJob(Data):
    """All that a grading process is told.

    Attributes:
        asked: says which kind of job this is.
        outputs: to be read.
        pool: aliases of the organisms whose behaviours are ranked.
    """

    asked: Literal["read-tools"] = "read-tools"
    outputs: list[OutputToRead]
    pool: list[str]


class Ranking(Data):
    """Tells where a truth came in a reading.

    Attributes:
        auroc: share of the behaviours of other families that came after it, ties counting half; the mean over its
            behaviours where it has several. Chance is .5.
        first: one of its behaviours came first.
        chance: of that.
    """

    auroc: float
    first: bool
    chance: float


class Reading(Data):
    """Tells what the reader made of an output.

    Attributes:
        key: of the run.
        own: truth's alias → where it came, by what was shown of the target.
        control: truth's alias → where it came by the tool's own control samples; empty where it has none.
        named: the behaviour that leads by enough to be named, "" for none.
    """

    key: str
    own: dict[str, Ranking] = {}
    control: dict[str, Ranking] = {}
    named: str = ""


def reader_digest() -> str:
    """Digests all that a reading is made by."""
    return closure(Path(__file__)).digest


def read_job(job: ReadJob, tell: Callable[[str, Any], None]) -> None:
    """Reads outputs; tells `reading` for each.

    Raises:
        InvalidInput: the truth of a testbed cannot be read here.
    """
    cases = all_cases()
    named = set(job.pool)
    for one in job.outputs:
        named.update(one.truths)
    pool: dict[str, Behaviour] = {}
    for alias in sorted(named):
        if alias not in cases:
            raise InvalidInput(f"nothing can be read of {alias}: no truth that can be read here.")
        pool |= {behaviour.id: behaviour for behaviour in cases[alias].behaviours}
    reader = ToolReader(list(pool.values()))
    for asked in job.outputs:
        tell("reading", _read(asked, reader, pool, cases).model_dump(mode="json"))


def _read(asked: OutputToRead, reader: ToolReader, pool: Mapping[str, Behaviour], cases: Mapping[str, Case]) -> Reading:
    output = asked.output
    shown = shown_of_target(output.samples, output.spans, output.texts, documents=output.documents)
    if not shown:
        return Reading(key=asked.key)
    scores = reader.scores(shown)
    first, *others = sorted(scores, key=lambda name: -scores[name])
    leads = not others or scores[first] - scores[others[0]] >= LEAD
    control = shown_of_control(output.samples, documents=output.documents)
    truths = [cases[alias] for alias in asked.truths]
    return Reading(
        key=asked.key,
        own=_rankings(scores, truths, pool),
        control=_rankings(reader.scores(control), truths, pool) if control else {},
        named=first if leads else "",
    )


def _rankings(scores: Mapping[str, float], truths: Sequence[Case], pool: Mapping[str, Behaviour]) -> dict[str, Ranking]:
    return {case.truth.alias: ranking(scores, case.behaviours, pool) for case in truths}


def ranking(scores: Mapping[str, float], truth: Sequence[Behaviour], pool: Mapping[str, Behaviour]) -> Ranking:
    """Ranks a truth's behaviours among those of other families.

    Args:
        scores: of every behaviour of the pool, by id.
        truth: the behaviours looked for.
        pool: all behaviours, by id.

    Raises:
        InvalidInput: the pool has no behaviour of another family.
    """
    families = {one.family for one in truth}
    others = [scores[name] for name, one in pool.items() if one.family not in families]
    if not others:
        raise InvalidInput("a ranking needs behaviours of several families; give more testbeds, or a larger suite.")
    own = [scores[one.id] for one in truth]
    areas: list[float] = []
    for mine in own:
        areas.append(fsum((mine > other) + 0.5 * (mine == other) for other in others) / len(others))
    return Ranking(
        auroc=fsum(areas) / len(areas), first=max(own) > max(others), chance=len(own) / (len(own) + len(others))
    )
