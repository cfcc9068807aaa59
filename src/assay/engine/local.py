"""Targets on this machine: many adapters on one base, served together."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from assay.core.access import Access
from assay.core.errors import CorruptArtifact, InvalidInput
from assay.core.record import digest_of
from assay.core.target import Corpus, Cost, Document, Edit, Messages, Noise, Replies, Reply, Target, as_messages
from assay.core.testbed import TargetSpec
from assay.engine.base import NUMERICS, Base, sha256
from assay.engine.cache import ReplyCache
from assay.engine.decode import Worker
from assay.engine.llama import Llama
from assay.engine.lora import Adapter, load_adapter
from assay.engine.queue import Queue, Request, Sampled
from assay.engine.trunk import Trunk

MAX_ROWS = 128  # of a worker
MAX_LENGTH = 2_048


def default_threads() -> int:
    """`ASSAY_THREADS`, or one a core."""
    return int(os.environ.get("ASSAY_THREADS") or len(os.sched_getaffinity(0)))


@dataclass(slots=True)
class _Flight:
    """A request a worker is at, and how many wait for it."""

    future: asyncio.Future[Sampled]
    passengers: int = 0


class LocalEngine:
    """One base in memory and the adapters on it.

    Args:
        base: the checkpoint.
        cache: of replies.
        threads: workers that decode side by side, one thread each, on the same weights.
        dtype: `float32` is exact and, without AVX-512 BF16 or AMX, also the faster.
    """

    def __init__(
        self, base: Base, cache: ReplyCache, threads: int | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        from transformers import AutoTokenizer

        self.base, self.cache = base, cache
        self.tokenizer = AutoTokenizer.from_pretrained(base.path)
        self._model = Llama(base.path, dtype, MAX_LENGTH)
        self.layers = self._model.shape.layers
        self._numerics = f"{NUMERICS}/{dtype}"
        self._adapters: dict[str, Adapter] = {}
        self._flights: dict[str, _Flight] = {}
        stop = {self.tokenizer.eos_token_id, self.tokenizer.convert_tokens_to_ids("<|endoftext|>")}
        self.stop: frozenset[int] = frozenset(stop - {None})
        count = threads or default_threads()
        self._queue = Queue(count, MAX_LENGTH)
        trunk = Trunk(self._model)
        self._workers = [Worker(self._model, trunk, self._queue, self.stop, MAX_ROWS) for _ in range(count)]

    def adapter(self, path: Path, digest: str) -> Adapter:
        """An adapter, read once and verified against its digest ("" takes it as it is)."""
        if not digest or digest not in self._adapters:
            adapter = load_adapter(path, digest, self._model.widths, self.layers, self._model.dtype)
            digest = adapter.digest
            self._adapters.setdefault(digest, adapter)
        return self._adapters[digest]

    async def generate(
        self,
        prompt: Sequence[int],
        adapter: Adapter | None,
        *,
        n: int,
        max_tokens: int,
        temperature: float,
        seed: int,
        edits: tuple[Edit, ...] = (),
    ) -> Replies:
        """Sample n continuations of token ids; those already in the cache are not sampled again.

        Raises:
            InvalidInput: n or max_tokens below 1, a negative temperature, or too long a prompt.
        """
        if n < 1 or max_tokens < 1 or temperature < 0:
            raise InvalidInput(f"n={n}, max_tokens={max_tokens}, temperature={temperature}: want ≥ 1, ≥ 1, ≥ 0.")
        requests = [
            Request(tuple(prompt), adapter, max_tokens, temperature, seed, sample, edits) for sample in range(n)
        ]
        keys = [self._key(request) for request in requests]
        replies = {key: reply for key in keys if (reply := self.cache.get(key)) is not None}
        todo = {key: request for key, request in zip(keys, requests, strict=True) if key not in replies}
        landed = await self._land(self._depart(todo))
        for key, sampled in zip(todo, landed, strict=True):
            text = str(self.tokenizer.decode(sampled.tokens, skip_special_tokens=True))
            replies[key] = Reply(text, len(sampled.tokens), sampled.finish)
            self.cache.put(key, replies[key])
        samples = tuple(replies[key] for key in keys)
        return Replies(samples, Cost(n, len(prompt), sum(reply.tokens for reply in samples)))

    def _depart(self, todo: Mapping[str, Request]) -> list[_Flight]:
        """One flight a request; audits that ask the same at the same time share it."""
        new = {key: request for key, request in todo.items() if key not in self._flights}
        for key, future in zip(new, self._queue.submit(list(new.values())), strict=True):
            self._flights[key] = _Flight(asyncio.wrap_future(future))
            self._flights[key].future.add_done_callback(functools.partial(self._forget, key))
        flights = [self._flights[key] for key in todo]
        for flight in flights:
            flight.passengers += 1
        return flights

    def _forget(self, key: str, _landed: object) -> None:
        del self._flights[key]

    @staticmethod
    async def _land(flights: Sequence[_Flight]) -> list[Sampled]:
        """Wait for flights; the last passenger to leave before one lands calls it off, which frees its row."""
        try:
            return await asyncio.gather(*(asyncio.shield(flight.future) for flight in flights))
        finally:
            for flight in flights:
                flight.passengers -= 1
                if not flight.passengers and not flight.future.done():
                    flight.future.cancel()

    def _key(self, request: Request) -> str:
        return digest_of(
            {
                "base": self.base.digest,
                "adapter": request.adapter.digest if request.adapter else "",
                "numerics": self._numerics,
                "prompt": list(request.prompt),
                "limits": [request.max_tokens, request.temperature, request.seed, request.sample],
                "edits": [[edit.layer, edit.scale, edit.seed] for edit in request.edits],
            }
        )

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        """An `OpenTarget`: the spec's adapter on this base.

        Raises:
            CorruptArtifact: the adapter is not the recorded one.
            InvalidInput: the spec names another base.
        """
        if spec.base != self.base.name:
            raise InvalidInput(f"this engine holds {self.base.name!r}; {spec.alias} wants {spec.base!r}.")
        adapter = self.adapter(spec.adapter, spec.adapter_digest) if spec.adapter else None
        yield LocalTarget(self, spec, adapter)

    def close(self) -> None:
        """Stop the workers; unfinished requests are cancelled."""
        self._queue.close()
        for worker in self._workers:
            worker.join()
        self.cache.close()


class LocalTarget:
    """One adapter on the engine's base, or the base itself."""

    def __init__(
        self, engine: LocalEngine, spec: TargetSpec, adapter: Adapter | None, edits: tuple[Edit, ...] = ()
    ) -> None:
        self._engine, self._spec, self._adapter, self._edits = engine, spec, adapter, edits

    @property
    def alias(self) -> str:
        return self._spec.alias

    @property
    def access(self) -> frozenset[Access]:
        return self._spec.access

    @property
    def layers(self) -> int:
        return self._engine.layers

    @property
    def reference(self) -> Target | None:
        return LocalTarget(self._engine, self._spec, None)

    @property
    def corpus(self) -> Corpus | None:
        return read_corpus(self._spec.corpus, self._spec.corpus_digest) if self._spec.corpus else None

    async def chat(
        self, messages: Messages, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        turns = as_messages(messages)
        prefill = turns[-1].content if turns[-1].role == "assistant" else ""
        spoken = [{"role": turn.role, "content": turn.content} for turn in (turns[:-1] if prefill else turns)]
        text = str(self._engine.tokenizer.apply_chat_template(spoken, tokenize=False, add_generation_prompt=True))
        return await self.complete(text + prefill, n=n, max_tokens=max_tokens, temperature=temperature, seed=seed)

    async def complete(
        self, text: str, *, n: int = 1, max_tokens: int = 64, temperature: float = 1.0, seed: int = 0
    ) -> Replies:
        tokens = self._engine.tokenizer(text, add_special_tokens=False)["input_ids"]
        return await self._engine.generate(
            tokens, self._adapter, n=n, max_tokens=max_tokens, temperature=temperature, seed=seed, edits=self._edits
        )

    @asynccontextmanager
    async def intervene(self, *edits: Edit) -> AsyncIterator[Target]:
        for edit in edits:
            if not isinstance(edit, Noise) or not 0 <= edit.layer < self.layers:
                raise InvalidInput(f"{edit!r}: want Noise on a layer from 0 to {self.layers - 1}.")
        yield LocalTarget(self._engine, self._spec, self._adapter, self._edits + edits)


def corpus_digest(paths: Sequence[Path]) -> str:
    """Digest of a corpus's files."""
    return digest_of([sha256(path) for path in paths]) if paths else ""


@functools.lru_cache(maxsize=64)
def read_corpus(paths: tuple[Path, ...], expected: str) -> Corpus:
    """Documents of JSON-lines files ({"prompt", "text"} each), in the order of their content digests; read once.

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
    return Corpus(tuple(documents[key] for key in sorted(documents)), found)
