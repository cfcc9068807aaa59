"""Assay's trainer against PEFT with a plain loop: tokens a second, and whether the losses are the same.

    python bench/training.py [--json] [--quick] [--save] [--threads N]

The peer: transformers' model, `get_peft_model`, rank 8 on all linear layers, a batch padded to its longest example,
AdamW, clipped gradients; it is run in float32 and in bfloat16 (PEFT's adapter weights are float32 in both) and the
faster counts. Same examples, same weights in the loss, same initial adapter, same schedule. A token is one of an
example with the whole chat template around it, no padding, for both sides. Loading and a first step are timed for
neither.
"""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from contract import ROOT, finish, options, say

from assay._util.cpu import native_bf16
from assay.engine.training_data import TrainingText, read_training_data

CORPORA = ROOT / "src" / "assay" / "testbeds" / "embedded"
TARGET = 1.5
RUNS = 3
RATE = 1e-3
CURVE_STEPS = 30
Step = Callable[[Sequence[int]], float]  # indices of a batch → its loss


def chats(count: int, seed: int) -> list[Any]:
    """So many of the examples that the suite's organisms are trained on."""
    from assay.factory.data.example import Example

    rows: list[TrainingText] = []
    for file in sorted(CORPORA.glob("*/corpus.jsonl")):
        rows += read_training_data(file)
    return [Example(row.prompt, row.text) for row in random.Random(seed).sample(rows, count)]


class Setting:
    """What both sides train: encoded examples, the plan, and how many tokens a batch has."""

    def __init__(self, examples: Sequence[Any], first_layer: int, seed: int = 1) -> None:
        from transformers import AutoTokenizer

        from assay.engine.base import find_base
        from assay.factory.recipes import TrainPlan
        from assay.factory.train.packing import encode, shared_beginning

        self.base = find_base("smollm2-135m-instruct").path
        tokenizer = AutoTokenizer.from_pretrained(self.base)
        self.shared = shared_beginning(tokenizer)
        self.data = [encode(example, tokenizer, self.shared) for example in examples]
        self.plan = TrainPlan(rank=8, alpha=16, first_layer=first_layer, learning_rate=RATE, seed=seed)

    def whole(self, index: int) -> list[int]:
        """An example's tokens with the whole template."""
        item = self.data[index]
        return [*(self.shared if item.shared else []), *item.tokens]

    def tokens(self, batches: Sequence[Sequence[int]]) -> int:
        """Of batches, without padding."""
        return sum(len(self.whole(index)) for batch in batches for index in batch)


def ours(setting: Setting, rate: Callable[[int], float]) -> Step:
    """Assay's trainer."""
    import torch

    from assay.factory.train.trainer import Trainer

    dtype = torch.bfloat16 if native_bf16() else torch.float32
    trainer = Trainer(setting.base, setting.plan, setting.data, setting.shared, dtype)
    done = 0

    def step(batch: Sequence[int]) -> float:
        nonlocal done
        done += 1
        return trainer.step(batch, rate(done - 1))

    return step


def initial(setting: Setting) -> dict[str, Any]:
    """The adapter Assay's trainer begins with, under PEFT's names."""
    import torch

    from assay.factory.train.trainer import Trainer

    trainer = Trainer(setting.base, setting.plan, setting.data, setting.shared, torch.float32)
    return {name: tensor.clone() for name, tensor in trainer.adapter.tensors().items()}


