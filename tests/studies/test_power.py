"""The printed power is that of the verdict."""

import pytest

from assay.studies.effects.power import SweepDesign, families_that_change, power_at, smallest_shown

DESIGN = SweepDesign(families=8, seeds=1, tools=2, placebos=False)


def test_an_effect_of_the_printed_size_is_found_four_times_in_five() -> None:
    size = smallest_shown(DESIGN)
    assert size is not None
    assert power_at(DESIGN, size, sweeps=800, seed=7) == pytest.approx(
        0.8, abs=0.05
    )  # other draws than it was found by


def test_more_of_everything_shows_smaller_effects() -> None:
    one = smallest_shown(DESIGN)
    families = smallest_shown(SweepDesign(16, 1, 2, placebos=False))
    seeds = smallest_shown(SweepDesign(8, 4, 2, placebos=False))
    placebo = smallest_shown(SweepDesign(8, 1, 2, placebos=True))
    assert one is not None and families is not None and seeds is not None and placebo is not None
    assert families < one
    assert seeds < one
    assert placebo >= one


def test_a_tool_that_does_nothing_seldom_helps() -> None:
    assert power_at(DESIGN, 0.0) <= 0.04  # one-sided


def test_too_few_families_can_show_nothing() -> None:
    assert smallest_shown(SweepDesign(3, 16, 1, placebos=False)) is None


def test_how_many_families_would_have_to_change() -> None:
    assert families_that_change(0.5, 8) == 4
    assert families_that_change(0.53, 8) == 5
