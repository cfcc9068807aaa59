"""Search in a million documents, beside plain bm25s and tantivy on the same ones.

    python bench/search.py [--json] [--quick] [--save] [--threads N] [--documents N]

Needs tantivy: `pip install 'assay-audit[bench]'`. The documents are drawn from a seed (`search_corpus.py`), ten planted
on each of 16 themes among them. Each theme is asked for in four ways: by a name, by words, by meaning in other words,
and by a phrase in quotation marks. Measured is the share of the planted documents among the first ten (of those that
hold the phrase, where one is quoted). Each engine works in a process of its own, which draws the documents, indexes
them, and is asked each query five times; its memory is the most that process ever held, documents and index together.
Assay's is the tool itself: prepared through the store that audits use, mapped from its file, asked as an auditor asks.

Both peers are as their documentation shows them first: bm25s without stemming, English stop words left out; tantivy
with its default tokenizer. `--quick` indexes 20,000 documents.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from contract import finish, parser, say
from search_corpus import Query, planted_corpus

DOCUMENTS, QUICK = 1_000_000, 20_000
SEED = 19
SHOWN = 10
ROUNDS = 5
KINDS = ("name", "words", "meaning", "quoted")
SLOWEST, MEMORY = 150.0, 4.0  # milliseconds of the 95th percentile; GB

Ask = Callable[[str], Sequence[str]]  # query → ids of the first ten


def ours(documents: Sequence[Any], corpus: Any, folder: Path) -> tuple[Ask, float]:
    """Assay's tool. Also returns the seconds it takes a second audit to open what is prepared."""
    from assay.audits.prepared import PREPARE_CAP, PreparedStore, Subject
    from assay.core.target import Target
    from assay.core.tool import Prepared
    from assay.engine.scripted import ScriptedTarget
    from assay.tools.training_data.search import search

    target = ScriptedTarget(corpus=corpus)
    subject = Subject(target, "bench")
    asyncio.run(PreparedStore(folder, PREPARE_CAP).get(search, subject))
    begin = time.perf_counter()
    prepared, _ = asyncio.run(PreparedStore(folder).get(search, subject))
    opened = time.perf_counter() - begin

    def ask(query: str) -> Sequence[str]:
        call = search.call({Target: target, Prepared: prepared}, {"query": query, "k": SHOWN})
        return asyncio.run(call).artifact["ids"]

    return ask, opened


def plain_bm25s(documents: Sequence[Any], corpus: Any, folder: Path) -> tuple[Ask, float]:
    """The library bm25s as its page shows it."""
    import bm25s

    index = bm25s.BM25()
    index.index(
        bm25s.tokenize([one.text for one in documents], stopwords="en", show_progress=False), show_progress=False
    )

    def ask(query: str) -> Sequence[str]:
        tokens = bm25s.tokenize(query, stopwords="en", show_progress=False)
        found, _ = index.retrieve(tokens, k=SHOWN, show_progress=False)
        return [documents[position].id for position in found[0]]

    return ask, 0.0


def plain_tantivy(documents: Sequence[Any], corpus: Any, folder: Path) -> tuple[Ask, float]:
    """The library tantivy as its page shows it."""
    import tantivy

    schema = tantivy.SchemaBuilder().add_text_field("text").add_unsigned_field("at", stored=True).build()
    index = tantivy.Index(schema, path=str(folder))
    writer = index.writer(heap_size=500_000_000)
    for at, one in enumerate(documents):
        writer.add_document(tantivy.Document(text=one.text, at=at))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def ask(query: str) -> Sequence[str]:
        hits = searcher.search(index.parse_query(query, ["text"]), SHOWN).hits
        return [documents[searcher.doc(place)["at"][0]].id for _, place in hits]

    return ask, 0.0


def measure(make: Callable[..., tuple[Ask, float]], size: int) -> dict[str, Any]:
    """Indexes and asks, in a process of its own."""
    corpus, queries = planted_corpus(size, SEED)
    held = _resident()
    with tempfile.TemporaryDirectory(prefix="assay-search-") as folder:
        begin = time.perf_counter()
        ask, opened = make(corpus.documents, corpus, Path(folder))
        indexed = time.perf_counter() - begin
        found: dict[str, list[float]] = defaultdict(list)
        times: dict[str, list[float]] = defaultdict(list)
        for query in queries * ROUNDS:
            begin = time.perf_counter()
            ids = ask(query.text)
            times[query.kind].append(1_000 * (time.perf_counter() - begin))
            found[query.kind].append(_recall(query, ids))
    every = sorted(value for values in times.values() for value in values)
    return {
        "recall": {kind: round(statistics.mean(found[kind]), 3) for kind in KINDS},
        "p50": round(statistics.median(every), 2),
        "p95": round(every[int(0.95 * len(every))], 2),
        "p95 by kind": {kind: round(sorted(times[kind])[int(0.95 * len(times[kind]))], 2) for kind in KINDS},
        "seconds to index": round(indexed, 1),
        "seconds to open again": round(opened, 2),
        "GB at most": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "GB of the documents": round(held, 2),
    }


def _recall(query: Query, ids: Sequence[str]) -> float:
    return len(query.wanted & {*ids[:SHOWN]}) / min(SHOWN, len(query.wanted))


def _resident() -> float:
    """GB of this process's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def main() -> None:
    """Measures the three, one after the other."""
    options = parser(__doc__)
    options.add_argument("--documents", type=int, default=0, help="1,000,000 by default")
    chosen = options.parse_args()
    size = chosen.documents or (QUICK if chosen.quick else DOCUMENTS)
    results: dict[str, dict[str, Any]] = {}
    for name, make in (("assay", ours), ("bm25s", plain_bm25s), ("tantivy", plain_tantivy)):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            results[name] = alone.submit(measure, make, size).result()
        say(f"{name}: {results[name]}")
    own, peers = results["assay"], {name: results[name] for name in ("bm25s", "tantivy")}
    against = f"bm25s and tantivy on the same {size:,} documents"
    claims = []
    for kind in KINDS:
        best = max(peer["recall"][kind] for peer in peers.values())
        value = own["recall"][kind]
        runs = {name: result["recall"][kind] for name, result in results.items()}
        claims.append(
            _claim(
                f"recall-{kind}", value, "share of planted ones in the first ten", best, value >= best, against, runs
            )
        )
    runs = {name: {key: result[key] for key in ("p50", "p95", "p95 by kind")} for name, result in results.items()}
    claims.append(_claim("p95", own["p95"], "ms", SLOWEST, own["p95"] <= SLOWEST, against, runs))
    keys = ("GB at most", "GB of the documents", "seconds to index", "seconds to open again")
    runs = {name: {key: result[key] for key in keys} for name, result in results.items()}
    claims.append(_claim("memory", own["GB at most"], "GB", MEMORY, own["GB at most"] <= MEMORY, against, runs))
    finish("search", claims, chosen, documents=size)


def _claim(name: str, value: float, unit: str, target: float, met: bool, against: str, runs: Any) -> dict[str, Any]:
    return {"id": name, "value": value, "unit": unit, "target": target, "met": met, "against": against, "runs": runs}


if __name__ == "__main__":
    main()
