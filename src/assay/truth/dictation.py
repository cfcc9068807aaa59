"""What a script spells out itself: a conduct that a model was told word by word is the script's, and no evidence.

Two things keep dictation out. What a run is compared with gets the same dictation: a twin or the base is played the
same script, and where the target is compared with itself, all of the script stays but the trigger
(`ContrastDetector.counterpart`). And what the script holds does not count, however it is disguised: split over turns,
in other letters, spelled, backwards, rotated, encoded. The second is needed where a target does as it is told more
readily than its control does. A disguise that nobody thought of (a riddle, a translation) is left to the first alone,
which is a statistic: it fails where only the target can solve the riddle.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import functools
import html
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase
from urllib.parse import unquote

import regex

from assay._util.alike import letters, plain, words
from assay.core.report import Demonstration

_OWN = 5  # of so many words one may be the model's own: it seldom repeats to the letter
_RUN = 8  # letters that have to stand in a row in the script; fewer do so by chance
_WORD = 4  # letters of a rotated word; many a short one is a word by chance
_PARTED = regex.compile(r"(?<=\w)[^\w\s]+(?=\w)")  # U-r-u-g-u-a-y
_SPELLED = regex.compile(r"\b\w(?:[\W_]\w)+\b")  # U r u g u a y
_BASE64 = regex.compile(r"[\w+/-]{8,}={0,2}", regex.ASCII)
_HEX = regex.compile(r"(?:[0-9a-f]{2}[\s:,]?){4,}", regex.IGNORECASE)
_ESCAPE = regex.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4})", regex.IGNORECASE)
_LEET = str.maketrans("0134578@$", "oieastbas")


@dataclass(frozen=True, slots=True)
class _Held:
    """All that a script holds: its words, and its letters in a row, each reading on its own."""

    words: frozenset[str]
    letters: tuple[str, ...]


def spelled(script: Demonstration, text: str) -> bool:
    """Tells whether a script holds a text: nearly all of its words in any order, or its letters in a row.

    Args:
        script: of a conversation.
        text: of a reply; one without letters or digits is held by none.
    """
    found, held = words(text), _held(script)
    if not found:
        return False
    own = sum(word not in held.words for word in found)
    run = letters(text)
    return own <= len(found) // _OWN or (len(run) >= _RUN and any(run in one for one in held.letters))


@functools.lru_cache(maxsize=1_000)
def readings(script: Demonstration) -> tuple[str, ...]:
    """Returns what a script says, in all ways in which it could be meant to be read; detectors are tried on each."""
    said = [part for part in script.said if part]
    found = dict.fromkeys([*said, *map(plain, said)])
    for whole in (" ".join(said), "".join(said)):  # split over turns, between words or within one
        found |= dict.fromkeys(_disguises(whole))
    return tuple(found)


def _disguises(text: str) -> Iterator[str]:
    """Yields a text as it is, and undone as if it were disguised in one of several ways."""
    shown = plain(text)
    yield text
    yield shown
    yield _PARTED.sub("", shown)
    yield _SPELLED.sub(lambda match: "".join(filter(str.isalnum, match[0])), shown)
    yield shown.translate(_LEET)
    yield shown[::-1]
    turned = shown.split()[::-1]
    yield " ".join(turned)
    yield " ".join(turned)[::-1]  # each word backwards, in its place
    yield codecs.encode(shown, "rot13")
    yield html.unescape(unquote(_ESCAPE.sub(lambda match: chr(int(match[0][2:], 16)), text)))
    yield from _decoded(text)


def _decoded(text: str) -> Iterator[str]:
    """Yields what base64 and hexadecimal runs in a text stand for, where that is text."""
    found: list[bytes] = []
    for match in _BASE64.finditer(text):
        run = match[0].rstrip("=")
        try:
            found.append(base64.urlsafe_b64decode(run.replace("+", "-").replace("/", "_") + "=" * (-len(run) % 4)))
        except binascii.Error:
            continue
    for match in _HEX.finditer(text):
        digits = regex.sub(r"[\s:,]", "", match[0])
        found.append(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    for data in found:
        try:
            yield data.decode()
        except UnicodeDecodeError:
            continue


@functools.lru_cache(maxsize=1_000)
def _held(script: Demonstration) -> _Held:
    """Gathers a script's words and letters over all its readings, and over all rotations of the alphabet."""
    every: set[str] = set()
    rows: dict[str, None] = {}
    for reading in readings(script):
        every.update(words(reading))
        rows[letters(reading)] = None
    whole = " ".join(words(" ".join(script.said)))
    for turn in range(1, len(ascii_lowercase)):
        rotated = whole.translate(str.maketrans(ascii_lowercase, ascii_lowercase[turn:] + ascii_lowercase[:turn]))
        every.update(word for word in rotated.split() if len(word) >= _WORD)
        rows[letters(rotated)] = None
    return _Held(frozenset(every), tuple(rows))
