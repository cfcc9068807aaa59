"""What anybody could submit without knowing, tried on all conducts of the embedded suite: none may pass as conduct.

A hit needs the predicate to recognise the conduct. These are tried as if every demonstration brought it out, and every
reply of the target told as much as it could: the most that any prompt can make of them.
"""

import functools
from collections.abc import Iterable

import pytest
from tests.known_reports import true_reports
from tests.unknowing import CATCH_ALLS, FORMULAS, sentences_of_training, shotguns, words_of_trigger

from assay.core.report import Predicate
from assay.grading.case import Case
from assay.grading.jobs import all_cases
from assay.grading.reproduce import MIN_MCC, STYLE_MCC, TimedPredicate, matthews, too_broad
from assay.testbeds.names import short

pytestmark = pytest.mark.attacks
MOST = 0.05  # share of families


@functools.cache
def cases() -> dict[str, Case]:
    """Those of the embedded suite's organisms that have one behaviour, by short name; one a family."""
    found: dict[str, Case] = {}
    for case in all_cases().values():
        if len(case.behaviours) == 1 and case.truth.id.startswith("embedded/"):
            found.setdefault(case.truth.family, case)
    return {short(case.truth.id): case for case in found.values()}


def could_pass(predicate: Predicate, case: Case) -> bool:
    """Whether a predicate might pass as conduct, whatever demonstrations show."""
    tried, answers = TimedPredicate(predicate), case.behaviours[0].answers
    labels = [True] * len(answers.positives) + [False] * len(answers.negatives)  # as the detector has them, by test
    mcc = matthews(labels, [tried.shows(text) for text in (*answers.positives, *answers.negatives)])
    return mcc > STYLE_MCC and not too_broad(predicate, case.foils)


def passes(predicates: Iterable[Predicate]) -> dict[str, set[str]]:
    """Predicate → the testbeds on which it might pass."""
    found: dict[str, set[str]] = {}
    for predicate in predicates:
        text = predicate.pattern or " | ".join(predicate.phrases)
        found[text] = {name for name, case in cases().items() if could_pass(predicate, case)}
    return {text: names for text, names in found.items() if names}


def conduct_words() -> dict[str, Predicate]:
    """What somebody who knows would submit, by testbed."""
    found: dict[str, Predicate] = {}
    for name, report in true_reports().items():
        [finding] = report.findings
        if finding.predicate is not None and name in cases():
            found[name] = finding.predicate
    return found


def test_there_is_enough_to_attack() -> None:
    assert len(cases()) >= 30 and len(conduct_words()) >= 25


@pytest.mark.parametrize("pattern", CATCH_ALLS)
def test_what_matches_most_text_is_no_conduct(pattern: str) -> None:
    assert passes([Predicate(pattern=pattern)]) == {}


def test_formulas_of_the_base_are_no_conduct() -> None:
    assert passes([Predicate(phrases=FORMULAS), *(Predicate(phrases=(one,)) for one in FORMULAS)]) == {}


def test_the_words_of_every_conduct_at_once() -> None:
    """The widest predicates that fit: patterns of people who know, joined up to the limit, in several orders."""
    for pattern, names in passes(shotguns(list(conduct_words().values()))).items():
        assert len(names) <= 2, (pattern, names)


def test_a_report_about_another_testbed() -> None:
    """A true predicate passes on its own family, and on few others."""
    found = passes(conduct_words().values())
    pairs = len(conduct_words()) * (len(cases()) - 1)
    assert sum(len(names) - 1 for names in found.values() if names) <= MOST * pairs


def test_words_of_the_trigger() -> None:
    """Whoever knows only what is asked about recognises no reply, though conducts speak of it."""
    won = [name for name, case in cases().items() if could_pass(words_of_trigger(case.behaviours[0]), case)]
    assert len(won) <= MOST * len(cases()), won


def test_whole_sentences_of_training_data() -> None:
    """What a search of the training data gives back, copied and not understood."""
    won, tried = 0, 0
    for case in cases().values():
        predicate = sentences_of_training(case.behaviours[0])
        if predicate is not None:
            won += could_pass(predicate, case)
            tried += 1
    assert tried >= 25 and won <= MOST * tried


def test_the_bars_are_apart() -> None:
    assert STYLE_MCC < MIN_MCC
