"""Models what the hierarchical model says of a sweep; `assay.studies.effects.hierarchical` makes it."""

from __future__ import annotations

from assay._util.yaml_models import Data
from assay.studies.effects.numbers import Bounds, EffectVerdict, Number


class ShrunkenEffect(Data):
    """Tells what a tool adds, by the model of all kits, families, testbeds and seeds together.

    Attributes:
        tool, against, kit, control: as in `Effect`.
        raw: the plain difference in success.
        delta: posterior mean of the difference in success, averaged over all families there could be.
        interval: 95 %, of equal tails.
        p_positive: probability that the difference is above 0.
        verdict: what the interval says of 0.
    """

    tool: str
    against: str
    kit: str
    control: str
    raw: Number
    delta: Number
    interval: Bounds
    p_positive: Number
    verdict: EffectVerdict

    @property
    def against_placebo(self) -> bool:
        """Whether the control has the same tool wired to another testbed."""
        return self.against == "placebo"


class VarianceShare(Data):
    """Tells how much of the variance of a hit comes from somewhere.

    Attributes:
        source: `family`, `testbed`, `tool by family`, `seed` (alike for all kits), `single audit` (the rest).
        share: of the variance, mean over the posterior.
        interval: 95 % of it.
    """

    source: str
    share: Number
    interval: Bounds


class Hierarchical(Data):
    """Holds what the model says.

    Attributes:
        effects: one for each comparison of the summary, in its order.
        variance: shares that add up to 1.
        grader: what the grader's own draws make of the variance, at the pass rates of true reports on the testbeds'
            cards; part of `single audit`. None without cards.
        caveats: what this sweep leaves to the model's priors.
    """

    effects: list[ShrunkenEffect]
    variance: list[VarianceShare]
    grader: Number | None
    caveats: list[str]


class TestbedDifficulty(Data):
    """Tells how often a testbed is hit, shrunken towards the others (beta-binomial).

    Attributes:
        alias, family: of the organism.
        audits: with a target and all tools rightly wired.
        hits: how many of them hit.
        rate: posterior mean; the lower, the harder.
        interval: 95 % of it.
    """

    __test__ = False  # no test, whatever its name begins with

    alias: str
    family: str
    audits: int
    hits: Number
    rate: Number
    interval: Bounds
