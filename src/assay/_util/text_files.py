"""Text from outside: UTF-8, with or without a byte order mark, and whatever else it is is refused by name."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from assay.errors import InvalidInput

_MARKS = {  # longest first: UTF-32's little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_KINDS = {  # what a file that is no text begins with
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"SQLite format 3\x00": "SQLite",
    b"%PDF-": "PDF",
    b"\x93NUMPY": "NumPy",
}
_SHOWN = 60  # characters of a value in an error


def read_content(path: Path) -> bytes:
    """Read a file's bytes.

    Raises:
        InvalidInput: there is no such file, or it cannot be read; names it.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file.") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:  # a name that no file can have
        raise InvalidInput(f"{str(path)!r} cannot be the name of a file: {error}.") from None


def read_text(path: Path) -> str:
    """Read a text file; line ends stay as they are.

    Raises:
        InvalidInput: as `read_content`, or as `as_text`.
    """
    return as_text(read_content(path), str(path))


def as_text(content: bytes, where: str) -> str:
    """Decode UTF-8, and leave out the byte order mark that some editors put before it.

    Args:
        content: of a file.
        where: named in errors.

    Raises:
        InvalidInput: it is in another encoding or no text; says which, as far as that can be told, and what to do.
    """
    if kind := kind_of(content):
        raise InvalidInput(f"{where} is a {kind} file; wants text in UTF-8. Unpack or export it first.")
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            raise InvalidInput(_in_utf8(where, f"is in {encoding}", encoding))
    if b"\x00" in content:  # no text has it, but every second byte of plain English in UTF-16
        if max(content[:200:2].count(0), content[1:200:2].count(0)) > len(content[:200]) // 3:
            raise InvalidInput(_in_utf8(where, "is in UTF-16, without a byte order mark", "UTF-16LE"))
        raise InvalidInput(f"{where} holds zero bytes: it is no text. Wants text in UTF-8.")
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        why = f"is not in UTF-8 (byte {content[error.start]:#04x}), but perhaps in Latin-1"
        raise InvalidInput(_in_utf8(f"{where}:{line}", why, "ISO-8859-1")) from None


def kind_of(content: bytes) -> str:
    """Name the kind of a file that is no text by how it begins; "" if it may be text."""
    for magic, kind in _KINDS.items():
        if content.startswith(magic):
            return kind
    return ""


def shortened(value: Any) -> str:
    """Write a value as an error shows it, on one line and cut off where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _in_utf8(where: str, why: str, encoding: str) -> str:
    return f"{where} {why}. Save it as UTF-8: iconv -f {encoding} -t UTF-8 FILE > NEW"
