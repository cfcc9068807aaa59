"""Reads training data from disk, verified by content."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from assay._util.atomic import write_text
from assay._util.hashing import digest_of, sha256
from assay.core.target import Corpus, Document
from assay.engine.composed import document_files
from assay.engine.training_data import TrainingText, read_training_data
from assay.errors import CorruptArtifact

_KEPT = 8  # corpora in memory, of up to 100 MB each


def corpus_digest(paths: Sequence[Path]) -> str:
    """Computes the digest of a corpus's files; "" for none."""
    return digest_of([sha256(path) for path in paths]) if paths else ""


def write_documents(texts: Iterable[TrainingText], path: Path) -> None:
    """Writes training data in the shape Assay keeps it in: JSON lines of {"prompt", "text"}, whole or not at all.

    Raises:
        NotWritten: there is no room, or no permission; nothing is left behind.
    """
    lines = [json.dumps(text._asdict(), ensure_ascii=False) + "\n" for text in texts]
    write_text(path, "".join(lines))


@functools.lru_cache(maxsize=_KEPT)
def read_corpus(paths: tuple[Path, ...], expected: str) -> Corpus:
    """Reads the documents of files of training data, once, in the order of their content digests.

    Args:
        paths: the files, each in one of the shapes of `training_data`; or a plan and its stock (`composed`).
        expected: their recorded `corpus_digest`.

    Raises:
        CorruptArtifact: the files are not the recorded ones.
        InvalidInput: they are, and hold what is no training data.
    """
    found = corpus_digest(paths)
    if found != expected:
        raise CorruptArtifact(paths[0].parent, expected, found, "Restore the corpus, or rebuild the testbed.")
    documents: dict[str, Document] = {}
    for path in document_files(paths):
        for item in read_training_data(path):
            key = digest_of(item._asdict())[:12]
            documents[key] = Document(key, item.prompt, item.text)
    # The order of the files could tell what was planted from what it lies in.
    return Corpus(tuple(documents[key] for key in sorted(documents)), found)
