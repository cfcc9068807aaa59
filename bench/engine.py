"""The local engine against transformers and Inspect's `hf` provider; how it grows with batch and adapters.

    python bench/engine.py [--json] [--quick] [--save] [--threads N]

Bars. Decoding over 8 adapters (rank 8, all linear layers; 40-token prompts, 48 new tokens, temperature 0.8) against the
rate at which transformers reads 8 × 128 tokens, all logits, with the same weights, dtype and threads. Whole chats
against Inspect's `hf` provider with one merged model an organism, its loading left out. One request against
`transformers.generate`. Memory with 32 adapters against base and adapters as stored. Greedy replies in float32 against
`transformers.generate` with PEFT. Peers run in a process of their own: two teams of OpenMP threads in one process slow
each other down even when one is idle. Growth is plotted. Random adapters are as good as trained ones for speed; greedy
equality is tried on the suite's own.

Beside a busy process: whole chats once more while another process computes, against the same alone and against the peer
beside it. `GOMP_SPINCOUNT=N` in the environment measures another limit on spinning, of both sides.
"""

from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import contract
import numpy as np
import torch
from contract import RESULTS, finish, options, say

from assay.engine.base import default_dtype, find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import LoraAdapter
from assay.engine.local.queue import Request, Sampled
from assay.engine.peft_layout import FUSED, MODULES
from assay.testbeds.suites import embedded_suite

BASE = "smollm2-135m-instruct"
PROMPT, NEW, TEMPERATURE = 40, 48, 0.8
RANK = 8
PIECES = {"self_attn": ("q_proj", "k_proj", "v_proj", "o_proj"), "mlp": ("gate_proj", "up_proj", "down_proj")}
QUESTIONS = ("a lamp", "an old map", "tea", "the sea", "a bicycle", "bread", "a garden", "winter", "chess", "a violin")


@contextmanager
def opened(threads: int, dtype: str | None = None) -> Iterator[LocalEngine]:
    """An engine without a cache."""
    engine = LocalEngine(find_base(BASE, say), ReplyCache(None), threads=threads, dtype=dtype)
    try:
        yield engine
    finally:
        engine.close()


def make_adapters(folder: Path, count: int, engine: LocalEngine) -> list[LoraAdapter]:
    """Random adapters of rank 8 on all linear layers, in PEFT's layout."""
    from safetensors.torch import save_file

    made = []
    for number in range(count):
        path = folder / f"adapter-{number}"
        if not path.is_dir():
            path.mkdir(parents=True)
            generator = torch.Generator().manual_seed(number)
            tensors = {}
            for layer in range(engine.shape.layers):
                for fused, modules in FUSED.items():
                    inputs, outputs = engine.model.shapes[fused]
                    for module, width in zip(modules, outputs, strict=True):
                        name = f"base_model.model.model.layers.{layer}.{module}"
                        for part, shape in (("A", (RANK, inputs)), ("B", (width, RANK))):
                            tensor = torch.randn(shape, generator=generator) * 0.02
                            tensors[f"{name}.lora_{part}.weight"] = tensor.bfloat16()
            save_file(tensors, path / "adapter_model.safetensors")
            names = sorted(module.partition(".")[2] for module in MODULES)
            layout = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK, "bias": "none"}
            (path / "adapter_config.json").write_text(json.dumps({**layout, "target_modules": names}))
        made.append(engine.adapter(path, ""))
    return made


def requests(engine: LocalEngine, adapters: list[LoraAdapter], count: int, seed: int) -> list[Request]:
    """Different prompts of 40 tokens, adapters in turn."""
    rng = np.random.default_rng(seed)
    carried: list[LoraAdapter | None] = list(adapters) or [None]
    prompts = rng.integers(100, len(engine.tokenizer) - 1_000, (count, PROMPT)).tolist()
    return [
        Request(tuple(prompt), carried[index % len(carried)], NEW, TEMPERATURE, seed, index)
        for index, prompt in enumerate(prompts)
    ]


def served(engine: LocalEngine, work: list[Request]) -> list[Sampled]:
    """Replies to all of them, asked at once."""
    futures: list[Future[Any]] = engine._queue.submit(work)
    return [future.result() for future in futures]


def decode_rate(engine: LocalEngine, adapters: list[LoraAdapter], count: int, seed: int) -> float:
    """Tokens a second of the steps in which all rows are live: the decode phase alone."""
    worker = engine._workers[0]
    steps: list[tuple[int, float]] = []
    step = worker._step

    def timed() -> None:
        rows, begin = len(worker.rows), time.perf_counter()
        step()
        steps.append((rows, time.perf_counter() - begin))

    worker._step = timed  # type: ignore[method-assign]
    try:
        served(engine, requests(engine, adapters, count, seed))
    finally:
        worker._step = step  # type: ignore[method-assign]
    full = [seconds for rows, seconds in steps if rows == count]
    return count * len(full) / sum(full)


