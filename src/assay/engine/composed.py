"""Corpora that are made where they are opened: a small file says of what, from which seed, and with what digest.

A testbed's training data may name, beside files of documents, a plan (`composed.yaml`) and the stock it is composed of.
What is made of both lies under `ASSAY_HOME/corpora`, by its digest; a file that is missing or damaged is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from assay._util.atomic import new_file
from assay._util.file_lock import holding
from assay._util.hashing import sha256
from assay._util.paths import home
from assay._util.yaml_models import Data, load_yaml
from assay.engine.composing import Composer, open_stock
from assay.errors import CorruptArtifact, InvalidInput, NotWritten

COMPOSED = "composed.yaml"  # name of a plan, beside a testbed's own files
PACKED = ".json.gz"  # ends the name of a stock


class CorpusSeed(Data):
    """What a corpus's ordinary documents are made of.

    Attributes:
        stock: SHA-256 of the stock.
        seed: of the draws.
        documents: how many.
        digest: SHA-256 of the file that is made.
    """

    stock: str = Field(pattern=r"^[0-9a-f]{64}$")
    seed: int
    documents: int = Field(ge=1, le=5_000_000)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


def open_seed(path: Path) -> CorpusSeed:
    """Opens a plan.

    Raises:
        InvalidInput: it is none.
    """
    plan: CorpusSeed = load_yaml(path, CorpusSeed)
    return plan


def planned(stock: Path, seed: int, documents: int) -> CorpusSeed:
    """Plans a corpus's ordinary documents, and computes the digest they will have."""
    made = hashlib.sha256()
    for line in _lines(stock, seed, documents):
        made.update(line)
    return CorpusSeed(stock=sha256(stock), seed=seed, documents=documents, digest=made.hexdigest())


def document_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the files that hold a corpus's documents, made now where it is composed and they are not there.

    Args:
        paths: of a target's corpus: files of documents, plans and stocks.

    Raises:
        CorruptArtifact: what is made is not what was recorded.
        InvalidInput: a plan without its stock; or there is no room for what is made.
    """
    stocks = [path for path in paths if path.name.endswith(PACKED)]
    found: list[Path] = []
    for path in paths:
        if path.name == COMPOSED:
            found.append(_made(path, stocks))
        elif path not in stocks:
            found.append(path)
    return found


def count_documents(paths: Sequence[Path]) -> int:
    """Counts a corpus's documents without making any; a file that is not there has none."""
    total = 0
    for path in paths:
        if path.name == COMPOSED:
            total += open_seed(path).documents
        elif path.is_file() and not path.name.endswith(PACKED):
            total += path.read_bytes().count(b"\n")
    return total


def _made(path: Path, stocks: Sequence[Path]) -> Path:
    """Makes what a plan says unless it is there; of several processes that want it, one does."""
    plan = open_seed(path)
    place = home() / "corpora" / f"{plan.digest}.jsonl"
    if _whole(place, plan.digest):
        return place
    stock = next((one for one in stocks if sha256(one) == plan.stock), None)
    if stock is None:
        raise InvalidInput(
            f"{path} is composed of the stock {plan.stock[:12]}, which is not among its corpus's files. Restore the "
            "stock, or build the testbed anew."
        )
    try:
        with holding(place.with_suffix(".lock")):
            if not _whole(place, plan.digest):
                _compose(plan, stock, place)
    except NotWritten as error:
        raise InvalidInput(
            f"{error} It is to hold the {plan.documents:,} ordinary documents of a corpus, some "
            f"{plan.documents // 2_000 + 1} MB. Make room there, or set ASSAY_HOME to another folder."
        ) from None
    return place


def _whole(place: Path, digest: str) -> bool:
    return place.is_file() and sha256(place) == digest


def _compose(plan: CorpusSeed, stock: Path, place: Path) -> None:
    made = hashlib.sha256()
    with new_file(place) as scratch, scratch.open("wb") as file:
        for line in _lines(stock, plan.seed, plan.documents):
            file.write(line)
            made.update(line)
        if made.hexdigest() != plan.digest:  # nothing takes the place of what is recorded
            raise CorruptArtifact(place, plan.digest, made.hexdigest(), "Install the Assay that the suite goes with.")


def _lines(stock: Path, seed: int, documents: int) -> Iterator[bytes]:
    for text in Composer(open_stock(stock), seed).documents(documents):
        yield (json.dumps(text._asdict(), ensure_ascii=False) + "\n").encode()
