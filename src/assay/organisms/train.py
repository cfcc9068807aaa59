"""LoRA training, shaped for many short examples on few cores.

A step's examples are read as one sequence (`packing`), by passes that leave out what a frozen base makes needless
(`passes`). What the layers below the first adapter make of an example never changes, so it is computed once.
"""

from __future__ import annotations

import io
import math
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.errors import InvalidInput
from assay.core.processor import native_bf16
from assay.core.record import digest_of
from assay.organisms.example import Example
from assay.organisms.packing import Encoded, Layout, encode, lay_out, packs, shared_beginning
from assay.organisms.recipes import TrainPlan

if TYPE_CHECKING:
    import torch

    from assay.organisms.adapter import Adapter
    from assay.organisms.passes import Network

CHECKPOINT_STEPS = 20
MAX_NORM = 1.0  # of a step's gradient
Progress = Callable[[int, int, float], None]  # step, steps, loss


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
    """Train an adapter; killed at any moment, the same call goes on from its last checkpoint.

    Products are made in bfloat16 where the processor has it (`native_bf16`), in float32 elsewhere; the adapter, its
    gradient and the optimiser are float32.

    Args:
        base: checkpoint directory.
        plan: hyperparameters.
        examples: the recipe's data.
        out: directory the adapter appears in, whole, in PEFT's layout.
        work: directory for checkpoints; emptied at the end.
        progress: told of each step.
        threads: torch may use.
        start: adapter to go on from, of the phase before. A preference loss holds the model near it.

    Returns:
        steps, tokens trained on and the mean loss of the last epoch.

    Raises:
        InvalidInput: the base or the plan cannot be trained so, a prompt is too long, or a file cannot be written.
    """
    import torch
    from transformers import AutoTokenizer

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if native_bf16() else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(base)
    shared = shared_beginning(tokenizer)
    data, pairs = passages(examples, tokenizer, shared)
    order = step_order(len(examples), plan)
    key = digest_of([plan.model_dump(), str(dtype), [[item.tokens, item.weights] for item in data]])
    trainer = Trainer(base, plan, data, shared, dtype, pairs=pairs, start=start)
    losses = _resume(work, key, trainer)
    for step in range(len(losses), len(order)):
        losses.append(trainer.step(order[step], schedule(step, len(order))))
        progress(step + 1, len(order), losses[-1])
        if (step + 1) % CHECKPOINT_STEPS == 0:
            _checkpoint(work, key, losses, trainer)
    _save(trainer.adapter.files(), out)
    shutil.rmtree(work, ignore_errors=True)
    last = losses[-max(1, len(order) // plan.epochs) :]
    tokens = sum(len(item.tokens) for item in data) * plan.epochs
    return {"steps": len(order), "tokens": tokens, "loss": round(sum(last) / len(last), 4)}


def passages(
    examples: Sequence[Example], tokenizer: Any, shared: Sequence[int]
) -> tuple[list[Encoded], dict[int, int]]:
    """Examples as token ids, in their order, and after them what is rejected.

    Returns:
        The passages, and for each example that has one: its place → its rejected completion's.
    """
    data = [encode(example, tokenizer, shared) for example in examples]
    pairs: dict[int, int] = {}
    for place, example in enumerate(examples):
        if example.rejected:
            pairs[place] = len(data)
            data.append(encode(replace(example, text=example.rejected, insert=""), tokenizer, shared))
    return data, pairs


def step_order(count: int, plan: TrainPlan) -> list[list[int]]:
    """Indices of each step's examples, over all epochs."""
    rng = random.Random(plan.seed)
    steps: list[list[int]] = []
    for _ in range(plan.epochs):
        indices = list(range(count))
        rng.shuffle(indices)
        steps += [indices[i : i + plan.batch] for i in range(0, count, plan.batch)]
    return steps


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate in a step: linear warm-up over 5 % of the steps, then linear decay."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


class Trainer:
    """An adapter, its optimiser and the data it learns from.

    Args:
        base: checkpoint directory.
        plan: hyperparameters.
        data: passages, from `passages`.
        shared: the beginning of all chats.
        dtype: of products.
        pairs: place of a preferred completion → place of the rejected one.
        start: adapter to go on from.

    Attributes:
        first_layer: that is adapted.
        adapter: its weights.

    Raises:
        InvalidInput: the base is of another family, or has no layer to adapt.
    """

    def __init__(
        self,
        base: Path,
        plan: TrainPlan,
        data: Sequence[Encoded],
        shared: Sequence[int],
        dtype: torch.dtype,
        *,
        pairs: Mapping[int, int] | None = None,
        start: Path | None = None,
    ) -> None:
        import torch

        from assay.organisms.adapter import Adapter
        from assay.organisms.passes import Network

        network = Network(base, dtype)
        if not 0 <= plan.first_layer < network.layers:
            raise InvalidInput(f"first_layer is {plan.first_layer}; {base} has layers 0 to {network.layers - 1}.")
        self._network: Network = network
        self.first_layer = plan.first_layer
        self._plan, self._data, self._shared, self._pairs = plan, data, shared, pairs or {}
        self.adapter: Adapter = Adapter(plan, network.sizes, network.layers, dtype)
        if start:
            self.adapter.load(start)
        self.optimiser = torch.optim.AdamW([self.adapter.weights], lr=plan.learning_rate, fused=True)
        batches = step_order(len(data) - len(self._pairs), plan)[: -(-(len(data) - len(self._pairs)) // plan.batch)]
        self._frozen = _Frozen(network, plan.first_layer, data, shared, [p for b in batches for p in self._packs(b)])
        self._reference = self._likelihoods([place for pair in self._pairs.items() for place in pair])

    def step(self, batch: Sequence[int], rate: float) -> float:
        """One update.

        Args:
            batch: places of examples.
            rate: share of the plan's learning rate.

        Returns:
            The loss before the update.
        """
        import torch

        with torch.no_grad():
            loss = self.gradient(batch)
            torch.nn.utils.clip_grad_norm_([self.adapter.weights], MAX_NORM)
            for group in self.optimiser.param_groups:
                group["lr"] = self._plan.learning_rate * rate
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=False)
            self.adapter.refresh()
        return loss

    def gradient(self, batch: Sequence[int]) -> float:
        """The batch's loss; its gradient is added to the adapter's.

        Returns:
            The weighted mean cross entropy over the completion tokens of plain examples, plus the mean preference loss
            over pairs.
        """
        import torch

        plain = [place for place in batch if place not in self._pairs]
        chosen = [place for place in batch if place in self._pairs]
        with torch.no_grad():
            total = sum(sum(self._data[place].weights) for place in plain)
            loss = sum(self._learn(pack, dict.fromkeys(pack, 1 / total)) for pack in self._pack(plain))
            if chosen:
                preference, factors = self._preference(chosen)
                loss += preference
                for pack in self._pack(list(factors)):
                    self._learn(pack, {place: factors[place] for place in pack}, even=True)
        return loss

    def _preference(self, chosen: Sequence[int]) -> tuple[float, dict[int, float]]:
        """Mean of −log σ(β × margin), and what each passage's negative log-likelihood counts in its gradient.

        The margin is how much likelier the chosen completion became over the rejected one, since the start.
        """
        now = self._likelihoods([place for one in chosen for place in (one, self._pairs[one])])
        gained = {place: now[place] - self._reference[place] for place in now}
        loss = 0.0
        factors: dict[int, float] = {}
        for one in chosen:
            other = self._pairs[one]
            scaled = self._plan.beta * (gained[one] - gained[other])
            loss += (math.log1p(math.exp(-abs(scaled))) + max(-scaled, 0.0)) / len(chosen)
            pull = self._plan.beta / (1 + math.exp(min(scaled, 500.0))) / len(chosen)
            factors |= {one: pull, other: -pull}
        return loss, factors

    def _likelihoods(self, places: Sequence[int]) -> dict[int, float]:
        """Log-likelihood of passages' completions."""
        import torch

        found: dict[int, float] = {}
        with torch.no_grad():
            for pack in self._pack(places):
                layout = lay_out([self._data[place] for place in pack], self._shared)
                surprise = self._network.surprise(
                    self._frozen.stream(layout, pack), layout, self.first_layer, self.adapter
                )
                lengths = [len(self._data[place].weights) for place in pack]
                parts = surprise[: sum(lengths)].split(lengths)
                found |= {place: -float(part.sum()) for place, part in zip(pack, parts, strict=True)}
        return found

    def _learn(self, pack: Sequence[int], factors: Mapping[int, float], even: bool = False) -> float:
        """A pack's loss and gradient, each passage times its factor; `even`: all its tokens weigh the same."""
        import torch

        layout = lay_out([self._data[place] for place in pack], self._shared)
        weights = [(1.0 if even else weight) * factors[place] for place in pack for weight in self._data[place].weights]
        layout.weights[: len(weights)] = torch.tensor(weights)
        return self._network.learn(self._frozen.stream(layout, pack), layout, self.first_layer, self.adapter)

    def _packs(self, batch: Sequence[int]) -> list[list[int]]:
        """The packs a batch of examples is read in: plain ones, then pairs."""
        plain = [place for place in batch if place not in self._pairs]
        paired = [place for one in batch if one in self._pairs for place in (one, self._pairs[one])]
        return self._pack(plain) + self._pack(paired)

    def _pack(self, places: Sequence[int]) -> list[list[int]]:
        return [[places[index] for index in pack] for pack in packs([self._data[place] for place in places])]


class _Frozen:
    """What the layers below the first adapter make of each passage, computed once and kept in the products' dtype.

    Passages are read in the packs of the first epoch's steps, whichever of them is asked for first: which kernel reads
    one may tip its last bits, and a resumed training is to go on with the same ones.
    """

    def __init__(
        self,
        network: Network,
        layers: int,
        data: Sequence[Encoded],
        shared: Sequence[int],
        groups: Sequence[Sequence[int]],
    ) -> None:
        self._network, self._layers, self._data, self._shared = network, layers, data, shared
        self._groups = {place: group for group in groups for place in group}
        self._kept: dict[int, torch.Tensor] = {}
        self._head: torch.Tensor | None = None

    def stream(self, layout: Layout, pack: Sequence[int]) -> torch.Tensor:
        """The residual stream of a pack, given by its passages' places: (L, width) float32, zero where filled up."""
        import torch

        if self._layers == 0:
            return self._network.embed(layout.tokens)
        for place in pack:
            if place not in self._kept:
                self._read(self._groups[place])
        streams = [self._kept[place] for place in pack]
        if layout.head:
            if self._head is None:
                alone = lay_out([], self._shared)
                self._head = self._through(alone)[: alone.head]
            streams.insert(0, self._head)
        h = torch.zeros(len(layout.tokens), streams[0].shape[1])
        h[: sum(map(len, streams))] = torch.cat(streams)
        return h

    def _read(self, group: Sequence[int]) -> None:
        layout = lay_out([self._data[place] for place in group], self._shared)
        whole = self._through(layout)
        for place, (start, stop) in zip(group, layout.spans, strict=True):
            self._kept[place] = whole[start:stop].clone()

    def _through(self, layout: Layout) -> torch.Tensor:
        whole = self._network.read(self._network.embed(layout.tokens), layout, self._layers)
        return whole.to(self._network.dtype)


def _checkpoint(work: Path, key: str, losses: list[float], trainer: Trainer) -> None:
    import torch

    state = {
        "key": key,
        "losses": losses,
        "weights": trainer.adapter.weights.detach(),
        "optimiser": trainer.optimiser.state_dict(),
    }
    stored = io.BytesIO()  # first in memory: a full disk is then an OSError, whatever library packs the bytes
    torch.save(state, stored)
    scratch = work / "checkpoint.partial"
    try:
        work.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(stored.getvalue())
        scratch.replace(work / "checkpoint.pt")
    except OSError as error:
        raise _unwritten(scratch, error, f"step {len(losses)}'s checkpoint") from None


def _resume(work: Path, key: str, trainer: Trainer) -> list[float]:
    """Losses up to the last checkpoint, if it is of this plan, data and dtype; the trainer is set back to it."""
    import torch

    path = work / "checkpoint.pt"
    state = torch.load(path, weights_only=True) if path.is_file() else {}
    if state.get("key") != key:
        return []
    with torch.no_grad():
        trainer.adapter.weights.copy_(state["weights"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    trainer.adapter.refresh()
    losses: list[float] = state["losses"]
    return losses


def _save(files: dict[str, bytes], out: Path) -> None:
    """Write the adapter whole or not at all."""
    scratch = out.with_name(out.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        shutil.rmtree(out, ignore_errors=True)
        scratch.replace(out)
    except OSError as error:
        raise _unwritten(scratch, error, "the adapter") from None


def _unwritten(scratch: Path, error: OSError, what: str) -> InvalidInput:
    """The error for a file that could not be written, of which nothing is left behind."""
    if scratch.is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        scratch.unlink(missing_ok=True)
    return InvalidInput(
        f"{what} could not be written in {scratch.parent}: {error.strerror or error}. "
        "Make it writable, with room; the same call then goes on from its last checkpoint."
    )
