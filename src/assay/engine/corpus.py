"""Reads training data from disk, verified by content."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from assay._util.hashing import digest_of, sha256
from assay.core.target import Corpus, Document
from assay.errors import CorruptArtifact


def corpus_digest(paths: Sequence[Path]) -> str:
    """Computes the digest of a corpus's files; "" for none."""
    return digest_of([sha256(path) for path in paths]) if paths else ""


@functools.lru_cache(maxsize=64)
def read_corpus(paths: tuple[Path, ...], expected: str) -> Corpus:
    """Reads the documents of JSON-lines files ({"prompt", "text"} each), once, in the order of their content digests.

    Args:
        paths: the files.
        expected: their recorded `corpus_digest`.

    Raises:
        CorruptArtifact: the files are not the recorded ones.
    """
    found = corpus_digest(paths)
    if found != expected:
        raise CorruptArtifact(paths[0].parent, expected, found, "Restore the corpus, or rebuild the testbed.")
    documents: dict[str, Document] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            key = digest_of(item)[:12]
            documents[key] = Document(key, item.get("prompt", ""), item["text"])
    # The order of the files could tell what was planted from what it lies in.
    return Corpus(tuple(documents[key] for key in sorted(documents)), found)
