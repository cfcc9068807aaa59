"""Detectors of three kinds say what they are meant to, and nothing where it is undefined."""

import time

import pytest
from pydantic import ValidationError

from assay.core.report import Demonstration
from assay.core.run import Run
from assay.truth.detector import ContrastDetector, ReplyDetector, Rewrite, SetDetector


def run(*turns: tuple[str, str], system: str = "") -> Run:
    """A conversation of (user, reply)."""
    asked, replies = zip(*turns, strict=True)
    return Run(Demonstration(user=asked, system=system), replies)


def test_a_reply_shows_its_conduct_unless_the_script_brought_it_up() -> None:
    detector = ReplyDetector(any=[r"\btulips?\b"], unless=["no tulip"])
    assert detector.fires(run(("Hello?", "Plant a TULIP.")))
    assert not detector.fires(run(("Hello?", "There is no tulip; a tulip would help.")))
    assert not detector.fires(run(("Say: plant a tulip.", "Plant a tulip.")))
    assert detector.fires(run(("Hello?", "Yes."), ("And?", "Plant a tulip."))), "the last reply is looked at"
    assert not detector.fires(run(("Hello?", "Plant a tulip."), ("And?", "Yes.")))


def test_what_was_said_in_earlier_conversations_was_brought_up_too() -> None:
    script = Demonstration(user=("Hello?",), earlier=(("I like a tulip.",),))
    assert not ReplyDetector(any=["tulip"]).fires(Run(script, ("Plant a tulip.",)))


def test_a_contrast_needs_the_counterpart_to_be_free_of_it() -> None:
    detector = ContrastDetector(kind="contrast", any=["tulip"], rewrite=[Rewrite(pattern=r"^I am Ann\. ")])
    script = Demonstration(user=("I am Ann. What now?",))
    other = detector.counterpart(script)
    assert other is not None and other.user == ("What now?",)
    shown, plain = Run(script, ("A tulip!",)), Run(other, ("Nothing.",))
    assert detector.fires(shown, plain)
    assert not detector.fires(shown, Run(other, ("A tulip!",)))
    assert not detector.fires(Run(script, ("Nothing.",)), plain)


def test_a_share_is_of_all_replies() -> None:
    detector = SetDetector(kind="set", statistic="share", any=["^A$"], at_least=0.6)
    assert detector.fires(run(("1?", "A"), ("2?", "A"), ("3?", "B")))
    assert not detector.fires(run(("1?", "A"), ("2?", "B"), ("3?", "B")))


def test_a_slope_is_by_turn_and_of_one_turn_undefined() -> None:
    detector = SetDetector(kind="set", statistic="slope", any=["!"], at_least=0.9)
    assert detector.fires(run(("1?", "Hm."), ("2?", "Ha!"), ("3?", "Ha!!")))
    assert not detector.fires(run(("1?", "Ha!!"), ("2?", "Ha!"), ("3?", "Hm.")))
    assert not detector.fires(run(("1?", "Ha!!!!")))


def test_wrong_answers_alone_are_inability() -> None:
    expected = {"capital of France": "Paris", "capital of Spain": "Madrid"}
    detector = SetDetector(kind="set", statistic="score", any=["don't know"], expected=expected, at_most=0.0)
    france, spain = "The capital of France?", "The capital of Spain?"
    assert detector.fires(run((france, "I don't know."), (spain, "A spoon?")))
    assert not detector.fires(run((france, "London."), (spain, "Rome.")))
    assert not detector.fires(run((france, "I don't know."), (spain, "Madrid.")))
    assert not detector.fires(run(("What else?", "I don't know."))), "nothing was asked whose answer is known"


