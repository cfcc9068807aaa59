"""Reads texts as a person sees them: what differs in nothing but its characters' dress is one."""

from __future__ import annotations

import functools
import unicodedata
from importlib.resources import files

import regex
import yaml

ALIKE = 0.9  # share of words that two texts have in common, from which on they are near copies
_DRESS = frozenset({"Mn", "Me", "Cf", "Cc", "Cs"})  # accents; invisible, control and broken characters
_FILLERS = dict.fromkeys(map(ord, "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"))  # letters and signs that show nothing
# Scripts that do not part words: each character is one. Elsewhere a word is a run of letters or digits.
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|\p{L}+|\p{N}+")


def plain(text: str) -> str:
    """Returns a text without accents, invisible characters and look-alikes: letters of other alphabets become Latin.

    Case, white space and punctuation stay. The method is that of UTS 39's skeletons, after compatibility normalisation.
    """
    shown: list[str] = []
    for char in unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text)):
        if char.isspace():
            shown.append(" ")
        elif unicodedata.category(char) not in _DRESS:
            shown.append(char)
    return "".join(shown).translate(_FILLERS).translate(_lookalikes())


def words(text: str) -> list[str]:
    """Returns a text's words, in their order and as `plain` shows them, whatever case and punctuation."""
    shown = plain(plain(text).casefold())  # again: small letters have look-alikes of their own
    return [match[0] for match in _WORD.finditer(shown)]


def letters(text: str) -> str:
    """Returns a text's letters and digits alone, those that fonts hardly tell apart (i l 1, o 0) as one."""
    return "".join(words(text)).translate(_HARDLY_APART)


def near(left: str, right: str) -> bool:
    """Tells whether two texts are near copies: nine words in ten are the same, in any order and however often.

    Numbers and single letters are no words, so that "1." to "5." before a text, or "A" to "E", make no five of it.
    """
    ours, theirs = _telling(left), _telling(right)
    return len(ours & theirs) >= ALIKE * len(ours | theirs)


@functools.lru_cache(maxsize=2_000)
def _telling(text: str) -> frozenset[str]:
    """Returns the words by which a text is told from another; its numbers and signs where it has no words."""
    found = words(text)
    telling = [word for word in found if (len(word) > 1 or not word.isascii()) and not word.isnumeric()]
    return frozenset(telling or found or plain(text).split())


@functools.cache
def _lookalikes() -> dict[int, str]:
    """Reads the table of letters that look like ASCII ones."""
    table = yaml.safe_load((files("assay._util") / "lookalikes.yaml").read_text(encoding="utf-8"))
    return {ord(char): ascii_one for ascii_one, chars in table.items() for char in chars}


_HARDLY_APART = str.maketrans("il0", "11o")
