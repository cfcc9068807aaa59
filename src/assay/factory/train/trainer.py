"""One adapter's updates by the hand-written passes: packed examples, and what never changes computed once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import InvalidInput
from assay.factory.recipes import TrainPlan
from assay.factory.train.packing import Encoded, Layout, lay_out, packs
from assay.factory.train.schedule import step_order

if TYPE_CHECKING:
    import torch

    from assay.factory.train.adapter import TrainableAdapter
    from assay.factory.train.llama_backward import Network

MAX_NORM = 1.0  # of a step's gradient


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

        from assay.factory.train.adapter import TrainableAdapter
        from assay.factory.train.llama_backward import Network

        network = Network(base, dtype)
        if not 0 <= plan.first_layer < network.layers:
            raise InvalidInput(f"first_layer is {plan.first_layer}; {base} has layers 0 to {network.layers - 1}.")
        self._network: Network = network
        self.first_layer = plan.first_layer
        self._plan, self._data, self._shared, self._pairs = plan, data, shared, pairs or {}
        self.adapter: TrainableAdapter = TrainableAdapter(plan, network.sizes, network.layers, dtype)
        if start:
            self.adapter.load(start)
        self.optimiser = torch.optim.AdamW([self.adapter.weights], lr=plan.learning_rate, fused=True)
        batches = step_order(len(data) - len(self._pairs), plan)[: -(-(len(data) - len(self._pairs)) // plan.batch)]
        self._frozen = _Frozen(network, plan.first_layer, data, shared, [p for b in batches for p in self._packs(b)])
        self._reference = self._likelihoods([place for pair in self._pairs.items() for place in pair])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"weights": self.adapter.weights.detach(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        import torch

        with torch.no_grad():
            self.adapter.weights.copy_(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.adapter.refresh()

    def files(self) -> dict[str, bytes]:
        """The adapter in PEFT's layout."""
        return self.adapter.files()

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