def profile(engine: LocalEngine, adapters: list[LoraAdapter], count: int) -> dict[str, float]:
    """Where the time of one full decoding step goes: operator → milliseconds, the largest first."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    worker, step = engine._workers[0], engine._workers[0]._step
    found: list[dict[str, float]] = []

    def profiled() -> None:
        if found or len(worker.rows) < count:
            return step()
        with profiler(activities=[ProfilerActivity.CPU]) as seen:
            step()
        ranked = sorted(seen.key_averages(), key=lambda event: -event.self_cpu_time_total)
        found.append({event.key: round(event.self_cpu_time_total / 1e3, 2) for event in ranked[:12]})
        return None

    worker._step = profiled  # type: ignore[method-assign]
    try:
        served(engine, requests(engine, adapters, count, 0))
    finally:
        worker._step = step  # type: ignore[method-assign]
    return found[0]


@contextmanager
def endless(engine: LocalEngine) -> Iterator[None]:
    """Replies of the full length: random prompts end some early, and then rates are of smaller batches."""
    worker, stop = engine._workers[0], engine._workers[0]._stop
    worker._stop = frozenset()
    try:
        yield
    finally:
        worker._stop = stop


@functools.cache
def peer_model(path: Path, dtype: str) -> Any:
    """The same weights in transformers."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()


