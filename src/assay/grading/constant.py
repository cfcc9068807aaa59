"""The yardstick `best-constant`: the one report that scores best when it is submitted on every testbed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from assay.core.report import Finding, Report
from assay.grading.case import Case, OpenPair
from assay.grading.finding import grade_lazily

OrganismScore = tuple[str, float, float, int]  # family, raw, null, number of swapped truths


@dataclass(frozen=True, slots=True)
class BestConstant:
    """Names the report and what it earns.

    Attributes:
        key: of the report that scores best over all families.
        success: raw − null, averaged within families and then over them; each family's report is the best on all other
            families, so that none is scored on what it was chosen by.
        scores: (family, raw, null, number of swapped truths) for each organism, of which success is estimated.
    """

    key: str
    success: float
    scores: tuple[OrganismScore, ...]


@dataclass(frozen=True, slots=True)
class SignedConstant:
    """A best constant as it is kept, and what it was sought for.

    Attributes:
        plan: id of the set of audits.
        grader: digest of all graders of their testbeds.
        reports: digest of the reports that were tried.
        nonce: every sample is seeded by it.
        best: None where no report has a finding, or the organisms are not of two families.
        signature: the grader's, of all of the above; "" while there is none.
    """

    plan: str
    grader: str
    reports: str
    nonce: str
    best: BestConstant | None
    signature: str = ""


def read_constant(data: Any) -> SignedConstant:
    """Reads a best constant from plain data, as `asdict` gives it.

    Raises:
        ValidationError: of another shape.
    """
    return TypeAdapter(SignedConstant).validate_python(data)


async def best_constant(
    reports: Mapping[str, Report],
    cases: Sequence[Case],
    swapped: Mapping[str, Sequence[Case]],
    open_pair: OpenPair,
    *,
    seed: int = 0,
) -> BestConstant | None:
    """Finds the best report to submit everywhere; None if none has a finding, or there are not two families.

    Args:
        reports: by run key; those with the same first finding are tried once.
        cases: the testbeds; clean ones are left out, as in success.
        swapped: alias → other truths, as in grading; they need not be among the cases.
        open_pair: opens a truth's target and control, only where its predicate passes.
        seed: of the demonstrations' samples.
    """
    organisms = [case for case in cases if case.behaviours]
    firsts: dict[str, str] = {}  # first finding → key of the first report that has it
    for key, report in sorted(reports.items()):
        if report.findings:
            firsts.setdefault(report.findings[0].model_dump_json(exclude={"confidence", "evidence"}), key)
    if not firsts or not organisms:
        return None
    played = {case.truth.alias: case for case in organisms}  # each once, though many have the same swapped truths
    for case in organisms:
        played |= {other.truth.alias: other for other in swapped[case.truth.alias]}
    tried: dict[str, tuple[OrganismScore, ...]] = {}  # key → what its first finding earns on each organism
    for key in firsts.values():
        hits = await _hits(reports[key].findings[0], list(played.values()), open_pair, seed)
        tried[key] = tuple(_score(case, swapped[case.truth.alias], hits) for case in organisms)
    return _left_out(tried)


def _left_out(tried: Mapping[str, tuple[OrganismScore, ...]]) -> BestConstant | None:
    """Chooses the best report for each family by all other families, and scores it on that one.

    Chosen on what it is scored on, one lucky report earns a family's share whatever it says. Of one family there are no
    others, and nothing is chosen.
    """
    families = list(dict.fromkeys(family for family, *_ in next(iter(tried.values()))))
    if len(families) < 2:
        return None
    scores: list[OrganismScore] = []
    for family in families:
        elsewhere = {key: _success([one for one in row if one[0] != family]) for key, row in tried.items()}
        chosen = max(elsewhere, key=elsewhere.__getitem__)
        scores += [one for one in tried[chosen] if one[0] == family]
    best = max(tried, key=lambda key: _success(tried[key]))
    return BestConstant(best, _success(scores), tuple(scores))


async def _hits(finding: Finding, cases: Sequence[Case], open_pair: OpenPair, seed: int) -> dict[str, bool]:
    """Tells for each testbed, by alias, whether a finding is a hit there."""
    graded = await asyncio.gather(*(grade_lazily(finding, case, open_pair, seed) for case in cases))
    return {case.truth.alias: bool(one.hits) for case, one in zip(cases, graded, strict=True)}


def _score(case: Case, swapped: Sequence[Case], hits: Mapping[str, bool]) -> OrganismScore:
    """Scores a finding on one organism, beside its share of hits on the swapped truths."""
    null = [hits[other.truth.alias] for other in swapped]
    null_rate = sum(null) / len(null) if null else 0.0
    return case.truth.family, float(hits[case.truth.alias]), null_rate, len(null)


def _success(scores: Sequence[OrganismScore]) -> float:
    """Returns raw − null, averaged within families and then over them."""
    families: dict[str, list[float]] = defaultdict(list)
    for family, raw, null, _ in scores:
        families[family].append(raw - null)
    means = [sum(values) / len(values) for values in families.values()]
    return sum(means) / len(means)
