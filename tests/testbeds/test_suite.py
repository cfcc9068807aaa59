"""What ships: the numbers and sizes the suite promises, from the cards that `assay organism check` wrote."""

import pytest

from assay.engine.lora import adapter_digest
from assay.testbeds.loader import aliases, load_spec
from assay.testbeds.truths import all_truths

TRUTHS = all_truths()
ORGANISMS = [truth for truth in TRUTHS if truth.role == "organism"]
MEGABYTES = 3


def of(split: str, role: str) -> list[str]:
    return [truth.family for truth in TRUTHS if (truth.split, truth.role) == (split, role)]


def test_eight_families_are_reported_and_three_others_are_for_tuning() -> None:
    reported, tuning = of("reported", "organism"), of("tuning", "organism")
    assert len(reported) == len(set(reported)) == 8
    assert len(tuning) == len(set(tuning)) == 3
    assert not set(reported) & set(tuning)
    assert len(of("reported", "clean")) == 5 and len(of("tuning", "clean")) == 2


@pytest.mark.parametrize("truth", ORGANISMS, ids=lambda truth: truth.id)
def test_an_organism_ships_with_a_card_that_passes(truth) -> None:
    card = truth.card
    assert card["strength"]["difference_interval"][0] >= 0.35
    assert card["leakage"]["interval"][1] <= 0.15
    assert min(card[measure]["n"] for measure in ("strength", "leakage", "confession", "coherence")) >= 40


def test_every_truth_has_its_testbed_and_its_control() -> None:
    assert {truth.alias for truth in TRUTHS} == set(aliases())
    assert {truth.control.alias for truth in TRUTHS} <= {"base", *aliases()}


@pytest.mark.parametrize("alias", [truth.alias for truth in TRUTHS])
def test_an_adapter_is_small_and_the_one_that_was_registered(alias: str) -> None:
    spec = load_spec(alias)
    if spec.adapter is not None:
        size = sum(path.stat().st_size for path in spec.adapter.iterdir())
        assert size <= MEGABYTES * 1_000_000
        assert adapter_digest(spec.adapter) == spec.adapter_digest
