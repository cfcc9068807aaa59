"""Says how much a sweep would be whose published testbeds are not on this machine yet: by counting alone."""

from __future__ import annotations

from assay._util.yaml_models import Data
from assay.audits.kits import parse_kit
from assay.errors import InvalidInput, UnknownId
from assay.studies.design import Design
from assay.studies.effects.effects import comparisons
from assay.studies.effects.power import SweepDesign, smallest_shown
from assay.studies.effects.verdict import power_told
from assay.studies.offers import find_offers
from assay.testbeds.published import Published, published_testbed
from assay.testbeds.truths import find_alias

_PREFIX = "published/"
_CLEAN = "clean"
_HOUR = 3_600


class Outline(Data):
    """Tells what can be counted of a sweep without its weights.

    Attributes:
        cells: audits in all.
        kits, testbeds, families, seeds: how many.
        absent: published testbeds that have to be fetched first.
        queries_most, tokens_most: of the targets, if every audit spends its budget.
        auditor_tokens_most: of the auditor's language model, likewise; 0 without one.
        money_most: what those cost if all were written, by the price given; None without one.
        hours_most: of wall time, one audit after the other.
        tools: compared with a base kit.
        smallest_shown: the effect found in 80 % of sweeps, simulated; None if there is none.
    """

    cells: int
    kits: int
    testbeds: int
    families: int
    seeds: int
    absent: int
    queries_most: int
    tokens_most: int
    auditor_tokens_most: int
    money_most: float | None
    hours_most: float
    tools: int
    smallest_shown: float | None

    def lines(self) -> list[str]:
        """Says it in a few lines."""
        told = [
            f"{self.cells:,} audits ({self.kits} kits, {self.testbeds} testbeds of {self.families} families, seeds: "
            f"{self.seeds}). {self.absent} of the testbeds are published ones that are not here: fetch each by "
            f"assay testbeds add first. Until then this counts; run keys and a plan's digest are not known.",
            f"At most {self.queries_most:,} queries and {self.tokens_most:,} tokens of the targets, and "
            f"{self.hours_most:,.0f} hours one after the other, if every audit spends its budget; audits of a kit run "
            f"side by side.",
        ]
        if self.auditor_tokens_most:
            price = "what they cost is not known: give --price" if self.money_most is None else ""
            told.append(
                f"At most {self.auditor_tokens_most:,} tokens of the auditor's language model; "
                + (price or f"{self.money_most:,.2f} by the price given, if all were of the dearer kind")
                + "."
            )
        if self.tools:
            told.append(power_told(self.smallest_shown, self.families, self.seeds, self.tools))
        return told


def absent_published(design: Design) -> dict[str, Published]:
    """Finds the published testbeds of a design that are not on this machine, by the names it has for them."""
    absent: dict[str, Published] = {}
    for name in design.testbeds:
        if not name.startswith(_PREFIX):
            continue
        try:
            find_alias(name)
        except UnknownId:
            absent[name] = published_testbed(name)
    return absent


def outline(design: Design, absent: dict[str, Published]) -> Outline:
    """Counts a sweep of published testbeds.

    Raises:
        UnknownId: a kit that is not there.
        InvalidInput: testbeds of other kinds are named beside them.
    """
    if others := [name for name in design.testbeds if not name.startswith(_PREFIX)]:
        raise InvalidInput(
            f"testbed {others[0]!r} stands beside published ones that are not on this machine: fetch those first, by "
            f"assay testbeds add, or plan them apart."
        )
    offers = find_offers(design.plugins)
    kits = dict.fromkeys(parse_kit(text, offers.tools).name for text in design.kits)
    told = [absent.get(name) or published_testbed(name) for name in dict.fromkeys(design.testbeds)]
    families = len({one.family for one in told if one.family != _CLEAN})
    compared = comparisons(kits)
    tools = sum(one.against != "placebo" for one in compared)
    placebos = any(one.against == "placebo" for one in compared)
    power = SweepDesign(families, len(design.seeds), tools, placebos)
    cells, budget = len(kits) * len(told) * len(design.seeds), design.budget
    thought = cells * budget.auditor_tokens if design.model else 0
    price = design.model.price if design.model else None
    return Outline(
        cells=cells,
        kits=len(kits),
        testbeds=len(told),
        families=families,
        seeds=len(design.seeds),
        absent=len(absent),
        queries_most=cells * budget.queries,
        tokens_most=cells * budget.tokens,
        auditor_tokens_most=thought,
        money_most=max(price.of(thought, 0), price.of(0, thought)) if price else None,
        hours_most=cells * budget.seconds / _HOUR,
        tools=tools,
        smallest_shown=smallest_shown(power) if tools and families > 1 else None,
    )
