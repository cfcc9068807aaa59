"""Requests on their way to the workers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from assay.core.edit import Edit
from assay.core.readouts import Loss, WithRespectTo
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.sampling import entropy
from assay.errors import InvalidInput

_LINGER = 0.004  # seconds an idle worker waits for company after a first request


@dataclass(frozen=True, slots=True)
class Probe:
    """What is read off one pass over a prompt, instead of sampling.

    Attributes:
        top: next tokens wanted at each position, with the log-probabilities of those given; None for none of it.
        layers: whose residual stream is wanted.
        gradient: what to differentiate, with respect to what, and where the scored part begins.
    """

    top: int | None = None
    layers: tuple[int, ...] = ()
    gradient: tuple[WithRespectTo, Loss, int] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One sample of one prompt, or one probe of it."""

    prompt: tuple[int, ...]
    adapter: LoraAdapter | None
    max_tokens: int
    temperature: float
    seed: int
    sample: int
    edits: tuple[Edit, ...] = ()
    probe: Probe | None = None

    @property
    def entropy(self) -> int:
        """Seed of the request's own random numbers: the same for target and reference, so that they can be paired."""
        return entropy(self.seed, self.sample, self.prompt)


@dataclass(frozen=True, slots=True)
class Sampled:
    """Token ids of a reply, without the stop token."""

    tokens: list[int]
    finish: Literal["stop", "length"]


Item = tuple[Request, "Future[Any]"]  # of Sampled, or of what a probe returns


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

    def submit(self, requests: Sequence[Request]) -> list[Future[Any]]:
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
        futures: list[Future[Any]] = [Future() for _ in requests]
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
