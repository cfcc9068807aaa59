"""In whatever number format and instructions this process computes, the engine is as near float32 as transformers is.

`tests/test_numerics.py` runs these in every mode the machine has.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.core.access import PRESETS
from assay.core.target import Message
from assay.core.testbed import TargetSpec
from assay.engine.base import default_dtype, find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest
from assay.engine.local.queue import Request

pytestmark = pytest.mark.numerics
TEXTS = ("Hello, what is this?", "The world is", "x" * 50)
SLACK = 2.0  # times transformers' own distance from float32, in the engine's dtype
FLOAT32 = 5e-4  # nats that two orders of summing may differ by


@pytest.fixture
def own(tiny: Path) -> Iterator[LocalEngine]:
    """An engine as this process would choose it."""
    made = LocalEngine(find_base(str(tiny)), ReplyCache(None), threads=2)
    yield made
    made.close()


@dataclass(frozen=True)
class Judge:
    """The same weights in transformers: in float32, and in the engine's dtype."""

    exact: Any
    peer: Any

    @classmethod
    def of(cls, base: Path, adapter: Path | None) -> "Judge":
        made = []
        for dtype in ("float32", default_dtype()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # peft's and transformers' own
                from peft import PeftModel
                from transformers import LlamaForCausalLM

                model = LlamaForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
                made.append((model if adapter is None else PeftModel.from_pretrained(model, adapter)).eval())
        return cls(*made)

    def tables(self, ids: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of every next token after each one: in float32, and as the peer has them."""
        with torch.inference_mode():
            exact, peer = (model(torch.tensor([list(ids)])).logits[0].float() for model in (self.exact, self.peer))
        return exact.log_softmax(-1), peer.log_softmax(-1)

    def bound(self, ids: Sequence[int]) -> float:
        """How far off float32 a log-probability may be in this dtype."""
        exact, peer = self.tables(ids)
        return SLACK * float((exact - peer).abs().max()) + FLOAT32


def specs(tiny: Path, adapters: list[Path]) -> list[TargetSpec]:
    base = TargetSpec("tb-00000000", str(tiny), None, "", (), "", PRESETS["full"])
    return [base] + [
        TargetSpec(f"tb-{n:08}", str(tiny), path, adapter_digest(path), (), "", PRESETS["full"])
        for n, path in enumerate(adapters, 1)
    ]


async def test_log_probabilities_are_as_near_float32_as_transformers_are(
    own: LocalEngine, tiny: Path, adapters: list[Path]
) -> None:
    for spec in specs(tiny, adapters):
        judge = Judge.of(tiny, spec.adapter)
        async with own.open(spec) as target:
            for text in TEXTS:
                read = await target.score([Message("user", text), Message("assistant", text)])
                exact, _ = judge.tables(read.ids)
                expected = exact[:-1].gather(1, torch.tensor(read.ids)[1:, None])[:, 0]
                off = (torch.tensor(read.logprobs[1:]) - expected).abs().max()
                assert float(off) <= judge.bound(read.ids), (spec.alias, text)


def test_greedy_tokens_are_the_best_ones_whoever_is_in_the_batch(
    own: LocalEngine, tiny: Path, adapters: list[Path]
) -> None:
    paths = [None, *adapters]
    loaded = [None, *(own.adapter(path, "") for path in adapters)]
    requests = [Request(tuple(text.encode()), adapter, 12, 0.0, 0, 0) for text in TEXTS for adapter in loaded]
    replies = [future.result(120).tokens for future in own._queue.submit(requests)]
    assert len({tuple(reply) for reply in replies[: len(paths)]}) == len(paths)  # the adapters do something
    for which, path in enumerate(paths):
        judge = Judge.of(tiny, path)
        for request, reply in list(zip(requests, replies, strict=True))[which :: len(paths)]:
            ids = [*request.prompt, *reply]
            exact, _ = judge.tables(ids)
            written = exact[len(request.prompt) - 1 : -1]
            lost = written.max(-1).values - written.gather(1, torch.tensor(reply)[:, None])[:, 0]
            assert float(lost.max()) <= 2 * judge.bound(ids)  # two tokens may both be off


async def test_a_seed_gives_the_same_samples_twice(own: LocalEngine, tiny: Path, adapters: list[Path]) -> None:
    for spec in specs(tiny, adapters):
        async with own.open(spec) as target:
            first, again = [(await target.chat("Hi", n=8, max_tokens=12, seed=3)).texts for _ in range(2)]
            assert first == again and len(set(first)) > 1
