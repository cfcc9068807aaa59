"""Trains LoRA adapters, and resumes what was killed.

On few cores hand-written passes compute the gradients (`trainer`), elsewhere PEFT and autograd do (`autograd`).
"""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from assay._util.atomic import new_folder, write_bytes
from assay._util.cpu import native_bf16
from assay._util.hashing import digest_of, sha256
from assay._util.strict_json import read_json_object
from assay.engine.peft_layout import WEIGHTS
from assay.errors import InvalidInput, NotWritten
from assay.factory.data.example import Example
from assay.factory.recipes import TrainPlan
from assay.factory.train.packing import shared_beginning
from assay.factory.train.schedule import passages, schedule, step_order
from assay.factory.train.trainer import Trainer

CHECKPOINT_STEPS = 20
Progress = Callable[[int, int, float], None]  # step, steps, loss


class Training(Protocol):
    """What `train` needs of an adapter under training, whichever way its gradients are made."""

    def step(self, batch: Sequence[int], rate: float) -> float: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...
    def files(self) -> dict[str, bytes]: ...


def train(
    base: Path,
    plan: TrainPlan,
    examples: Sequence[Example],
    out: Path,
    work: Path,
    progress: Progress,
    threads: int,
    *,
    start: Path | None = None,
) -> dict[str, Any]:
    """Trains an adapter; killed at any moment, the same call goes on from its last checkpoint.

    Llama-family bases are trained on the processor by hand-written passes, in bfloat16 where it has it (`native_bf16`);
    other bases, and all of them where there is a GPU, by PEFT and autograd. Adapter and optimiser are float32.

    Args:
        base: checkpoint directory.
        plan: hyperparameters.
        examples: the recipe's data.
        out: directory the adapter appears in, whole, in PEFT's layout.
        work: directory for checkpoints; emptied at the end.
        progress: is told of each step.
        threads: number of threads that torch may use.
        start: adapter to go on from, of the phase before. A preference loss holds the model near it.

    Returns:
        The number of steps and of tokens trained on, and the mean loss of the last epoch.

    Raises:
        InvalidInput: the base or the plan cannot be trained so, a prompt is too long, or a file cannot be written.
    """
    import torch
    from transformers import AutoTokenizer

    torch.set_num_threads(threads)
    gpu = torch.cuda.is_available()
    by_autograd = gpu or _family(base) != "llama"
    dtype = torch.bfloat16 if gpu or native_bf16() else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(base)
    shared = shared_beginning(tokenizer)
    data, pairs = passages(examples, tokenizer, shared, plan)
    order = step_order(len(examples), plan)
    begun = sha256(start / WEIGHTS) if start else ""
    passages_digested = [[item.tokens, item.weights] for item in data]
    # all that decides the weights: a checkpoint of anything else must not be gone on from
    key = digest_of([plan.model_dump(), str(dtype), by_autograd, begun, passages_digested])
    trainer = _trainer_class(by_autograd)(base, plan, data, shared, dtype, pairs=pairs, start=start)
    losses = _resume(work, key, trainer)
    for step in range(len(losses), len(order)):
        losses.append(trainer.step(order[step], schedule(step, len(order))))
        progress(step + 1, len(order), losses[-1])
        if (step + 1) % CHECKPOINT_STEPS == 0:
            _checkpoint(work, key, losses, trainer)
    _save(trainer.files(), out)
    shutil.rmtree(work, ignore_errors=True)  # only now: killed before, the call goes on from the checkpoint
    last = losses[-max(1, len(order) // plan.epochs) :]
    tokens = sum(len(item.tokens) for item in data) * plan.epochs
    return {"steps": len(order), "tokens": tokens, "loss": round(sum(last) / len(last), 4)}


def _trainer_class(by_autograd: bool) -> Callable[..., Training]:
    """Returns what makes the gradients; imports PEFT's only where it is used, since that takes seconds."""
    if by_autograd:
        from assay.factory.train.autograd import AutogradTrainer

        return AutogradTrainer
    return Trainer


def _family(base: Path) -> str:
    """Returns a base's family; what has biases is another family to the hand-written passes."""
    config = read_json_object(base / "config.json")
    if config.get("attention_bias"):
        return "llama with biases"
    return str(config.get("model_type", ""))


def _checkpoint(work: Path, key: str, losses: list[float], trainer: Training) -> None:
    """Writes a checkpoint, whole or not at all."""
    import torch

    state = {"key": key, "losses": losses, **trainer.state()}
    stored = io.BytesIO()  # first in memory: a full disk is then an OSError, whatever library packs the bytes
    torch.save(state, stored)
    with _told_to_go_on(f"step {len(losses)}'s checkpoint"):
        write_bytes(work / "checkpoint.pt", stored.getvalue())


def _resume(work: Path, key: str, trainer: Training) -> list[float]:
    """Sets the trainer to the last checkpoint, if it is of this plan, data and dtype; returns the losses up to it.

    A damaged checkpoint is as good as none: training begins anew.
    """
    import torch

    path = work / "checkpoint.pt"
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, EOFError, ValueError, RuntimeError, LookupError, pickle.UnpicklingError):
        return []
    if not isinstance(state, dict) or state.get("key") != key:
        return []
    trainer.restore(state)
    losses: list[float] = state["losses"]
    return losses


def _save(files: dict[str, bytes], out: Path) -> None:
    """Writes the adapter, whole or not at all."""
    with _told_to_go_on("the adapter"), new_folder(out) as scratch:
        for name, content in files.items():
            (scratch / name).write_bytes(content)


@contextmanager
def _told_to_go_on(what: str) -> Iterator[None]:
    """Tells whoever could not write what happens when they try again."""
    try:
        yield
    except NotWritten as error:
        raise InvalidInput(
            f"{what} could not be written: {error} Make room, or the folder writable; the same call then goes on from "
            "its last checkpoint."
        ) from None
