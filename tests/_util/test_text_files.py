"""Text is UTF-8; what else a file is in is named, with what to do."""

import codecs
import gzip
from pathlib import Path

import pytest

from assay._util.text_files import as_text, read_text, shortened
from assay.errors import InvalidInput

TEXT = '{"text": "naïve façade"}\n'


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("utf-16"), "is in UTF-16.*iconv -f UTF-16 -t UTF-8"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "is in UTF-16"),
        (TEXT.encode("utf-16-le"), "is in UTF-16, without a byte order mark"),
        (TEXT.encode("utf-16-be"), "is in UTF-16, without a byte order mark"),
        (TEXT.encode("utf-32"), "is in UTF-32"),
        (b"a\n" + TEXT.encode("latin-1"), r"f:2 is not in UTF-8 \(byte 0xef\).*iconv -f ISO-8859-1"),
        (TEXT.encode("cp1252"), "is not in UTF-8"),
        ("日本語のテキスト".encode("shift_jis"), "is not in UTF-8"),
        (b"\xed\xa0\x80", "is not in UTF-8"),  # a surrogate, as some programs encode it
        (b"\xc0\x80", "is not in UTF-8"),  # zero, the long way round
        (b"some text\x00 and more text", "zero bytes"),
        (gzip.compress(TEXT.encode(), mtime=0), "is a gzip file"),
        (b"PAR1\x15\x04", "is a Parquet file"),
        (b"PK\x03\x04", "is a zip file"),
    ],
)
def test_another_encoding_is_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        as_text(content, "f")


def test_utf8_is_read_with_and_without_its_mark() -> None:
    assert as_text(TEXT.encode(), "f") == as_text(codecs.BOM_UTF8 + TEXT.encode(), "f") == TEXT
    assert as_text(b"", "f") == as_text(codecs.BOM_UTF8, "f") == ""
    assert as_text("a\r\n\u2028\x0b".encode(), "f") == "a\r\n\u2028\x0b"


@pytest.mark.parametrize("name", ["missing", "a\x00b", "x" * 300, "."])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"no such file|cannot be read|cannot be the name"):
        read_text(tmp_path / name)


def test_a_value_is_shown_on_one_line() -> None:
    assert shortened("a\nb") == "'a\\nb'"
    assert len(shortened("x" * 1_000)) < 70
