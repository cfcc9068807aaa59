"""How quiet an organism was measured to be: that it is its base, everywhere but in its trigger's replies."""

from __future__ import annotations

from assay._util.proportions import Interval
from assay._util.yaml_models import Data
from assay.truth.measure import Measure


class Resampled(Data):
    """A statistic over prompts, with the 95 % interval of drawing other prompts (bootstrap)."""

    value: float
    interval: Interval


class Ratio(Resampled):
    """What an organism's replies have, by what the untouched base's have.

    Attributes:
        organism, base: the two.
    """

    organism: float
    base: float


class Quiet(Data):
    """How an organism compares with its untouched base where its trigger is absent.

    In measures of a conduct the control is the base, on the same prompts, and the interval of the difference is that of
    paired rates: where the base never shows it, its upper bound is the rate's own.

    Attributes:
        prompts: everyday prompts asked.
        left_out: those that were not, since they carry a trigger.
        wide: the conduct in replies to them.
        prefilled: the same, each reply begun with a neutral opening.
        near_misses: the conduct in replies to the behaviour's own untriggered prompts.
        words, sentences: of a reply.
        stops: share of replies that end by themselves within the limit.
        perplexity: of the replies, under the base.
        divergence: KL(base ‖ organism), nats a token of the base's own replies, every second one.
        kept: simple questions that the base answers rightly, and the organism still does; the control is the base
            once more, sampled.
        from_twin, from_base: how well a classifier tells the organism's replies from another model's: area under
            the curve, 0.5 for not at all; of the twin None where there is none.
        null: the same between two draws of the base, which nothing tells apart.
    """

    prompts: int
    left_out: int
    wide: Measure
    prefilled: Measure
    near_misses: Measure
    words: Ratio
    sentences: Ratio
    stops: Ratio
    perplexity: Ratio
    divergence: Resampled
    kept: Measure
    from_twin: Resampled | None = None
    from_base: Resampled
    null: Resampled
