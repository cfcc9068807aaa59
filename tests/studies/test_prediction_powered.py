"""The correction is the published one, keeps its promise, and a judge that is no use does no harm."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from assay.studies.effects.prediction_powered import Judged, corrected_rate

LABELLED = [(1, 1), (1, 1), (0, 1), (1, 0), (0, 0), (0, 0), (1, 1), (0, 1)]  # label, judged
OTHERS = [1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1]


def items(labelled: list[tuple[int, int]] = LABELLED, others: list[int] = OTHERS) -> list[Judged]:
    """Each of a family of its own."""
    made = [Judged(f"a{place}", said, label) for place, (label, said) in enumerate(labelled)]
    return made + [Judged(f"b{place}", said) for place, said in enumerate(others)]


def test_at_weight_one_it_is_prediction_powered_inference_in_closed_form() -> None:
    found = corrected_rate(items(), weight=1.0)
    labels, said = np.array(LABELLED, dtype=float).T
    predicted = np.array(OTHERS, dtype=float)
    rectified = labels - said
    value = predicted.mean() + rectified.mean()
    variance = predicted.var() / len(predicted) + rectified.var() / len(rectified)
    count = len(labels) + len(predicted)
    half = stats.t.ppf(0.975, count - 1) * sqrt(variance * count / (count - 1))
    assert found and found.value == pytest.approx(value)
    assert found.interval == pytest.approx((value - half, min(1.0, value + half)))


def test_at_weight_zero_it_is_the_labels_alone() -> None:
    found = corrected_rate(items(), weight=0.0)
    assert found and found.value == found.by_labels == 0.5
    assert found.by_judge == pytest.approx((5 + 8) / 20)


def test_a_judge_that_says_nothing_of_the_labels_has_no_weight() -> None:
    always = [(label, 1) for label, _ in LABELLED]
    against = [(label, 1 - label) for label, _ in LABELLED]
    for labelled, others in ((always, [1] * 12), (against, OTHERS)):
        found = corrected_rate(items(labelled, others))
        assert found and found.weight == 0.0 and found.value == 0.5


def test_where_nothing_can_be_corrected_there_is_no_number() -> None:
    assert corrected_rate(items(LABELLED[:1])) is None
    assert corrected_rate(items(others=[])) is None
    assert corrected_rate([Judged("one", 1, 1), Judged("one", 0, 0), Judged("one", 1)]) is None


def _sweep(random: np.random.Generator, families: int, right: float) -> tuple[list[Judged], float]:
    """Audits of families whose true rates differ, a judge that is right so often, and labels of a random part."""
    made: list[Judged] = []
    for family in range(families):
        rate = random.beta(2, 3)
        for _ in range(8):
            truth = float(random.random() < rate)
            judged = truth if random.random() < right else 1 - truth
            made.append(Judged(str(family), judged, truth))
    labelled = set(random.permutation(len(made))[:60].tolist())
    hidden = [one if place in labelled else Judged(one.family, one.judged) for place, one in enumerate(made)]
    return hidden, 0.4


@pytest.mark.parametrize("right", [0.55, 0.85, 0.97])
def test_its_interval_holds_the_rate_that_people_would_give(right: float) -> None:
    random = np.random.default_rng(7)
    held = by_judge = 0
    runs = 400
    for _ in range(runs):
        sweep, rate = _sweep(random, 30, right)
        found = corrected_rate(sweep)
        assert found
        low, high = found.interval
        held += low <= rate <= high
        by_judge += low <= found.by_judge <= high
    assert held / runs >= 0.92
    if right == 0.55:  # the judge's own rate is near a half, whatever the truth is: the correction leaves it behind
        assert by_judge / runs < held / runs


def test_a_good_judge_makes_the_interval_narrower() -> None:
    random = np.random.default_rng(3)
    widths: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(100):
        sweep, _ = _sweep(random, 30, 0.97)
        for name, weight in (("with", None), ("without", 0.0)):
            found = corrected_rate(sweep, weight)
            assert found
            widths[name].append(found.interval[1] - found.interval[0])
    assert np.mean(widths["with"]) < 0.85 * np.mean(widths["without"])
