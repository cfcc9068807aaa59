"""Calibration, background and battery: the data that steer the explorer."""

import json
from pathlib import Path

import pytest

from assay.auditors.explorer import calibration
from assay.auditors.explorer.battery import FORMS, PATH, load_battery
from assay.auditors.explorer.calibration import (
    Calibration,
    TuningAudit,
    _logistic,
    calibrate,
    load_background,
    load_calibration,
)
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.report import Report
from assay.errors import InvalidInput


def row(statistic: float, is_organism: bool, would_hit: bool = False) -> TuningAudit:
    return {"statistic": statistic, "is_organism": is_organism, "would_hit": would_hit}


ROWS = [
    *(row(s, True, True) for s in (3.0, 4.5, 5.5)),
    row(0.0, True),
    row(2.0, True),
    *(row(s, False) for s in (0.0, 0.0, 0.4, 1.6)),
]


def test_calibrate_separates_and_counts(tmp_path: Path):
    fitted = calibrate(ROWS)
    assert fitted["threshold"] == 3.0  # above it every hit, and no clean target
    assert fitted["fitted_on"] == {"organisms": 5, "clean": 4}
    calibration.write_calibration(fitted, tmp_path / "c.json")
    loaded = load_calibration(tmp_path / "c.json")
    assert loaded.probability(0.0) < 0.5 < loaded.probability(5.0)
    assert loaded.prior == pytest.approx(5 / 9)


def test_calibrate_survives_perfect_separation_and_no_signal():
    perfect = calibrate([row(5.0, True, True), row(0.0, False)])
    assert 0 < perfect["slope"] < 100
    none = calibrate([row(0.0, True), row(0.0, False)])
    assert none["slope"] == 0.0
    assert none["threshold"] >= 1.3


@pytest.mark.parametrize(
    ("x", "y", "fitted"),
    [  # by Newton's method with a ridge of 1e-3 on the intercept and 0.1 on the slope
        ([5.0, 0.0], [True, False], (-3.430590904735112, 1.3961195306330914)),
        ([30.0, 40.0, 0.0, 0.1], [True, True, False, False], (-5.667068463234651, 0.4092116530464315)),
        ([1.0, 1.0, 1.0], [True, True, True], (6.129852909437033, 0.06129852909437033)),
    ],
)
def test_the_fit_is_the_penalised_maximum(x: list[float], y: list[bool], fitted: tuple[float, float]):
    assert _logistic(x, y) == pytest.approx(fitted, abs=1e-9)


def test_where_the_slope_is_held_at_0_the_intercept_is_fitted_without_it():
    """A slope below 0 would say that strong evidence speaks for a clean target: then the share of organisms is told."""
    rows = [*(row(8.0, False) for _ in range(6)), *(row(0.0, True) for _ in range(3)), row(0.0, False)]
    fitted = calibrate(rows)
    assert fitted["slope"] == 0.0
    told = Calibration(fitted["intercept"], fitted["slope"], fitted["threshold"], 0.3).probability(5.0)
    assert told == pytest.approx(3 / 10, abs=1e-3)  # with the intercept of the clipped slope it would be .75


@pytest.mark.attacks
@pytest.mark.parametrize("organisms", [1, 3, 9, 27])
def test_however_wrong_the_evidence_points_the_mean_p_hidden_is_the_base_rate(organisms: int):
    """Strong statistics on clean targets clip the slope; what is told then must be the share of organisms."""
    x = [9.0 - index % 5 for index in range(12)] + [0.1 * (index % 3) for index in range(organisms)]
    y = [False] * 12 + [True] * organisms
    intercept, slope = _logistic(x, y)
    assert slope == 0.0
    fitted = Calibration(intercept, slope, 0.0, 0.5)
    assert sum(map(fitted.probability, x)) / len(x) == pytest.approx(organisms / (12 + organisms), abs=2e-3)


def test_calibrate_prefers_the_strictest_of_equals():
    rows = [row(4.0, True, True), row(1.5, True), row(1.0, False)]
    assert calibrate(rows)["threshold"] == 4.0


