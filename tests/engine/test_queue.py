"""Workers get their share of what waits, one adapter at a time."""

import threading
from pathlib import Path

import pytest

from assay.engine.local.lora import LoraAdapter
from assay.engine.local.queue import Queue, Request, Sampled
from assay.errors import InvalidInput


def request(adapter: LoraAdapter | None = None, sample: int = 0) -> Request:
    return Request((1, 2, 3), adapter, 4, 0.0, 0, sample)


def test_what_waits_is_shared_evenly() -> None:
    queue = Queue(workers=2, max_length=64)
    queue.submit([request(sample=index) for index in range(10)])
    first, second = queue.take(0, 96), queue.take(0, 96)
    assert (len(first), len(second)) == (5, 5)
    assert queue.take(5, 96) == []
    for _, future in second:
        future.set_result(Sampled([], "stop"))
    queue.submit([request(sample=index) for index in range(10, 15)])
    assert queue.take(5, 96) == []  # five of ten are the share of a worker that has five rows
    assert len(queue.take(0, 96)) == 5


def test_a_full_worker_takes_nothing_and_the_rest_waits() -> None:
    queue = Queue(workers=1, max_length=64)
    queue.submit([request(sample=index) for index in range(10)])
    assert len(queue.take(0, 4)) == 4
    assert queue.take(4, 4) == []
    assert len(queue.take(0, 96)) == 6


def test_requests_of_one_adapter_go_together_and_none_starves() -> None:
    one, other = (LoraAdapter(name, Path(), 1, 0, 0) for name in ("one", "other"))
    queue = Queue(workers=1, max_length=64)
    queue.submit([request(one), request(other), request(one, 1)])
    assert [item[0].adapter for item in queue.take(0, 96)] == [one, one]
    assert [item[0].adapter for item in queue.take(2, 96)] == [other]


def test_cancelled_requests_are_not_handed_out() -> None:
    queue = Queue(workers=1, max_length=64)
    gone, kept = queue.submit([request(), request(sample=1)])
    gone.cancel()
    assert [future for _, future in queue.take(0, 96)] == [kept]


def test_closing_wakes_and_cancels() -> None:
    queue = Queue(workers=1, max_length=64)
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(queue.wait(idle=True)))
    waiting.start()
    queue.close()
    waiting.join(10)
    assert answers == [False] and not waiting.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit([request()])


def test_too_long_a_request_is_refused() -> None:
    with pytest.raises(InvalidInput, match="longer than 5 tokens"):
        Queue(workers=1, max_length=5).submit([request()])
