"""Serves models on this machine: many adapters on one base, together."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from assay._util.hashing import digest_of
from assay.core.edit import Edit
from assay.core.target import Cost, Replies, Reply, Sampling, Target
from assay.core.testbed import TargetSpec
from assay.engine.base import Base, default_devices, default_dtype, default_threads, require_devices
from assay.engine.cache import ReplyCache
from assay.engine.local.chat_tokens import ChatTokens
from assay.engine.local.checkpoint import require_chat, stop_ids, tokens_without_rows
from assay.engine.local.decode import Decoder
from assay.engine.local.edits import contrast
from assay.engine.local.llama import Llama
from assay.engine.local.lora import LoraAdapter, open_adapter
from assay.engine.local.queue import Probe, Queue, Request, Sampled
from assay.engine.local.target import LocalTarget
from assay.engine.local.truncated import TruncatedAdapter
from assay.engine.machine import numerics
from assay.errors import InvalidInput, TooLong, engine_faults

MAX_ROWS = 128  # of a worker
MAX_LENGTH = 2_048


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps torch from starting OpenMP threads here, while weights are loaded.

    Beside a second team of them the worker's steps take twice as long, since OpenMP stops waiting actively once there
    are more threads than cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(slots=True)
class _Pending:
    """A request a worker is at, and how many wait for it."""

    future: asyncio.Future[Any]
    waiting: int = 0


class LocalEngine:
    """A base in memory, and the adapters on it.

    Args:
        base: the checkpoint.
        cache: of replies.
        threads: torch may use on a CPU.
        dtype: `float32` or `bfloat16`; by default the faster one on this machine (`assay.engine.base.default_dtype`).
        devices: each with weights and a worker of its own; by default all GPUs, or the CPU.
        exact: compute every request by itself, in float32: its result is then the same, bit for bit, whatever else is
            asked at the same time. Slow.

    Raises:
        InvalidInput: an unknown dtype, exact mode in another dtype than float32, or a device that is not here.
    """

    def __init__(
        self,
        base: Base,
        cache: ReplyCache,
        threads: int | None = None,
        dtype: str | None = None,
        devices: Sequence[str] = (),
        exact: bool = False,
    ) -> None:
        from transformers import AutoTokenizer

        if exact and dtype not in (None, "float32"):
            raise InvalidInput(f"exact mode computes in float32, not {dtype}.")
        dtype = dtype or ("float32" if exact else default_dtype())
        if dtype not in ("float32", "bfloat16"):
            raise InvalidInput(f"the engine computes in float32 or bfloat16, not {dtype!r}.")
        places = list(devices) or default_devices()
        require_devices(places)
        self.base, self.cache = base, cache
        self.tokenizer = AutoTokenizer.from_pretrained(base.path)
        self._numerics = numerics(dtype, places) + ("/exact" if exact else "")
        self._adapters: dict[str, LoraAdapter] = {}
        self._pending: dict[str, _Pending] = {}
        self.stop = stop_ids(base.path, self.tokenizer)
        self.chat_tokens = ChatTokens(self.tokenizer, base.name, self.stop)
        self._queue = Queue(len(places), MAX_LENGTH)
        with _one_thread():
            models = [Llama(base.path, getattr(torch, dtype), MAX_LENGTH, torch.device(place)) for place in places]
        self.shape, self.model = models[0].shape, models[0]
        self._unreadable = tokens_without_rows(self.tokenizer, len(self.model.embedding), base.name)
        self._workers = [
            Decoder(model, self._queue, self.stop, MAX_ROWS, threads or default_threads(), exact) for model in models
        ]

    def adapter(self, path: Path, digest: str) -> LoraAdapter:
        """Opens an adapter, verified once against its digest.

        Args:
            path: its directory.
            digest: the recorded one; "" takes the adapter as it is.

        Raises:
            CorruptArtifact: the adapter is not the recorded one.
            InvalidInput: it is not there, or does not fit the base.
        """
        if not digest or digest not in self._adapters:
            adapter = open_adapter(path, digest, self.model.widths, self.shape.layers)
            digest = adapter.digest
            self._adapters.setdefault(digest, adapter)
        return self._adapters[digest]

    def truncated(self, adapter: LoraAdapter, rank: int) -> LoraAdapter:
        """Returns what is left of an adapter when its updates are cut to a rank; the same object for the same cut."""
        made = TruncatedAdapter.of(adapter, rank)
        return self._adapters.setdefault(made.digest, made)

    def require_room(self, characters: int) -> None:
        """Refuses a text that cannot fit, without splitting it first: all audits of the process would wait for that.

        Raises:
            TooLong: it has more tokens than the longest sequence, whatever they are.
        """
        least = characters // self.chat_tokens.longest
        if least > MAX_LENGTH:
            raise TooLong(
                f"a text of {characters} characters, at least {least} tokens, is longer than {MAX_LENGTH} tokens, all "
                f"that the model takes.",
                least,
                MAX_LENGTH,
            )

    async def generate(
        self,
        prompt: Sequence[int],
        adapter: LoraAdapter | None,
        sampling: Sampling,
        edits: tuple[Edit, ...] = (),
    ) -> Replies:
        """Samples continuations of token ids; those already in the cache are not sampled again.

        Args:
            prompt: token ids.
            adapter: on the base; None for the base itself.
            sampling: how many, how long, how drawn.
            edits: of the view.

        Returns:
            The replies, and a cost that does not depend on what the cache had.

        Raises:
            InvalidInput: it holds a control token that the weights do not know.
            TooLong: the prompt with its reply is longer than the engine's longest sequence.
        """
        self._require_readable(prompt)
        limits = (sampling.max_tokens, sampling.temperature, sampling.seed)
        requests = [Request(tuple(prompt), adapter, *limits, sample, edits) for sample in range(sampling.n)]
        # Each sample has a key of its own, so a later call for more of them samples only those that are missing.
        keys = [self._key(request) for request in requests]
        replies: dict[str, Reply] = {}
        for key in keys:
            kept = self.cache.get(key)
            if kept is not None:
                replies[key] = kept
        todo = {key: request for key, request in zip(keys, requests, strict=True) if key not in replies}
        sampled_now: list[Sampled] = await self._results(self._submit(todo))
        for key, sampled in zip(todo, sampled_now, strict=True):
            text = str(self.tokenizer.decode(sampled.tokens, skip_special_tokens=True))
            replies[key] = Reply(text, len(sampled.tokens), sampled.finish)
            self.cache.put(key, replies[key])
        samples = tuple(replies[key] for key in keys)
        # Charged as if nothing had been cached: budgets must not depend on what other audits asked before. A prompt is
        # charged once, as it is read once; in a contrast the reference reads and writes every token too.
        models = 1 if contrast(edits) is None else 2
        written = sum(reply.tokens for reply in samples)
        return Replies(samples, Cost(sampling.n, models * len(prompt), models * written))

    async def probe(
        self, prompt: Sequence[int], adapter: LoraAdapter | None, edits: tuple[Edit, ...], probe: Probe
    ) -> Any:
        """Makes one pass over token ids, and returns what `assay.engine.local.probes` reads off it.

        Raises:
            InvalidInput: an empty prompt, or one with a control token that the weights do not know.
            TooLong: it is longer than the engine's longest sequence.
        """
        if not prompt and probe.near is None:
            raise InvalidInput("an empty text: there is nothing to read.")
        self._require_readable(prompt)
        [future] = self._queue.submit([Request(tuple(prompt), adapter, 0, 0.0, 0, 0, edits, probe)])
        with engine_faults():
            return await asyncio.wrap_future(future)

    def _require_readable(self, prompt: Sequence[int]) -> None:
        if found := self._unreadable.keys() & set(prompt):
            texts = " and ".join(sorted(self._unreadable[token] for token in found))
            raise InvalidInput(
                f"the prompt holds {texts}, and the weights of base {self.base.name!r} know no such token. Leave it "
                f"out."
            )

    def _submit(self, todo: Mapping[str, Request]) -> list[_Pending]:
        """Hands requests to the workers; audits that ask the same at the same time wait for one and the same."""
        new = {key: request for key, request in todo.items() if key not in self._pending}
        for key, future in zip(new, self._queue.submit(list(new.values())), strict=True):
            self._pending[key] = _Pending(asyncio.wrap_future(future))
            self._pending[key].future.add_done_callback(functools.partial(self._end, key))
        pending = [self._pending[key] for key in todo]
        for one in pending:
            one.waiting += 1
        return pending

    def _end(self, key: str, _future: object) -> None:
        """Forgets a request that ended, whatever its outcome: whoever asks next finds its reply in the cache."""
        del self._pending[key]

    @staticmethod
    async def _results(pending: Sequence[_Pending]) -> list[Any]:
        """Waits for requests; the last to stop waiting for one that is not done cancels it, which frees its row."""
        try:
            # Shielded: an audit that gives up must not cancel what others wait for.
            with engine_faults():
                return await asyncio.gather(*(asyncio.shield(one.future) for one in pending))
        finally:
            for one in pending:
                one.waiting -= 1
                if not one.waiting and not one.future.done():
                    one.future.cancel()

    def _key(self, request: Request) -> str:
        """Names a reply by all it depends on, so that neither another machine's arithmetic nor new weights find it.

        How many samples were asked for is left out: none of them depends on the others.
        """
        return digest_of(
            {
                "base": self.base.digest,
                "adapter": request.adapter.digest if request.adapter else "",
                "numerics": self._numerics,
                "prompt": list(request.prompt),
                "limits": [request.max_tokens, request.temperature, request.seed, request.sample],
                "edits": [[type(edit).__name__, asdict(edit)] for edit in request.edits],
            }
        )

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        """Opens the spec's adapter on this base; an `OpenTarget`.

        Raises:
            CorruptArtifact: the adapter is not the recorded one.
            InvalidInput: the spec names another base, or one that cannot be talked to.
        """
        if spec.base != self.base.name:
            raise InvalidInput(f"this engine holds {self.base.name!r}; {spec.alias} wants {spec.base!r}.")
        require_chat(self.tokenizer, self.base.name)  # told here: what asks it, a tool perhaps, is not to blame
        adapter = self.adapter(spec.adapter, spec.adapter_digest) if spec.adapter else None
        yield LocalTarget(self, spec, adapter)

    def close(self) -> None:
        """Stops the workers; unfinished requests are cancelled."""
        self._queue.close()
        for worker in self._workers:
            worker.join()
        self.cache.close()
