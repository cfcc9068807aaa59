"""What somebody may put in the place of a file or a word: bytes, broken encodings, and almost the right thing."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

SPECIAL = (  # each broke some parser of some program
    b"",
    b"\xef\xbb\xbf",
    b"\xff\xfe{\x00}\x00",
    b"\x00" * 40,
    b"null",
    b"[" * 5_000,
    b'{"a":' * 5_000,
    b"- " * 5_000,
    b"{a: " * 500,
    b"9" * 5_000,
    b"-1e999",
    b"NaN",
    b'{"a": NaN}',
    b'{"a": 1, "a": 2}',
    b'"\\ud800"',
    b"a: &a [*a]",
    b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    b"a: !!python/object/apply:os.system [id]",
    b"---\na: 1\n---\nb: 2",
    b"no",
    b"2024-13-45",
    b"\t- a",
    b"\x1f\x8b\x08\x00",
    b"PK\x03\x04",
    "a\u2028b\x85c\r\x0b\x0cd".encode(),
    b"../../etc/passwd",
    b"a\x00b",
    b"%s{0}{a.b}${HOME}~",
    b"(" * 3_000,
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**30, 1.5, -0.0, 1e300, "", " ", "no", "~", "\x00", "\u2028", "😀", "a" * 3_000),
    *([], {}, [None], [[]], {"": None}, ["a", 1], "../x", "/etc/passwd", "a/b@1", "*", "(?P<a", "(a+)+$", "{x}"),
)


KEYS = ("", "a", "id", "text", "role", "prompt", "kind", "é", "a b", "\x00", "__class__")


def plain() -> st.SearchStrategy[Any]:
    """Any small JSON value: an odd one, or a few of them in a list or object."""
    leaf = st.sampled_from(ODD)
    key = st.sampled_from(KEYS)
    return st.one_of(leaf, leaf, st.lists(leaf, max_size=2), st.dictionaries(key, leaf, max_size=2))


def _places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


@st.composite
def changed(draw: st.DrawFn, valid: Any) -> Any:
    """The right data, with something in it replaced, left out, or put beside it; or as it is."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(list(_places(value))))
        if not place:
            continue
        around = value
        for key in place[:-1]:
            around = around[key]
        what = draw(st.sampled_from(("replace", "replace", "replace", "leave out", "beside")))
        if what == "replace":
            around[place[-1]] = draw(plain())
        elif what == "leave out":
            del around[place[-1]]
        elif isinstance(around, dict):
            around[draw(st.sampled_from(KEYS))] = draw(plain())
        else:
            around.append(draw(plain()))
    return value


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The right bytes, cut off, or with a few of them changed."""
    if not content or draw(st.booleans()):
        return content[: draw(st.integers(0, len(content)))]
    place = draw(st.integers(0, len(content) - 1))
    return content[:place] + draw(st.binary(max_size=4)) + content[place + draw(st.integers(0, 3)) :]


def files(valid: Any) -> st.SearchStrategy[bytes]:
    """Contents of a file whose right content is JSON (and so YAML) of some data, or some bytes."""
    if isinstance(valid, bytes):
        return st.one_of(st.sampled_from(SPECIAL), st.binary(max_size=60), damaged(valid), st.just(valid))
    right = json.dumps(valid, ensure_ascii=False).encode()
    written = changed(valid).map(lambda value: json.dumps(value, ensure_ascii=False))
    encoded = st.tuples(
        written, st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"))
    )
    file = encoded.map(lambda pair: pair[0].encode(pair[1], errors="surrogatepass" if "utf" in pair[1] else "replace"))
    return st.one_of(file, file, damaged(right), st.sampled_from(SPECIAL), st.binary(max_size=60))


def words(right: tuple[str, ...]) -> st.SearchStrategy[str]:
    """What may stand in a command line or an environment variable, whose bytes need be no UTF-8.

    Args:
        right: words that are understood; they are tried as they are, and with something put into them.
    """
    texts = [text for text in ODD if isinstance(text, str)]
    special = [content.decode(errors="surrogateescape") for content in SPECIAL]
    made = st.text(alphabet=st.sampled_from("ab0~+:/@.-_,#%[]() \t\n\x00é²٣\udcff"), max_size=12)
    return st.one_of(st.sampled_from([*texts, *special]), made, almost(right), st.sampled_from(right))


@st.composite
def almost(draw: st.DrawFn, right: tuple[str, ...]) -> str:
    """A right word with a few characters put into it, or left out."""
    word = draw(st.sampled_from(right))
    place = draw(st.integers(0, len(word)))
    more = draw(st.text(alphabet="a0~+:/@.-_,# \x00é²", max_size=2))
    return word[:place] + more + word[place + draw(st.integers(0, 2)) :]


def names(right: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Words that are no longer than a file system lets a name be."""
    return words(right).filter(lambda word: len(word.encode(errors="surrogateescape")) < 200)
