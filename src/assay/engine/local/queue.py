"""Hands requests on to the workers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from assay.core.edit import Edit
from assay.core.readouts import Array, Loss, Vocabulary, WithRespectTo
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.sampling import entropy
from assay.errors import TooLong

_LINGER = 0.004  # seconds an idle worker waits for company after a first request


@dataclass(frozen=True, slots=True)
class Probe:
    """What is read off one pass over a prompt, instead of sampling.

    Attributes:
        top: next tokens wanted at each position, with the log-probabilities of those given; None for none of it.
        layers: whose residual stream is wanted.
        gradient: what to differentiate, with respect to what, and where the scored part begins.
        divergence: of the next-token distributions from the base's is wanted, at each position.
        near: vectors whose nearest tokens are wanted, how many, and by what; no pass is made for them.
    """

    top: int | None = None
    layers: tuple[int, ...] = ()
    gradient: tuple[WithRespectTo, Loss, int] | None = None
    divergence: bool = False
    near: tuple[Array, int, Vocabulary] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One sample of one prompt, or one probe of it.

    Attributes:
        prompt: token ids.
        adapter: None for the base.
        max_tokens: of the reply; 0 for a probe.
        temperature: 0 is greedy.
        seed: of the call.
        sample: which of the call's samples it is, from 0.
        edits: of the view.
        probe: what is read off a pass over the prompt; None to sample.
    """

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
        """Returns the seed of the request's own random numbers."""
        return entropy(self.seed, self.sample, self.prompt)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A reply as token ids.

    Attributes:
        tokens: without the one that ended it.
        finish: why it ended.
    """

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
        """Queues requests; a future that is cancelled frees its row at the next step.

        Raises:
            TooLong: a prompt with its reply would be longer than the engine's longest sequence.
        """
        for request in requests:
            if len(request.prompt) + request.max_tokens > self._max_length:
                raise TooLong(
                    f"prompt of {len(request.prompt)} tokens + max_tokens {request.max_tokens} is longer than "
                    f"{self._max_length} tokens, all that the model takes.",
                    len(request.prompt),
                    self._max_length,
                )
        futures: list[Future[Any]] = [Future() for _ in requests]
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._waiting.extend(zip(requests, futures, strict=True))
            self._changed.notify_all()
        return futures

    def wait(self, *, idle: bool) -> bool:
        """Waits for requests if a worker has nothing else to do.

        Args:
            idle: the worker has no live row.

        Returns:
            Whether there is to be any more work: False once the queue is closed.
        """
        with self._changed:
            if idle and not self._waiting:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                # Requests seldom come alone: those that arrive while the first is read would make a pass of their own.
                self._changed.wait_for(lambda: self._closed, timeout=_LINGER)
            return not self._closed

    def take(self, rows: int, most: int) -> list[Item]:
        """Takes requests for the free rows of a worker, all of one adapter.

        Args:
            rows: it has.
            most: it can have.

        Returns:
            The requests, oldest first; none if its rows are full, or its share of the work is.
        """
        with self._changed:
            self._waiting = deque(item for item in self._waiting if not item[1].cancelled())
            # An equal share of all that is at work or waits, so that none idles while another's batch is long.
            share = -(-(self._taken + len(self._waiting)) // self._workers)
            room = min(share, most) - rows
            if room <= 0 or not self._waiting:
                return []
            # The oldest request's adapter, so that none waits forever; of one adapter, since a pass has only one, and
            # a step of fewer adapters is faster.
            adapter = self._waiting[0][0].adapter
            taken = [item for item in self._waiting if item[0].adapter is adapter][:room]
            chosen = {id(future) for _, future in taken}
            self._waiting = deque(item for item in self._waiting if id(item[1]) not in chosen)
            self._taken += len(taken)
        for _, future in taken:
            future.add_done_callback(self._finished)
        return taken

    def _finished(self, _future: Future[Any]) -> None:
        """Counts one request less, however it ended, so that shares stay right."""
        with self._changed:
            self._taken -= 1

    def close(self) -> None:
        """Ends the work; what waits is cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            future.cancel()


def deliver(future: Future[Any], result: object) -> None:
    """Sets a result, unless nobody waits for it any more."""
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def fail(future: Future[Any], error: Exception) -> None:
    """Sets an error, unless the request has ended already."""
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)