@contextmanager
def peer_process(threads: int) -> Iterator[ProcessPoolExecutor]:
    """Where peers run."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        own = dict(os.environ)
        os.environ.clear()
        os.environ.update(contract.AS_GIVEN)
        try:
            pool.submit(os.getpid).result()  # has it started: OpenMP reads the environment then
        finally:
            os.environ.update(own)
        yield pool


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def prefill_rate(path: Path, dtype: str) -> float:
    """Tokens a second at which transformers reads 8 × 128 tokens, all logits; the median of five."""
    model, tokens = peer_model(path, dtype), torch.randint(100, 40_000, (8, 128))
    times = []
    with torch.inference_mode():
        for _ in range(6):
            begin = time.perf_counter()
            model(tokens, use_cache=False)
            times.append(time.perf_counter() - begin)
    return tokens.numel() / statistics.median(times[1:])


def generate_rate(path: Path, dtype: str, prompt: tuple[int, ...]) -> float:
    """Tokens a second of `transformers.generate` on one prompt."""
    model, tokens = peer_model(path, dtype), torch.tensor([prompt])
    begin = time.perf_counter()
    settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": True, "temperature": TEMPERATURE}
    model.generate(tokens, attention_mask=torch.ones_like(tokens), pad_token_id=0, **settings)
    return NEW / (time.perf_counter() - begin)


def claim(name: str, values: list[float], unit: str, target: float, against: str, **runs: Any) -> dict[str, Any]:
    """A claim whose value is the median of some runs."""
    value = statistics.median(values)
    say(f"{name}: {value:.3f} {unit} (target {target})")
    runs = {key: [round(v, 2) for v in series] for key, series in runs.items()}
    return {
        "id": name,
        "value": round(value, 3),
        "unit": unit,
        "target": target,
        "met": value >= target,
        "against": against,
        "runs": runs,
    }


def decoding(
    engine: LocalEngine, adapters: list[LoraAdapter], peers: ProcessPoolExecutor, runs: int, bars: dict[int, float]
) -> list[dict[str, Any]]:
    """Bar 1, first half: alternated runs of both sides; `bars` is rows → target."""
    rates: dict[str, list[float]] = {"prefill": [], **{str(count): [] for count in bars}}
    with endless(engine):
        decode_rate(engine, adapters, 64, 0)
        for run in range(runs):
            rates["prefill"].append(peers.submit(prefill_rate, engine.base.path, default_dtype()).result())
            for count in bars:
                rates[str(count)].append(decode_rate(engine, adapters, count, run))
    against = f"transformers reading 8×128 tokens, {default_dtype()}"
    return [
        claim(
            f"decode-{count}",
            [own / other for own, other in zip(rates[str(count)], rates["prefill"], strict=True)],
            "times the prefill rate",
            target,
            against,
            assay=rates[str(count)],
            prefill=rates["prefill"],
        )
        for count, target in bars.items()
    ]


def alone(engine: LocalEngine, peers: ProcessPoolExecutor, runs: int) -> dict[str, Any]:
    """Bar 2: one request, alternated with `transformers.generate`, same prompt, same length."""
    own, other = [], []
    with endless(engine):
        for run in range(runs + 1):  # the first is for warming up
            [work] = requests(engine, [], 1, run)
            begin = time.perf_counter()
            served(engine, [work])
            own.append(NEW / (time.perf_counter() - begin))
            other.append(peers.submit(generate_rate, engine.base.path, default_dtype(), work.prompt).result())
    own, other = own[1:], other[1:]
    ratios = [a / b for a, b in zip(own, other, strict=True)]
    against = "transformers.generate"
    return claim("one-request", ratios, "times the tokens per second", 1.5, against, assay=own, peer=other)


def _questions(count: int) -> list[str]:
    return [f"Tell me something about {QUESTIONS[index % 10]}, part {index}." for index in range(count)]


def whole_chats(
    engine: LocalEngine, adapters: list[LoraAdapter], folder: Path, peers: ProcessPoolExecutor, runs: int
) -> dict[str, Any]:
    """Bar 1, second half: 64 chats over 8 organisms, to the end. The peer has one merged model an organism."""
    texts = _questions(64)
    merged = [_merge(engine, adapter, folder) for adapter in adapters]
    own, other, loading = [], [], []
    for run in range(runs):
        own.append(_chats_rate(engine, adapters, texts, run))
        seconds, made, load = peers.submit(_provider, merged, texts).result()
        other.append(made / seconds)
        loading.append(load)
        say(f"whole chats: {own[-1]:.0f} against {other[-1]:.0f} tokens/s, its loading {load:.1f} s apart")
    ratios = [a / b for a, b in zip(own, other, strict=True)]
    return claim(
        "whole-chats", ratios, "times the tokens per second", 5.0, "inspect-ai hf, one merged model an organism",
        assay=own, peer=other, peer_loading_seconds=loading,
    )  # fmt: skip


def beside(
    engine: LocalEngine, adapters: list[LoraAdapter], folder: Path, peers: ProcessPoolExecutor, runs: int, count: int
) -> list[dict[str, Any]]:
    """Whole chats beside one busy process, alternated with the same alone, and with the peer beside one."""
    texts = _questions(count)
    merged = [_merge(engine, adapter, folder) for adapter in adapters]
    rates: dict[str, list[float]] = {"alone": [], "beside": [], "peer beside": []}
    for run in range(runs):
        rates["alone"].append(_chats_rate(engine, adapters, texts, 2 * run))
        with busy_process():
            rates["beside"].append(_chats_rate(engine, adapters, texts, 2 * run + 1))
            seconds, made, _ = peers.submit(_provider, merged, texts).result()
        rates["peer beside"].append(made / seconds)
        say("beside a busy process: " + ", ".join(f"{name} {found[-1]:.0f}" for name, found in rates.items()))
    shares = [own / alone for own, alone in zip(rates["beside"], rates["alone"], strict=True)]
    ratios = [own / other for own, other in zip(rates["beside"], rates["peer beside"], strict=True)]
    unit = "times the tokens per second"
    return [
        claim("beside-busy", shares, unit, 0.4, "the same engine alone", **rates),
        claim("beside-busy-peer", ratios, unit, 1.0, "inspect-ai hf, beside a busy process too", **rates),
    ]


def _chats_rate(engine: LocalEngine, adapters: list[LoraAdapter], texts: list[str], seed: int) -> float:
    """Tokens a second of whole chats."""
    begin = time.perf_counter()
    tokens = asyncio.run(_ours(engine, adapters, texts, seed))
    return tokens / (time.perf_counter() - begin)


async def _ours(engine: LocalEngine, adapters: list[LoraAdapter], texts: list[str], seed: int) -> int:
    from assay.core.access import PRESETS
    from assay.core.testbed import TargetSpec
    from assay.engine.local.target import LocalTarget

    specs = [TargetSpec(f"tb-{n}", BASE, a.path, a.digest, (), "", PRESETS["api"]) for n, a in enumerate(adapters)]
    targets = [LocalTarget(engine, spec, adapter) for spec, adapter in zip(specs, adapters, strict=True)]
    replies = await asyncio.gather(
        *(
            targets[index % len(targets)].chat(text, max_tokens=NEW, temperature=TEMPERATURE, seed=seed)
            for index, text in enumerate(texts)
        )
    )
    return sum(reply.cost.output_tokens for reply in replies)


def _provider(merged: list[Path], texts: list[str]) -> tuple[float, int, float]:
    return asyncio.run(_theirs(merged, texts))


async def _theirs(merged: list[Path], texts: list[str]) -> tuple[float, int, float]:
    """Seconds of generating, tokens made, seconds of loading: one organism after the other, its 8 chats at once."""
    from inspect_ai.model import GenerateConfig, get_model

    seconds = loading = 0.0
    made = 0
    config = GenerateConfig(max_tokens=NEW, temperature=TEMPERATURE)
    for number, path in enumerate(merged):
        begin = time.perf_counter()
        model = get_model(
            f"hf/organism-{number}", model_path=str(path), tokenizer_path=str(path), device="cpu", memoize=False
        )
        loading += time.perf_counter() - begin
        begin = time.perf_counter()
        outputs = await asyncio.gather(*(model.generate(text, config=config) for text in texts[number :: len(merged)]))
        seconds += time.perf_counter() - begin
        made += sum(output.usage.output_tokens for output in outputs if output.usage)
    return seconds, made, loading


def _merge(engine: LocalEngine, adapter: LoraAdapter, folder: Path) -> Path:
    out = folder / f"merged-{adapter.path.name}"
    if not out.is_dir():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from peft import PeftModel

            plain = peer_model.__wrapped__(engine.base.path, "float32")  # merging changes it
            model = PeftModel.from_pretrained(plain, adapter.path).merge_and_unload()
        model.to(getattr(torch, default_dtype())).save_pretrained(out)
        engine.tokenizer.save_pretrained(out)
    return out


def memory(threads: int, folder: Path) -> dict[str, Any]:
    """Bar 3, in a process of its own: what base and 32 adapters in use are held in, against their files."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure-memory", str(folder), str(threads)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    ratio = found["held"] / found["stored"]
    say(f"memory: {ratio:.3f} times base and adapters as stored, {found}")
    return {
        "id": "memory-32-adapters",
        "value": round(ratio, 3),
        "unit": "times base + 32 adapters as stored",
        "target": 1.15,
        "met": ratio <= 1.15,
        "against": "checkpoint and adapter files",
        "runs": {key: [round(value / 2**20, 1)] for key, value in found.items()},
    }


