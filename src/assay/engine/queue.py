"""Requests on their way to the workers."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from assay.core.errors import InvalidInput
from assay.core.target import Edit
from assay.engine.lora import Adapter

_LINGER = 0.004  # seconds an idle worker waits for company after a first request


@dataclass(frozen=True, slots=True)
class Request:
    """One sample of one prompt."""

    prompt: tuple[int, ...]
    adapter: Adapter | None
    max_tokens: int
    temperature: float
    seed: int
    sample: int
    edits: tuple[Edit, ...] = ()

    @property
    def entropy(self) -> int:
        """Seed of the request's own random numbers: the same for target and reference, so that they can be paired."""
        text = f"{self.seed}/{self.sample}/{self.prompt}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(frozen=True, slots=True)
class Sampled:
    """Token ids of a reply, without the stop token."""

    tokens: list[int]
    finish: Literal["stop", "length"]


Item = tuple[Request, "Future[Sampled]"]


class Queue:
    """What waits for a row, shared by all workers.

    Args:
        workers: how many take from it; each gets its share of what there is, so that none idles beside a full one.
        max_length: longest prompt + reply, in tokens.
    """

    def __init__(self, workers: int, max_length: int) -> None:
        self._workers, self._max_length = workers, max_length
        self._waiting: deque[Item] = deque()
        self._taken = 0  # and not finished
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, requests: Sequence[Request]) -> list[Future[Sampled]]:
        """Queue requests; a future that is cancelled frees its row at the next step.

        Raises:
            InvalidInput: a prompt with its reply would be longer than the engine's longest sequence.
        """
        for request in requests:
            if len(request.prompt) + request.max_tokens > self._max_length:
                raise InvalidInput(
                    f"prompt of {len(request.prompt)} tokens + max_tokens {request.max_tokens} is longer than "
                    f"{self._max_length} tokens."
                )
        futures: list[Future[Sampled]] = [Future() for _ in requests]
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._waiting.extend(zip(requests, futures, strict=True))
            self._changed.notify_all()
        return futures

    def wait(self, *, idle: bool) -> bool:
        """Wait for requests if a worker has nothing else to do; whether there is to be any more work."""
        with self._changed:
            if idle and not self._waiting:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                self._changed.wait_for(lambda: self._closed, timeout=_LINGER)
            return not self._closed

    def take(self, rows: int, most: int) -> list[Item]:
        """Requests for the free rows of a worker, all of one adapter: the oldest's. Fewer adapters a step is faster.

        Args:
            rows: it has.
            most: it can have.
        """
        with self._changed:
            self._waiting = deque(item for item in self._waiting if not item[1].cancelled())
            share = -(-(self._taken + len(self._waiting)) // self._workers)
            room = min(share, most) - rows
            if room <= 0 or not self._waiting:
                return []
            adapter = self._waiting[0][0].adapter
            taken = [item for item in self._waiting if item[0].adapter is adapter][:room]
            chosen = {id(future) for _, future in taken}
            self._waiting = deque(item for item in self._waiting if id(item[1]) not in chosen)
            self._taken += len(taken)
        for _, future in taken:
            future.add_done_callback(self._finished)
        return taken

    def _finished(self, _future: Future[Sampled]) -> None:
        with self._changed:
            self._taken -= 1

    def close(self) -> None:
        """No more work; what waits is cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            future.cancel()
