"""What each tool takes, a call and a `prepare`, on one organism; beside the naive way for those that sample replies.

    python bench/tools.py [--json] [--quick] [--save] [--threads N] [--tool NAME ...] [--testbed ID]

A call is the tool's first neutral one, with nothing in any cache. Bar, for every tool that samples replies: calls that
are made at once (16 of a light tool, 4 of a medium one, 1 of a heavy one) are ≥ 3 × as fast as the same requests one
after another by `transformers.generate` on the merged model, each reply as long as the engine's. The naive way is timed
on a dozen of the requests, evenly drawn, and scaled by tokens; edits are left out of it, which flatters it. What only
reads (scores, activations, gradients, weights) is timed without a peer.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from contract import finish, parser, say

from assay.audits.driven import neutral_calls
from assay.audits.kits import bind_kit, parse_kit
from assay.audits.prepared import PreparedStore, Subject, target_digest
from assay.audits.registry import get_tool, tools
from assay.core.budget import Budget, Meter
from assay.core.target import Message, Sampling, Target, as_messages
from assay.core.testbed import TargetSpec
from assay.core.tool import Tool
from assay.engine.base import default_dtype, find_base
from assay.engine.targets import Targets
from assay.errors import AssayError
from assay.testbeds.specs import load_spec
from assay.testbeds.truths import find_alias
from engine import peer_model, peer_process

AT_ONCE = {"light": 16, "medium": 4, "heavy": 1}
QUICK = ("ask", "prefill", "search")
TIMED = 12  # requests of the naive way
BAR = 3.0
BUDGET = Budget(queries=100_000, tokens=10_000_000, seconds=3_600.0)


@dataclass
class Asked:
    """Requests for replies: what was asked, as a list of (role, content) or raw text, and how long each reply was."""

    requests: list[tuple[list[tuple[str, str]] | str, float, tuple[int, ...]]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Returns all that was written."""
        return sum(sum(lengths) for _, _, lengths in self.requests)


class Recorded:
    """A target that writes down what it is asked to say; all else goes through."""

    def __init__(self, target: Any, asked: Asked) -> None:
        self._target, self._asked = target, asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    @property
    def reference(self) -> Any:
        """Returns the reference, written down as well."""
        reference = self._target.reference
        return reference and Recorded(reference, self._asked)

    async def chat(self, messages: Any, sampling: Sampling, **options: Any) -> Any:
        """Samples replies."""
        replies = await self._target.chat(messages, sampling, **options)
        said = [(turn.role, turn.content) for turn in as_messages(messages)]
        self._keep(said, sampling.but(**options), replies)
        return replies

    async def complete(self, text: str, sampling: Sampling, **options: Any) -> Any:
        """Samples continuations."""
        replies = await self._target.complete(text, sampling, **options)
        self._keep(text, sampling.but(**options), replies)
        return replies

    @asynccontextmanager
    async def intervene(self, *edits: Any) -> AsyncIterator[Any]:
        """Opens a view, written down as well."""
        async with self._target.intervene(*edits) as view:
            yield Recorded(view, self._asked)

    def _keep(self, said: Any, sampling: Sampling, replies: Any) -> None:
        lengths = tuple(max(1, sample.tokens) for sample in replies.samples)
        self._asked.requests.append((said, sampling.temperature, lengths))


async def measured(tool: Tool, target: Target, spec: TargetSpec, folder: Path) -> tuple[dict[str, Any], Asked, float]:
    """What one call and preparing take; the requests of several calls at once, and the seconds those took."""
    calls = neutral_calls(tool)
    meter, asked = Meter(BUDGET), Asked()
    subject = Subject(Recorded(target, asked), target_digest(spec))
    plan, known = parse_kit(tool.name, [tool.name]), {tool.name: tool}
    begin = time.perf_counter()
    binding = await bind_kit(plan, known, subject, None, meter, seed=1, store=PreparedStore(folder))
    built = time.perf_counter() - begin
    if tool.name in binding.kit.skipped:
        raise AssayError(binding.kit.skipped[tool.name])
    bound = binding.kit.tools[tool.name]
    begin = time.perf_counter()
    evidence = await bound(**calls[0])
    row = {
        "tool": tool.name,
        "seconds": round(time.perf_counter() - begin, 3),
        "tokens": evidence.cost.tokens,
        "queries": evidence.cost.queries,
        "prepare_seconds": round(built, 3) if tool.prepare else 0.0,
        "prepare_tokens": sum(made.cost.tokens for made in binding.prepared.values()),
    }
    asked.requests.clear()
    several = [calls[1:][number % len(calls[1:])] if calls[1:] else calls[0] for number in range(AT_ONCE[tool.weight])]
    begin = time.perf_counter()
    await asyncio.gather(*(bound(**arguments) for arguments in several))
    return row, asked, time.perf_counter() - begin


