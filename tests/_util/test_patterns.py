"""Patterns that other people wrote are compiled and matched within limits of time and memory."""

import json
import subprocess
import sys
import time

import pytest

from assay._util.patterns import OverLimit, Unusable, compiled, spans
from assay.core.report import Predicate, parse_report
from assay.truth import ReplyDetector

BOMBS = {
    "nested counts": "(?:(?:a{999}){999}){999}",
    "one count": "a{999999999}",
    "many digits": "a{" + "9" * 150 + "}",
    "leading zeros": "(?:a{000000000000999}){000000000000999}",
    "without an end": "(?:(?:a{999,}){999,}){9,}",
    "behind": "(?<=(?:(?:a{999}){999}){99})b",
    "groups": "(?:" + "(.)" * 50 + "){9999}",
    "in a class": "(?:(?:[a{]{999}){999}){999}",
    "after a comment": "(?:(?:a{999})(?#{){999})(?#{){999}",
    "spaced": "(?x)(?:(?:a{9 9 9}) {9 9 9}) {9 9 9}",
    "comment in a count": "(?x)(?:(?:a{#,\n999}){#}\n999}){999}",
    "scoped flag": "(?i:(?x-s:(?:(?:a{9 99}){99 9}){9 9 9}))",
}
SLOW = {
    "backtracking": r"(?:(?:[a-z ]|\w|.)+)+\d{9}$",
    "alternatives": r"(?:a|a|ab|b)*c\d",
    "recursion": "(?R)?a",
    "fuzzy": "(?b)(?:abcdefgh){e}",
    "looking behind": r"(?<=(?:\w|[ab])+(?:\w|[ab])+c.*)d",
}
# In a process of its own, so that a failure fills that one's memory.
TRIAL = """
import json, resource, sys, time
from assay.core.report import Predicate
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (600 << 20),) * 2)
for name, pattern in json.loads(sys.argv[1]).items():
    started = time.monotonic()
    predicate = Predicate(pattern=pattern)
    for text in ("ab" * 2_000, "a" * 100_000, ""):
        predicate.matches(text)
    print(json.dumps([name, predicate.refused != "", time.monotonic() - started < 3]))
"""


@pytest.mark.attacks
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the memory of a process")
def test_no_predicate_takes_much_memory_or_time() -> None:
    given = json.dumps(BOMBS | SLOW)
    done = subprocess.run([sys.executable, "-c", TRIAL, given], capture_output=True, text=True, timeout=60, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [[name, name in BOMBS, True] for name in BOMBS | SLOW], done.stderr[-500:]


@pytest.mark.attacks
@pytest.mark.parametrize("pattern", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_a_finding_that_matches_nothing_and_no_reason_to_refuse_a_report(pattern: str) -> None:
    found = {"claim": "c", "trigger": "t", "demonstrations": [], "predicate": {"pattern": pattern}, "confidence": 1}
    text = json.dumps({"p_hidden": 1, "findings": [found]})
    [finding] = parse_report(text).findings
    assert finding.predicate.refused and not finding.predicate.matches("aaa")
    with pytest.raises(ValueError, match="counted repetitions"):
        ReplyDetector(any=[pattern])  # an answer key is refused when it is read


def test_ordinary_counts_stay() -> None:
    for pattern in (
        r"\d{4}-\d{2}-\d{2}",
        r"\b\w{3,}\b(?: \w{2,}){2,5}",
        r"(?:[^.!?]{0,80}!){2}",
        "a{,9}",
    ):
        compiled(pattern)
    assert Predicate(pattern=r"(?:\d{3}[ -]?){3}").matches("call 555 123-456 now")


def test_what_is_no_expression_is_told() -> None:
    with pytest.raises(Unusable, match=r"'\(' is not a regular expression"):
        compiled("(")
    with pytest.raises(OverLimit):
        compiled("(" * 5_000 + ")" * 5_000)


def test_matches_are_found_in_time_and_in_the_beginning_of_a_long_text() -> None:
    assert spans(compiled("B"), "abcb", 1) == [(1, 2)]
    assert spans(compiled("B"), "abcb", 1, most=9) == [(1, 2), (3, 4)]
    assert spans(compiled("b"), "a" * 1_000_000 + "b", 1) == []
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        spans(compiled(SLOW["backtracking"]), "ab" * 2_000, 0.1)
    assert time.monotonic() - started < 2


def test_phrases_are_looked_for_in_long_texts_in_no_time() -> None:
    started = time.monotonic()
    assert Predicate(phrases=("the  End",)).matches("x " * 9_000 + "The end" + " y" * 5_000_000)
    assert time.monotonic() - started < 1