def test_calibrate_needs_both_kinds():
    with pytest.raises(InvalidInput, match="1 audits of organisms, 0 of clean"):
        calibrate([row(1.0, True)])


def test_uncalibrated_can_be_written_and_loaded(tmp_path: Path):
    calibration.write_calibration(calibration.UNCALIBRATED, tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json").threshold == 0.0


@pytest.mark.parametrize("load", [load_background, load_calibration])
def test_a_missing_file_says_how_to_make_it(load, tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"missing.*assay\.auditors\.explorer\.calibration"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["{", '["a"]', '{"prompt": "x"}', ""])
def test_a_broken_background_is_named(text: str, tmp_path: Path):
    path = tmp_path / "background.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"background\.jsonl"):
        load_background(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"intercept": 1}', '{"intercept": null}'])
def test_a_broken_calibration_is_named(text: str, tmp_path: Path):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"calibration\.json"):
        load_calibration(path)


async def test_collect_asks_every_prompt_and_round_trips(tmp_path: Path):
    async def reply(prompt: str) -> str:
        return f"Quite:\n“{prompt}”"

    rows = await calibration.collect(reply)
    calibration.write_background(rows * 2, tmp_path / "b.jsonl")
    loaded = load_background(tmp_path / "b.jsonl")
    assert len(loaded) == 2 * len(load_battery().prompts)
    assert {o.prompt for o in loaded} == set(load_battery().by_text)
    assert all(json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines())


def test_the_battery_is_a_full_design():
    battery = load_battery()
    assert len(battery.topics) == 16
    for topic in battery.topics:
        assert len(battery.texts("held_back", topic=topic)) == 12
        assert len(battery.texts("control", topic=topic)) == 1
        for form in FORMS:
            assert len(battery.texts("battery", topic=topic, form=form)) == 1
    assert len(battery.half) == len(set(battery.half)) == 32
    assert [sum(battery.by_text[text].form == form for text in battery.half) for form in FORMS] == [8] * 4
    assert all(template.count("{x}") == 1 for template in (*battery.about, *battery.attached))
    assert all("\n" not in prompt.text for prompt in battery.prompts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("  travel:", "  travel: ["), "not YAML"),
        (("How long should I boil potatoes?", "What is a web browser?"), "occurs twice"),
        (("      fact:", "      facts:"), "fact"),
    ],
)
def test_a_broken_battery_is_named(change: tuple[str, str], message: str, tmp_path: Path):
    path = tmp_path / "battery.yaml"
    path.write_text(PATH.read_text().replace(*change))
    with pytest.raises(InvalidInput, match=message):
        load_battery(path)


def test_a_missing_battery_is_named(tmp_path: Path):
    with pytest.raises(InvalidInput, match="no such file"):
        load_battery(tmp_path / "battery.yaml")


def test_files_of_ones_own_take_the_place_of_the_frozen_ones_and_are_in_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert calibration.own_files() == ()
    frozen = load_calibration()
    monkeypatch.setenv("ASSAY_EXPLORER", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"background\.jsonl is missing"):
        calibration.own_files()
    calibration.write_background([{"prompt": "Hello", "reply": "Hello."}], tmp_path / "background.jsonl")
    calibration.write_calibration(calibration.UNCALIBRATED, tmp_path / "calibration.json")
    assert load_calibration().threshold == 0.0 != frozen.threshold
    assert [one.reply for one in load_background()] == ["Hello."]

    async def plays(kit: Kit, brief: Brief, budget: Budget) -> Report:
        """Report nothing."""
        return Report(p_hidden=0.5)

    first = auditor(data=calibration.own_files())(plays).digest
    calibration.write_calibration(dict(calibration.UNCALIBRATED) | {"slope": 2.0}, tmp_path / "calibration.json")
    assert len({first, auditor(data=calibration.own_files())(plays).digest, auditor(plays).digest}) == 3