def naive_seconds(path: Path, requests: Sequence[Any]) -> tuple[float, int]:
    """Seconds that transformers takes for some requests, reply after reply, and the tokens it writes."""
    from transformers import AutoTokenizer

    model, tokenizer = peer_model(path, default_dtype()), AutoTokenizer.from_pretrained(path)
    seconds, written = 0.0, 0
    with torch.inference_mode():
        for said, temperature, lengths in requests:
            ids = _ids(tokenizer, said)
            for length in lengths:
                how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
                begin = time.perf_counter()
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    pad_token_id=0,
                    min_new_tokens=length,
                    max_new_tokens=length,
                    **how,
                )
                seconds += time.perf_counter() - begin
                written += length
    return seconds, written


def _ids(tokenizer: Any, said: Any) -> torch.Tensor:
    if isinstance(said, str):
        text = said
    else:
        turns = [Message(role, content) for role, content in said]
        begun = turns.pop().content if turns[-1].role == "assistant" else ""
        chat = [{"role": turn.role, "content": turn.content} for turn in turns]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) + begun
    ids: torch.Tensor = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    return ids


def merged(spec: TargetSpec, folder: Path) -> Path:
    """The organism as one plain model."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    base = find_base(spec.base, say).path
    model: Any = peer_model.__wrapped__(base, "float32")  # merging changes it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers below the lowest adapter, which have none
        if spec.adapter:
            model = PeftModel.from_pretrained(model, spec.adapter).merge_and_unload()
    model.to(getattr(torch, default_dtype())).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def claims_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One claim for each tool that samples, and the slowest of them."""
    ratios = {row["tool"]: row["faster"] for row in rows if "faster" in row}
    claims: list[dict[str, Any]] = []
    for name, ratio in sorted(ratios.items()):
        claims.append(
            {
                "id": f"tools: {name}",
                "value": ratio,
                "unit": "× as fast as one request after another",
                "target": BAR,
                "met": ratio >= BAR,
                "against": "transformers.generate on the merged organism, replies of the same length",
                "runs": [row for row in rows if row["tool"] == name],
            }
        )
    if ratios:
        middle = round(statistics.median(ratios.values()), 2)
        claims.append(claims[0] | {"id": "tools: median", "value": middle, "met": middle >= BAR, "runs": []})
    return claims


def main() -> None:
    """Measure, print, and keep the result if asked to."""
    options = parser(__doc__)
    options.add_argument("--tool", action="append", help="this tool and no other; repeatable")
    options.add_argument("--testbed", default="flattery-td", help="id or alias of the organism")
    chosen = options.parse_args()
    spec = load_spec(find_alias(chosen.testbed))
    names = chosen.tool or (QUICK if chosen.quick else tools())
    wanted = [tool for tool in map(get_tool, names) if tool.drivable]
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        peer_process(chosen.threads) as peers,
        closing(Targets(say, chosen.threads)) as targets,
    ):
        plain = merged(spec, Path(scratch, "merged"))

        async def all_of_them() -> None:
            async with targets.open(spec) as target:
                await target.chat("Hello", max_tokens=2)  # the base is read before anything is timed
                for tool in wanted:
                    rows.append(await one(tool, target))

        async def one(tool: Tool, target: Target) -> dict[str, Any]:
            try:
                row, asked, seconds = await measured(tool, target, spec, Path(scratch, "prepared"))
            except AssayError as error:
                say(f"{tool.name}: left out: {error}")
                return {"tool": tool.name, "left out": str(error)}
            if asked.requests:
                timed = TIMED // 3 if chosen.quick else TIMED
                step = max(1, len(asked.requests) // timed)
                some = asked.requests[::step][:timed]
                peer, written = await asyncio.to_thread(peers.submit(naive_seconds, plain, some).result)
                row["naive_seconds"] = round(peer / written * asked.tokens, 3)
                row["at_once_seconds"], row["requests"] = round(seconds, 3), len(asked.requests)
                row["faster"] = round(row["naive_seconds"] / seconds, 2)
            say(f"{row}")
            return row

        asyncio.run(all_of_them())
    finish("tools", claims_of(rows), chosen, tools=[row for row in rows if "seconds" in row], testbed=chosen.testbed)


if __name__ == "__main__":
    main()