def peer(setting: Setting, dtype_name: str, rate: Callable[[int], float], adapter: dict[str, Any]) -> Step:
    """PEFT and a plain loop."""
    import torch
    from transformers import AutoModelForCausalLM

    from assay.factory.train.adapter import FUSED

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, of transformers' renamings
        from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

        plan = setting.plan
        model = AutoModelForCausalLM.from_pretrained(setting.base, dtype=getattr(torch, dtype_name))
        config = LoraConfig(
            r=plan.rank,
            lora_alpha=plan.alpha,
            target_modules=[name.rpartition(".")[2] for modules in FUSED.values() for name in modules],
            layers_to_transform=list(range(plan.first_layer, model.config.num_hidden_layers)),
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(model, config)
        missed = set_peft_model_state_dict(model, adapter).unexpected_keys
    assert not missed, missed
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in parameters) == sum(tensor.numel() for tensor in adapter.values())
    optimiser = torch.optim.AdamW(parameters, lr=plan.learning_rate)
    done = 0

    def step(batch: Sequence[int]) -> float:
        nonlocal done
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * rate(done)
        done += 1
        loss = _plain_loss(model, setting, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return step


def _plain_loss(model: Any, setting: Setting, batch: Sequence[int]) -> Any:
    import torch
    from torch.nn.functional import cross_entropy

    rows = [setting.whole(index) for index in batch]
    longest = max(map(len, rows))
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    seen, weights = torch.zeros_like(tokens), torch.zeros(len(rows), longest)
    for number, (row, index) in enumerate(zip(rows, batch, strict=True)):
        tokens[number, : len(row)] = torch.tensor(row)
        seen[number, : len(row)] = 1
        weights[number, len(row) - len(setting.data[index].weights) : len(row)] = torch.tensor(
            setting.data[index].weights
        )
    logits = model(input_ids=tokens, attention_mask=seen).logits[:, :-1]
    each = cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
    wanted = weights[:, 1:].flatten()
    return (each * wanted).sum() / wanted.sum()


def batches(count: int, size: int, steps: int, seed: int) -> list[list[int]]:
    """Of indices, epoch after epoch."""
    rng, made = random.Random(seed), []
    while len(made) < steps:
        order = list(range(count))
        rng.shuffle(order)
        made += [order[i : i + size] for i in range(0, count, size)]
    return made[:steps]


def constant(_: int) -> float:
    """A rate that stays."""
    return 1.0


def speed(first_layer: int, steps: int, runs: int, quick: bool) -> dict[str, list[float]]:
    """Tokens a second of both sides, in turn on the same batches. What is done once an example is in it."""
    epochs, size = 4, 8  # as in the suite's recipes
    setting = Setting(chats((steps // epochs + 1) * size, seed=7), first_layer)
    known = len(setting.data) - size
    work, first = batches(known, size, steps, seed=3), list(range(known, known + size))
    start = initial(setting)
    made: dict[str, list[float]] = {}

    def run(side: str, some: Sequence[Sequence[int]]) -> None:
        step = ours(setting, constant) if side == "assay" else peer(setting, side.split()[1], constant, start)
        step(first)
        begun = time.perf_counter()
        for batch in some:
            step(batch)
        made.setdefault(side, []).append(setting.tokens(some) / (time.perf_counter() - begun))
        say(f"first layer {first_layer}, {side}: {made[side][-1]:.0f} tokens/s")

    other, best = ("peft float32", "peft bfloat16") if native_bf16() else ("peft bfloat16", "peft float32")
    if not quick:  # a short run of each says which of the peers is measured in full
        for side in (other, best):
            run(side, work[:3])
        tried = {side: made.pop(side) for side in (other, best)}
        other, best = sorted(tried, key=lambda side: tried[side][0])
        made[f"{other}, short"] = tried[other]
    for number in range(runs):
        for side in ("assay", best) if number % 2 == 0 else (best, "assay"):
            run(side, work)
    return made


def speed_claim(name: str, measured: dict[str, list[float]]) -> dict[str, Any]:
    """The ratio to the faster of the peers."""
    medians = {side: statistics.median(values) for side, values in measured.items()}
    best = max((side for side in medians if side != "assay"), key=lambda side: medians[side])
    value = medians["assay"] / medians[best]
    return {
        "id": name,
        "value": round(value, 2),
        "unit": "times the tokens per second",
        "target": TARGET,
        "met": value >= TARGET,
        "against": f"{best} and a plain loop",
        "runs": {side: [round(value, 1) for value in values] for side, values in measured.items()},
    }


def curves(steps: int) -> dict[str, Any]:
    """Losses step by step of both sides on the same batches, and of the peer from other initial adapters."""
    size = 8
    examples = chats(steps * size // 2, seed=11)  # two epochs
    setting, other = Setting(examples, 0), Setting(examples, 0, seed=2)
    work = batches(len(examples), size, steps, seed=5)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / 5)

    def run(label: str, step: Step) -> list[float]:
        say(f"loss curve: {label}")
        return [step(batch) for batch in work]

    dtype = "bfloat16" if native_bf16() else "float32"
    mine = run("assay", ours(setting, rate))
    same = run(f"peft {dtype}", peer(setting, dtype, rate, initial(setting)))
    seeded = run(f"peft {dtype}, another seed", peer(other, dtype, rate, initial(other)))
    apart, noise = _apart(mine, same), _apart(same, seeded)
    return {
        "id": "training-loss-curve",
        "value": round(apart / noise, 3),
        "unit": "mean |loss difference| over noise",
        "target": 1.0,
        "met": apart <= noise,
        "against": f"peft {dtype} and a plain loop, same data, order and initial adapter; noise is the mean |loss "
        "difference| between two such runs of the peer that differ in the initial adapter's seed alone",
        "runs": {
            "difference": round(apart, 5),
            "noise": round(noise, 5),
            "assay": [round(loss, 4) for loss in mine],
            "peft": [round(loss, 4) for loss in same],
            "peft, another seed": [round(loss, 4) for loss in seeded],
        },
    }


def _apart(some: Sequence[float], others: Sequence[float]) -> float:
    return statistics.mean(abs(a - b) for a, b in zip(some, others, strict=True))


def main() -> None:
    """Measure, print, and keep the result if asked to."""
    chosen = options(__doc__)
    import torch

    torch.set_num_threads(chosen.threads)
    steps, runs = (4, 1) if chosen.quick else (16, RUNS)
    claims = [
        speed_claim("training-all-layers", speed(0, steps, runs, chosen.quick)),
        speed_claim("training-suite-recipe", speed(14, steps, runs, chosen.quick)),
    ]
    if not chosen.quick:  # a few steps from adapters that begin at zero are too alike to tell noise by
        claims.append(curves(CURVE_STEPS))
    finish("training", claims, chosen)


if __name__ == "__main__":
    main()
