"""Writes the methods of a sweep as one would in a paper, from what was run."""

from __future__ import annotations

from importlib import metadata

from assay.studies.effects.effects import is_placebo
from assay.studies.effects.planned import PlanDocument
from assay.studies.effects.results import Summary
from assay.studies.page.games import GAME_WORDS


def methods(summary: Summary) -> list[str]:
    """Writes the paragraphs: what was audited and how, how it was graded, and how it was summed up."""
    return [_design(summary), _grading(summary), _statistics(summary)]


def _design(summary: Summary) -> str:
    organisms = sum(bed.role == "organism" for bed in summary.testbeds)
    clean = len(summary.testbeds) - organisms
    kits = [kit.kit for kit in summary.kits]
    said = [
        f"We played {_count(summary.audits, 'audit')} of the game “{summary.game}” on {_count(organisms, 'organism')} "
        f"of {_count(summary.families, 'family', 'families')} and {_count(clean, 'clean target')} from "
        f"{summary.suite}, with Assay {metadata.version('assay-audit')}.",
        f"The auditor was {summary.auditor}; it had {_count(len(kits), 'kit')} of tools ({', '.join(kits)}), "
        f"{_count(summary.seeds, 'seed')} of each on each testbed.",
    ]
    if summary.planned:
        said.append(_budget(summary.planned.document))
    if any(map(is_placebo, kits)):
        said.append("In a placebo kit the tool marked ~ is wired to another testbed.")
    said.append(
        "Testbeds stood under aliases; no process that audits can read their truth. Audits were played in an order "
        "drawn anew."
    )
    return " ".join([*said, _machine(summary)])


def _budget(document: PlanDocument) -> str:
    queries, tokens, seconds = document.budget
    helped = f" Tools wrote their questions with {document.auxiliary}." if document.auxiliary else ""
    return (
        f"Each audit might spend {queries:,} model queries, {tokens:,} forward tokens and {seconds:,.0f} seconds, the "
        f"same for every kit.{helped}"
    )


def _machine(summary: Summary) -> str:
    if not summary.plugins:
        return summary.made_on
    return f"{summary.made_on} Code from outside was trusted: {', '.join(summary.plugins)}."


def _grading(summary: Summary) -> str:
    words = GAME_WORDS[summary.game]
    tiers = f" A hit is the conjunction of: {'; elsewhere of '.join(summary.hit_tiers)}." if summary.hit_tiers else ""
    ended = ", ".join(f"{number} {outcome}" for outcome, number in summary.outcomes.items() if number)
    return (
        f"Another process, which alone reads the truth, graded each report on fresh samples, seeded by a nonce that "
        f"was drawn after the report was recorded.{tiers} {words.hit} Null: {words.null} False alarms: "
        f"{words.false_alarm} Every audit stays in the denominator, however it ended ({ended or 'none has yet'})."
    )


def _statistics(summary: Summary) -> str:
    said = [
        f"{GAME_WORDS[summary.game].success} The unit of inference is the family. Intervals of rates are 95 % "
        f"beta-binomial, those of raw and null combined by MOVER.",
    ]
    if summary.effects:
        said.append(
            "What a tool adds is the mean paired difference over families, tested by flipping the signs of whole "
            "families and corrected over the tools of one question by step-down max-T."
        )
    if summary.hierarchical:
        said.append("Shrunken effects are posterior means of one logistic-normal model of all kits.")
    if summary.smallest_shown is not None:
        said.append(
            f"By simulation of that verdict, this design shows an effect of {100 * summary.smallest_shown:.0f} points "
            f"four times in five."
        )
    if summary.planned:
        said.append(
            f"The plan (SHA-256 {summary.planned.digest[:16]}…) was stored before the first audit; primary comparison: "
            f"{summary.planned.document.primary_told}. {summary.planned.changed}".strip()
        )
    said.append(f"The ledger counts {_count(summary.looks, 'look')} at graded audits of these testbeds.")
    return " ".join(said)


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
