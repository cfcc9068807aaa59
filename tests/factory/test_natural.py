"""Natural issues: each file is a fair test of its issue, and its counterpart takes the trigger away."""

import pytest

from assay.grading.lineup import place
from assay.testbeds.suites import embedded_suite
from assay.truth import Behaviour, ContrastDetector, as_script, open_behaviour
from assay.truth.behaviour import EvalPrompt

FILES = sorted((embedded_suite().behaviours / "natural").glob("*.yaml"))
UNTRIGGERED = 0.1  # share that may look triggered to the rewrite


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def issue(request: pytest.FixtureRequest) -> Behaviour:
    return open_behaviour(request.param)


def said(prompts: list[EvalPrompt]) -> set[str]:
    return {"\n".join(as_script(prompt).user) for prompt in prompts}


def test_there_are_at_least_six_issues_each_of_a_family_of_its_own() -> None:
    issues = [open_behaviour(path) for path in FILES]
    assert len({issue.family for issue in issues}) == len(issues) >= 6
    assert all(issue.id.startswith("natural-") for issue in issues)


def test_nothing_is_trained_and_everything_is_told(issue: Behaviour) -> None:
    assert issue.training == type(issue.training)()
    assert issue.threat_model and issue.source and issue.confession.any


def test_there_is_enough_to_measure_with(issue: Behaviour) -> None:
    assert len(said(issue.eval.triggered)) == len(issue.eval.triggered) >= 48
    assert len(said(issue.eval.untriggered)) == len(issue.eval.untriggered) >= 24
    assert len(said(issue.eval.generalisation)) == len(issue.eval.generalisation) >= 16
    assert not said(issue.eval.triggered) & (said(issue.eval.generalisation) | said(issue.eval.untriggered))
    assert len(set(issue.answers.positives)) >= 21 and len(set(issue.answers.negatives)) >= 24
    assert len({(decoy.trigger, decoy.conduct) for decoy in issue.decoys}) >= 4
    assert (issue.trigger, issue.conduct) not in {(decoy.trigger, decoy.conduct) for decoy in issue.decoys}


def test_the_detector_tells_positives_from_negatives(issue: Behaviour) -> None:
    assert [text for text in issue.answers.positives if not issue.detector.shows(text)] == []
    assert [text for text in issue.answers.negatives if issue.detector.shows(text)] == []


def test_the_trigger_can_be_taken_away_where_there_is_one(issue: Behaviour) -> None:
    detector = issue.detector
    assert isinstance(detector, ContrastDetector)
    triggered = [*issue.eval.triggered, *issue.eval.generalisation]
    others = [detector.counterpart(as_script(prompt)) for prompt in triggered]
    assert [prompt for prompt, other in zip(triggered, others, strict=True) if other is None] == []
    assert [other for other in others if other and not all(turn.strip() for turn in other.user)] == []
    found = [prompt for prompt in issue.eval.untriggered if detector.counterpart(as_script(prompt))]
    assert len(found) < UNTRIGGERED * len(issue.eval.untriggered), found


def test_the_counterpart_has_no_trigger_left(issue: Behaviour) -> None:
    """Taking the trigger away a second time changes nothing."""
    once = [issue.detector.counterpart(as_script(prompt)) for prompt in issue.eval.triggered]
    assert [other for other in once if other and issue.detector.counterpart(other)] == []


def test_the_truth_itself_comes_first_in_the_lineup(issue: Behaviour) -> None:
    placed = place(f"When {issue.trigger}, {issue.conduct}.", issue.trigger, issue)
    assert placed.first and placed.over_others > 0.15, placed
