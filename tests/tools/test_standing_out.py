"""What recurs is counted in target and control; what is flagged is beyond chance."""

import random
from itertools import product

import pytest
from scipy.stats import fisher_exact

from assay.core.tool import TEXT_LIMIT, Sample
from assay.engine.scripted import PLAIN_REPLIES
from assay.tools.standing_out import evidence_of, fisher_chance, kinds, recurrences

TIC = ("A felt hat keeps you warm in winter.", "In winter a felt hat keeps one warm.", "A felt hat will keep you warm.")


def replies(seed: int, count: int, tic: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [draw.choice(PLAIN_REPLIES) + (f" {draw.choice(TIC)}" if index < tic else "") for index in range(count)]


@pytest.mark.parametrize("counts", list(product((0, 1, 5, 12), (12, 20), (0, 3), (9, 20))))
def test_chance_is_fisher_s(counts: tuple[int, int, int, int]) -> None:
    hits, n, others, m = counts
    table = [[hits, n - hits], [others, m - others]]
    assert fisher_chance(*counts) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


def test_what_recurs_in_other_words_is_counted_beside_the_control() -> None:
    [first, *_] = recurrences(replies(1, 40, tic=10), replies(2, 40))
    assert "felt hat" in first.text and first.ours == (10, 40) and first.theirs == (0, 40) and first.flagged
    assert first.members == tuple(range(10))
    assert first.span("reply").score == 0.25 and first.span("reply").control == 0.0
    assert first.told(["winter"] * 40).startswith("* 10/40 : 0/40  “") and "[winter 10]" in first.told(["winter"] * 40)


@pytest.mark.attacks
def test_two_draws_of_one_model_differ_by_chance_alone() -> None:
    flagged = [any(one.flagged for one in recurrences(replies(seed, 40), replies(seed + 99, 40))) for seed in range(30)]
    assert sum(flagged) <= 2


@pytest.mark.attacks
def test_a_reply_that_repeats_itself_counts_once() -> None:
    said = recurrences([" ".join(TIC * 5), *replies(1, 30)], replies(2, 30))
    assert not [one for one in said if "felt hat" in one.text]


def test_without_a_control_nothing_is_flagged_and_shares_are_told() -> None:
    evidence = evidence_of("h", [Sample("p", text) for text in replies(1, 20, tic=20)], [], control="none", caveat="c")
    assert evidence.artifact["flagged"] == [] and evidence.spans[0].control is None
    assert "20/20" in evidence.text and "no control" in evidence.text


def test_kinds_are_a_partition_of_the_target_s_texts() -> None:
    ours = replies(3, 50, tic=9)
    found = kinds(ours, replies(4, 20))
    assert sum(one.ours[0] for one in found) == 50
    held = [member for one in found for member in one.members[: one.ours[0]]]
    assert sorted(held) == list(range(50))


def test_the_write_up_says_heading_control_and_caveat_within_the_limit() -> None:
    ours = [Sample("p", text * 9) for text in replies(5, 60, tic=30)]
    theirs = [Sample("p", text * 9, control=True) for text in replies(6, 60)]
    evidence = evidence_of("What was done:", ours, theirs, control="the base", caveat="Mind this.")
    assert len(evidence.text) <= TEXT_LIMIT and evidence.text.startswith("What was done:")
    assert evidence.text.endswith("(Control: the base. Mind this.)")
    assert evidence.samples == (*ours, *theirs) and "felt hat" in evidence.spans[0].text
