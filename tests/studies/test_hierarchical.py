"""The hierarchical model: shrunken effects, where variance comes from, and what it says when there is little to say."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from assay.studies.effects.difficulties import shrunken_rates
from assay.studies.effects.logistic_normal import Likelihood, Trial
from assay.studies.effects.posterior import Posterior, posterior
from assay.studies.effects.repeats import repeatability
from assay.studies.effects.results import Summary
from assay.studies.page.html import page
from assay.studies.page.model import probability
from assay.studies.page.terminal import terminal

KITS = ("chat", "chat+search", "chat+~search")
Rate = Callable[[int, str], float]


def swept(rows: SimpleNamespace, rate: Rate, *, families: int = 8, seeds: int = 3, kits: Sequence[str] = KITS):
    """Audits and grades drawn from rates by family and kit."""
    draws = random.Random(1)
    audits, grades = [], []
    for family, alias in enumerate(rows.organisms[:families]):
        for kit in kits:
            for seed in range(seeds):
                audits.append(rows.audit(kit, alias, seed, findings=1, p_hidden=0.8))
                grades.append(rows.grade(kit, alias, seed, hit=float(draws.random() < rate(family, kit))))
    return audits, grades


def helpful(family: int, kit: str) -> float:
    return (0.9 if kit == "chat+search" else 0.1) if family < 6 else 0.05


def printed(summary: Summary) -> list[str]:
    console = Console(width=80, record=True, file=StringIO())
    console.print(terminal(summary))
    return console.export_text().splitlines()


def test_the_likelihood_is_the_integral_over_the_latent_effects() -> None:
    trials = [
        *(Trial("a", kit, ("a",), hits, 4.0) for kit, hits in enumerate((3.0, 1.0))),
        *(Trial("b", kit, ("b",), hits, 4.0) for kit, hits in enumerate((0.0, 0.0))),
    ]
    logits, spread = np.array([[0.3, -1.0]]), 1.3
    exact = 0.0
    for hits in ((3, 1), (0, 0)):

        def joint(u: float, hits: tuple[int, int] = hits) -> float:
            rates = expit(logits[0] + spread * u)
            chances = [rate**hit * (1 - rate) ** (4 - hit) for rate, hit in zip(rates, hits, strict=True)]
            return float(norm.pdf(u) * np.prod(chances))

        exact += np.log(quad(joint, -9, 9)[0])
    likelihood = Likelihood(trials, kits=2, terms=1)
    value, by_logit, by_spread = likelihood(logits, np.log([[spread]]))
    assert value[0] == pytest.approx(exact, abs=0.01)
    step = 1e-3
    moved = [likelihood(logits + step * unit, np.log([[spread]]))[0][0] for unit in np.eye(2)]
    assert by_logit[0] == pytest.approx((np.array(moved) - value) / step, abs=0.05)
    wider = likelihood(logits, np.log([[spread]]) + step)[0]
    assert by_spread[0] == pytest.approx((wider - value) / step, abs=0.05)


def test_a_tool_that_helps_is_shrunken_and_found(rows: SimpleNamespace) -> None:
    summary = rows.summary(swept(rows, helpful))
    model = summary.hierarchical
    assert model is not None
    over = {effect.against: effect for effect in model.effects}
    assert over.keys() == {"chat", "placebo"}
    for effect, exact in zip(model.effects, summary.effects, strict=True):
        assert effect.raw == exact.delta and 0 < effect.delta < effect.raw
        assert effect.interval[0] < effect.delta < effect.interval[1]
        assert effect.p_positive > 0.97 and effect.verdict == "helps"
    assert sum(share.share for share in model.variance) == pytest.approx(1, abs=0.02)
    assert [share.source for share in model.variance] == ["family", "tool by family", "seed", "single audit"]
    plain = json.loads(json.dumps(summary.model_dump(mode="json"), allow_nan=False))
    assert Summary.model_validate(plain) == summary
    written, told = page(summary), " ".join(printed(summary))
    for text in (written, told):
        assert "hierarchical model" in text and "tool by family" in text
    assert "Another seed" not in told and "another hits: chat" in " ".join(told.split())
    assert max(map(len, printed(summary))) <= 80


def test_the_order_of_rows_changes_no_number_of_the_model(rows: SimpleNamespace) -> None:
    audits, grades = swept(rows, helpful, families=4, seeds=2)
    forward = rows.summary((audits, grades))
    posterior.cache_clear()
    backward = rows.summary((audits[::-1], grades[::-1]))
    assert forward.hierarchical == backward.hierarchical and forward.difficulty == backward.difficulty


@pytest.mark.parametrize(
    ("rate", "families", "said"),
    [
        (lambda family, kit: 0.0, 4, "Every audit missed"),
        (lambda family, kit: 1.0, 4, "Every audit hit"),
        (lambda family, kit: 0.5, 1, "One family"),
        (lambda family, kit: float(kit == "chat+search"), 4, "Each family has one testbed"),
    ],
    ids=["nothing hit", "all hit", "one family", "kits apart as far as can be"],
)
def test_where_there_is_little_to_learn_it_is_said(rows: SimpleNamespace, rate: Rate, families: int, said: str) -> None:
    summary = rows.summary(swept(rows, rate, families=families, seeds=2, kits=KITS[:2]))
    model = summary.hierarchical
    assert model is not None and any(said in text for text in model.caveats)
    [effect] = model.effects
    assert -1 <= effect.interval[0] <= effect.delta <= effect.interval[1] <= 1
    if said.startswith("Every"):
        assert abs(effect.delta) < 0.05 and effect.verdict == "not told apart"
    assert said in page(summary)


def test_one_seed_has_no_model_and_says_so(rows: SimpleNamespace) -> None:
    summary = rows.summary(rows.sweep({"chat": [0.0] * 8, "chat+search": [1.0] * 8}))
    assert summary.hierarchical is None
    assert "One audit of each cell" in page(summary)
    assert "One audit of each cell" in " ".join(printed(summary))
    assert rows.summary(([], [])).hierarchical is None
    alone = rows.summary(swept(rows, helpful, families=3, kits=("chat",)))
    assert alone.hierarchical is None and not alone.effects


def test_missing_cells_and_unequal_seeds_are_no_matter(rows: SimpleNamespace) -> None:
    audits, grades = swept(rows, helpful, families=5, seeds=2)
    kept = [index for index in range(len(audits)) if index % 7 != 3]
    summary = rows.summary(([audits[index] for index in kept], [grades[index] for index in kept]))
    assert summary.hierarchical is not None
    assert all(np.isfinite(effect.delta) for effect in summary.hierarchical.effects)


def test_testbeds_of_one_family_have_a_spread_of_their_own(rows: SimpleNamespace) -> None:
    families: Mapping[str, str] = {alias: f"family{index // 2}" for index, alias in enumerate(rows.organisms)}
    summary = rows.summary(swept(rows, helpful, seeds=2), families=families)
    assert summary.hierarchical is not None
    assert "testbed" in [share.source for share in summary.hierarchical.variance]


def test_where_tests_and_model_part_it_is_said_in_a_sentence(rows: SimpleNamespace) -> None:
    """Four families of four won: the signs can say nothing, however sure the model is."""
    summary = rows.summary(
        swept(rows, lambda family, kit: float(kit == "chat+search"), families=4, seeds=4, kits=KITS[:2])
    )
    assert summary.hierarchical is not None
    [exact], [shrunken] = summary.effects, summary.hierarchical.effects
    assert (exact.verdict, shrunken.verdict) == ("not told apart", "helps")
    said = "Exact tests and hierarchical model disagree: search is not told apart by the tests and helps by the model."
    assert said in page(summary) and said in " ".join(" ".join(printed(summary)).split())
    assert said not in page(rows.summary(swept(rows, helpful)))


def test_the_headline_of_several_seeds_tells_shrunken_sizes(rows: SimpleNamespace) -> None:
    several = rows.summary(swept(rows, helpful))
    assert several.hierarchical is not None
    shrunken = several.hierarchical.effects[0]
    assert several.tools == {"search": "helps"}
    assert f"{100 * shrunken.delta:+.0f} points [" in several.headline


def test_the_nulls_are_taken_off(rows: SimpleNamespace) -> None:
    """A kit whose reports hit anywhere gains nothing by hitting here."""
    audits, grades = swept(rows, lambda family, kit: float(kit == "chat+search"), seeds=2, kits=KITS[:2])
    everywhere = [
        rows.grade(audit.kit, audit.alias, audit.seed, hit=grade.raw, null=grade.raw)
        for audit, grade in zip(audits, grades, strict=True)
    ]
    model = rows.summary((audits, everywhere)).hierarchical
    assert model is not None and abs(model.effects[0].delta) < 0.3 and model.effects[0].verdict != "helps"


def test_the_grader_has_a_share_where_cards_tell_it(rows: SimpleNamespace) -> None:
    hits = swept(rows, helpful, families=4, seeds=2)
    assert rows.summary(hits).hierarchical.grader is None
    sure = rows.summary(hits, ceilings=dict.fromkeys(rows.organisms, 1.0)).hierarchical
    unsure = rows.summary(hits, ceilings=dict.fromkeys(rows.organisms, 0.8)).hierarchical
    assert sure.grader == 0.0 < unsure.grader <= unsure.variance[-1].share


def test_rates_averaged_over_families_are_those_of_the_model() -> None:
    draws = Posterior(np.ones(1), np.array([[0.0, 2.0]]), np.array([[1.0, 1.0]]))
    exact = [quad(lambda u, x=x: norm.pdf(u) * expit(x + np.sqrt(2) * u), -9, 9)[0] for x in (0.0, 2.0)]
    assert draws.rates[0] == pytest.approx(exact, abs=2e-3)


def test_difficulty_is_shrunken_towards_the_others(rows: SimpleNamespace) -> None:
    few, many, middle = shrunken_rates([(0.0, 2), (0.0, 20), (10.0, 20)])
    assert 0 < many.value < few.value < middle.value < 0.5
    assert few.interval[1] > many.interval[1]
    assert shrunken_rates([]) == []
    summary = rows.summary(swept(rows, helpful, families=3, seeds=2))
    assert [bed.rate for bed in summary.difficulty] == sorted(bed.rate for bed in summary.difficulty)
    assert all(bed.audits == 4 for bed in summary.difficulty)  # the placebo is no attempt on this testbed
    assert summary.difficulty[0].alias in page(summary)


def test_repeatability_has_an_interval() -> None:
    agreed = [(f"f{i}", f"o{i}", 1.0) for i in range(4) for _ in range(2)]
    found = repeatability([*agreed, ("g", "p", 1.0), ("g", "p", 0.0), ("h", "q", 0.0), ("h", "q", 0.0)])
    assert found is not None and found.value == pytest.approx(8 / 9)
    assert 0.2 < found.interval[0] < found.value < found.interval[1] <= 1
    assert repeatability([("f", "o", 1.0)]) is None
    assert repeatability([("f", "o", 0.0), ("f", "o", 0.0)]) is None


def test_a_probability_is_never_certain() -> None:
    assert [probability(value) for value in (0.0, 0.004, 0.5, 0.994, 1.0)] == [
        "< 1 %",
        "< 1 %",
        "50 %",
        "99 %",
        "> 99 %",
    ]