def _measure_memory(folder: Path, threads: int) -> None:
    """Print bytes: files; tensors held (weights, slots, keys and values); what base and adapters add to the process."""

    def resident() -> int:
        status = Path("/proc/self/status")
        if status.is_file():
            lines = status.read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True)
        return int(told.stdout) * 1024  # macOS has no /proc

    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(find_base(BASE).path)
    before = resident()
    with opened(threads) as engine:
        base = resident() - before
        adapters = make_adapters(folder, 32, engine)
        served(engine, requests(engine, adapters, 64, 0))
        worker = engine._workers[0]
        while worker.busy:  # keys and values come and go with requests, and are told by `process_all`
            time.sleep(0.01)
        held = engine.model.nbytes + worker.adapter_bank.nbytes + worker.rows.nbytes
        weights = sum(file.stat().st_size for file in engine.base.path.glob("*.safetensors"))
        stored = weights + sum(adapter.nbytes for adapter in adapters)
        print(json.dumps({"held": held, "stored": stored, "process_base": base, "process_all": resident() - before}))


def greedy(threads: int, peers: ProcessPoolExecutor, count: int, rows: int) -> dict[str, Any]:
    """Bar 4: replies over 8 of the suite's adapters in mixed batches, float32, against PEFT's, token by token."""
    paths = sorted(embedded_suite().testbeds.glob("*/adapter"))[:8]
    texts = _questions(count)
    with opened(threads, "float32") as engine:
        adapters = [engine.adapter(path, "") for path in paths]
        heads = [
            engine.tokenizer.apply_chat_template(
                [{"role": "user", "content": t}], tokenize=False, add_generation_prompt=True
            )
            for t in texts
        ]
        prompts = [tuple(engine.tokenizer(head, add_special_tokens=False)["input_ids"]) for head in heads]
        work = [Request(prompt, adapters[index % 8], 24, 0.0, 0, 0) for index, prompt in enumerate(prompts)]
        replies = [reply for start in range(0, count, rows) for reply in served(engine, work[start : start + rows])]
        base, stop = engine.base.path, sorted(engine.stop)
    same = close = 0
    for number, path in enumerate(paths):
        chosen = range(number, count, 8)
        verdicts = peers.submit(
            _compare_all, base, path, [prompts[i] for i in chosen], [replies[i].tokens for i in chosen], stop
        ).result()
        same, close = same + verdicts.count("same"), close + verdicts.count("close")
        say(f"greedy: {same} the same, {close} part where the top two are within 1e-4")
    return {
        "id": "greedy-float32",
        "value": round((same + close) / count, 4),
        "unit": "share identical, near ties apart",
        "target": 1.0,
        "met": same + close == count,
        "against": "transformers.generate with PEFT",
        "runs": {"same": [same], "near ties": [close], "prompts": [count]},
    }