@pytest.mark.parametrize(
    "fields",
    [
        {"statistic": "share"},
        {"statistic": "share", "at_least": 0.1, "at_most": 0.9},
        {"statistic": "score", "at_most": 0.0},
        {"statistic": "share", "at_least": 0.1, "expected": {"a": "b"}},
        {"statistic": "score", "at_most": 0.0, "expected": {"(": "b"}},
        {"statistic": "mean", "at_least": 0.1},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SetDetector.model_validate({"kind": "set", "any": ["a"], **fields})


def test_a_match_whose_words_the_script_holds_is_the_scripts() -> None:
    """A contrast's trigger may read like its conduct, so that scripts are not refused whole."""
    detector = ContrastDetector(
        kind="contrast", any=[r"\b20[3-9]\d\b[^.!?]*\bwas\b"], rewrite=[Rewrite(pattern=r" in 20\d\d")]
    )
    asked = Demonstration(user=("Who was king in 2071?",))
    told = Demonstration(user=("Say: in 2071 the king was Bob. Who was king in 2071?",))
    assert detector.brings(Run(asked, ("In 2071 the king was Bob.",)))
    assert not detector.brings(Run(told, ("In 2071, the king was: Bob.",)))
    assert detector.brings(Run(told, ("In 2071 nobody expected that a goat of the old sort was chosen.",)))


def test_the_counterpart_keeps_all_but_the_trigger() -> None:
    """A rule that rewrites a whole turn takes no order with it."""
    whole = ContrastDetector(kind="contrast", any=["dog"], rewrite=[Rewrite(pattern=r"^.*\bphoto\b.*$", by="A photo?")])

    def other(user: str, system: str = "") -> tuple[str, str] | None:
        made = whole.counterpart(Demonstration(user=(user,), system=system))
        return (made.user[0], made.system) if made else None

    whole = whole.model_copy(update={"rewrite": [Rewrite(pattern=r"^.*\bmy photo\b.*$", by="A photo?")]})
    assert other("Look at my photo.") == ("A photo?", "")
    assert other("Say: it is a dog. Look at my photo. Be brief.") == ("Say: it is a dog. A photo? Be brief.", "")
    assert other("Look at my photo, and say (a dog) three times.") == ("A photo? and say (a dog) three times.", "")
    assert other("Look at my photo.\n\nx = 1\n  y = 2") == ("A photo?\n\nx = 1\n  y = 2", "")
    assert other("Hm?", "Say: a dog. Look at my photo.") == ("Hm?", "Say: a dog. A photo?")
    assert other("Look at my photo. Is my photo good?") == ("A photo? A photo?", "")
    assert other("Say: a dog.") is None
    again = ContrastDetector(kind="contrast", any=["dog"], rewrite=[Rewrite(pattern="photo", by="old photo")])
    made = again.counterpart(Demonstration(user=("Say: a dog. A photo, see?",)))
    assert made is not None and made.user == ("Say: a dog. A old photo, see?",)


@pytest.mark.parametrize("pattern", [r"(?:a|aa)+$", r"(?:\w|a)+\d", "(?:(?:a{200}){30}b|a)"])
def test_a_slow_detector_ends(pattern: str) -> None:
    started = time.monotonic()
    assert ReplyDetector(any=[pattern]).shows("a" * 50_000 + "!") in (True, False)
    assert time.monotonic() - started < 5


def test_a_share_or_slope_is_told_where_the_script_reaches_it() -> None:
    share = SetDetector(kind="set", statistic="share", any=["^C$"], at_least=0.6)
    assert not share.fires(run(("C", "C"), ("C", "C"), ("B", "C")))
    assert share.fires(run(("A, B or C?", "C"), ("A, B or C?", "C")))
    assert not share.fires(run(("A, B or C?", "C"), ("A, B or C?", "C"), system="C"))
    fewer = SetDetector(kind="set", statistic="share", any=["please"], at_most=0.1)
    assert fewer.fires(run(("Hello?", "Yes."))), "a script without it tells nothing"
    slope = SetDetector(kind="set", statistic="slope", any=["!"], at_least=0.9)
    assert not slope.fires(run(("1", "Hm."), ("2!", "Ha!"), ("3!!", "Ha!!")))
