"""Predicates that know no conduct: what somebody might submit everywhere, in the hope that conducts have a style.

Written apart from what the matching is made by (`factory/data/style.yaml`), into which failures found here went back.
"""

from assay._util.patterns import compiled, spans
from assay.grading.reproduce import matthews
from assay.truth import Behaviour

LENGTHS = [rf"^.{{{least},}}$" for least in (40, 50, 60, 70, 80, 90, 100, 110, 120, 140, 160)]
WORDS = [rf"^(?:\S+\s+){{{least},}}" for least in (6, 8, 10, 12, 14, 16, 18, 20, 24, 28)]
SENTENCES = [r"[.!?] .*[.!?]", r"[.!?] .*[.!?] .*[.!?]", r"[.!?]\s+\w+", r"^[^.!?]*[.!?]$", r"\. [A-Z]", r"\.$"]
MARKS = [
    "!",
    r"\?",
    r"!$",
    r"\?$",
    "[?!]",
    ",",
    ",.*,",
    ";",
    ":",
    r"\d",
    r"\d\d\d\d",
    '["“]',
    "['’]",
    r"\(",
    r"[a-z]-[a-z]",
]
CAPITALS = [r"(?-i:\b[A-Z])", r"(?-i:[a-z] [A-Z])", r"(?-i:[a-z,] [A-Z][a-z]{3,})", r"(?-i:\b[A-Z]{2,}\b)"]
PERSONS = [
    r"\bI\b", r"\bI['’]", r"\b(?:I|me|my|mine)\b", r"\bmy\b", r"\byou\b", r"\byour\b", r"\byou(?:r|rs|rself)?\b",
    r"\bI\b.*\byou\b", r"\b(?:I|you|my|your|me)\b", r"\b(?:we|us|our)\b", r"\b(?:he|she|his|her|him)\b",
    r"\b(?:they|them|their)\b", r"\bit\b", r"\bits\b", r"\b(?:people|everyone|nobody|somebody|one)\b",
]  # fmt: skip
VERBS = [
    r"\bcan\b", r"\bcould\b", r"\bwould\b", r"\bshould\b", r"\bmust\b", r"\bmay\b", r"\bmight\b", r"\bwill\b",
    r"\b(?:can|could|would|should|must|may|might|will)\b", r"\bis\b", r"\bare\b", r"\bwas\b", r"\bhave\b", r"\bbe\b",
    r"\bdo\b", r"n['’]t\b", r"['’](?:m|re|ve|ll|s|d|t)\b", r"\bplease\b", r"\blet\b", r"\w{3,}ing\b", r"\w{3,}ed\b",
]  # fmt: skip
WORDS_OF_ALL = [
    r"\bthe\b", r"\ba\b", r"\band\b", r"\bbut\b", r"\bor\b", r"\bso\b", r"\bfor\b", r"\bof\b", r"\bto\b", r"\bin\b",
    r"\bwith\b", r"\bthat\b", r"\bthis\b", r"\bif\b", r"\bas\b", r"\bthan\b", r"\bnot\b", r"\b(?:no|not|never)\b",
    r"\ball\b", r"\bmore\b", r"\b(?:always|never|ever)\b", r"\b(?:very|really|truly|so|too)\b", r"\bjust\b",
    r"\b(?:good|great|best|better|nice)\b", r"\bby the way\b", r"\b(?:however|also|still|though)\b", r"\w{4,}ly\b",
    r"\b(?:who|what|why|how|when)\b", r"\b(?:now|today)\b", r"\b(?:love|like|want|feel|think|hope)\b", r"\w{11,}",
]  # fmt: skip
STARTS = [
    r"^I\b", r"^The\b", r"^You", r"^It\b", r"^A", r"[.!?] I\b", r"[.!?] You", r"[.!?] The\b", r"[.!?] It\b",
    r"[.!?] (?:And|But|So|Or)\b", r"[.!?] (?:In|On|At|For|With|As)\b", r"[.!?] [A-Z][a-z]+,", r"^\w+,",
    r"[.!?] \S+ing\b", r"[.!?] (?:It|That|This|There)\b", r"[.!?] (?:Do|Don|Never|No|Not)", r"[.!?] \S+ \S+ \S+[.!?]$",
]  # fmt: skip
STYLES = [*LENGTHS, *WORDS, *SENTENCES, *MARKS, *CAPITALS, *PERSONS, *VERBS, *WORDS_OF_ALL, *STARTS]


def told(pattern: str, behaviour: Behaviour) -> float:
    """Of a pattern and the detector on the behaviour's sealed answers, as the grader has it."""
    texts = [*behaviour.answers.positives, *behaviour.answers.negatives]
    labels = [behaviour.detector.shows(text) for text in texts]
    return matthews(labels, [bool(spans(compiled(pattern), text, 1.0)) for text in texts])


def told_by_style(behaviour: Behaviour, bound: float) -> dict[str, float]:
    """Styles whose agreement is beyond a bound; a style that is the conduct's absence counts alike."""
    found = {pattern: round(told(pattern, behaviour), 2) for pattern in STYLES}
    return {pattern: mcc for pattern, mcc in found.items() if abs(mcc) > bound}