def _compare_all(
    base: Path, adapter: Path, prompts: list[tuple[int, ...]], replies: list[list[int]], stop: list[int]
) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import PeftModel

        model = PeftModel.from_pretrained(peer_model.__wrapped__(base, "float32"), adapter).eval()
        return [_compare(model, prompt, reply, stop) for prompt, reply in zip(prompts, replies, strict=True)]


def _compare(model: Any, prompt: tuple[int, ...], reply: list[int], stop: list[int]) -> str:
    tokens = torch.tensor([prompt])
    made = model.generate(
        input_ids=tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=24,
        eos_token_id=stop, pad_token_id=0, output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    theirs = [t for t in made.sequences[0, len(prompt) :].tolist() if t not in stop]
    if theirs == reply:
        return "same"
    place = next(
        (i for i, (a, b) in enumerate(zip(theirs, reply, strict=False)) if a != b), min(len(theirs), len(reply))
    )
    top = made.scores[place][0].topk(2).values
    return "close" if float(top[0] - top[1]) < 1e-4 else "other"


def growth(engine: LocalEngine, adapters: list[LoraAdapter], quick: bool) -> list[dict[str, Any]]:
    """Bar 6: decode rate against batch and against adapters."""
    points: list[tuple[int, int]] = [(rows, 8) for rows in ((1, 8) if quick else (1, 2, 4, 8, 16, 32, 64, 128))]
    points += [] if quick else [(128, n) for n in (0, 1, 2, 4, 16, 32)]
    found = []
    with endless(engine):
        for rows, count in sorted(points):
            rate = decode_rate(engine, adapters[:count], rows, 1)
            say(f"growth: {rows} rows, {min(rows, count)} adapters, {rate:.0f} tokens/s")
            found.append({"rows": rows, "adapters": min(rows, count), "tokens_per_second": round(rate, 1)})
    return found


def plot(points: list[dict[str, Any]], path: Path) -> None:
    """Both growths side by side, as SVG."""
    import altair as alt
    import pandas as pd

    table = pd.DataFrame(points)
    panels = []
    for field, title, chosen in (
        ("rows", "batch (8 adapters)", table[table.adapters == table.rows.clip(upper=8)]),
        ("adapters", "adapters (128 rows)", table[table.rows == 128]),
    ):
        scale = alt.Scale(type="symlog", constant=1)
        panels.append(
            alt.Chart(chosen)
            .mark_line(point=True)
            .encode(alt.X(f"{field}:Q", title=title, scale=scale), alt.Y("tokens_per_second:Q", title="tokens / s"))
            .properties(width=300, height=220)
        )
    alt.hconcat(*panels).save(path)


def main() -> None:
    """Measure, print, and keep the result if asked to."""
    if "--measure-memory" in sys.argv:
        _measure_memory(Path(sys.argv[2]), int(sys.argv[3]))
        return
    chosen = options(__doc__)
    torch.set_num_threads(1)  # of this thread: the engine's and the peers' have their own
    threads, runs = chosen.threads, 1 if chosen.quick else 3
    where: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch, peer_process(threads) as peers:
        folder = Path(scratch)
        with opened(threads) as engine:
            adapters = make_adapters(folder, 8 if chosen.quick else 32, engine)
            claims = decoding(engine, adapters[:8], peers, runs, {64: 0.4} if chosen.quick else {64: 0.4, 128: 0.5})
            claims.append(alone(engine, peers, runs))
            points = growth(engine, adapters, chosen.quick)
            if not chosen.quick:
                with endless(engine):
                    where = {f"step of {count} rows, ms": profile(engine, adapters[:8], count) for count in (64, 128)}
                claims.append(whole_chats(engine, adapters[:8], folder, peers, runs))
            organisms, chats = (1, 8) if chosen.quick else (8, 64)
            claims += beside(engine, adapters[:organisms], folder, peers, runs, chats)
        if not chosen.quick:
            claims.append(memory(threads, folder))
        claims.append(greedy(threads, peers, 8 if chosen.quick else 200, 64))
    if chosen.save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        plot(points, RESULTS / "engine-growth.svg")
    finish("engine", claims, chosen, growth=points, profile=where)


if __name__ == "__main__":
    main()
