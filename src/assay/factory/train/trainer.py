"""Trains an adapter by the hand-written passes: packs the examples, and computes once what never changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import InvalidInput
from assay.factory.recipes import TrainPlan
from assay.factory.train.packing import Encoded, Layout, lay_out, packs
from assay.factory.train.schedule import MAX_NORM, step_order

if TYPE_CHECKING:
    import torch

    from assay.factory.train.adapter import TrainableAdapter
    from assay.factory.train.llama_backward import Network


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
        first_layer: the first layer that is adapted.
        adapter: the adapter's weights.

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
        examples = len(data) - len(self._pairs)  # rejected completions come in with their examples
        first_epoch = step_order(examples, plan)[: math.ceil(examples / plan.batch)]
        groups: list[list[int]] = []
        for batch in first_epoch:
            groups += self._packs(batch)
        self._base = _Base(network, plan.first_layer, data, shared, groups)
        # at the start, before any update: what the preference loss compares with
        self._reference = self._likelihoods(self._with_rejected(self._pairs))

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {"weights": self.adapter.weights.detach(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        import torch

        with torch.no_grad():
            self.adapter.weights.copy_(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.adapter.refresh()

    def files(self) -> dict[str, bytes]:
        """Returns the adapter as files in PEFT's layout."""
        return self.adapter.files()

    def step(self, batch: Sequence[int], rate: float) -> float:
        """Makes one update.

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
            self.optimiser.zero_grad(set_to_none=False)  # the adapter keeps views into this gradient
            self.adapter.refresh()
        return loss

    def gradient(self, batch: Sequence[int]) -> float:
        """Returns the batch's loss, and adds its gradient to the adapter's.

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
            # the preference loss's gradient is a sum of cross entropies', each times a factor: the same passes make it
            if chosen:
                preference, factors = self._preference(chosen)
                loss += preference
                for pack in self._pack(list(factors)):
                    self._learn(pack, {place: factors[place] for place in pack}, even=True)
        return loss

    def _preference(self, chosen: Sequence[int]) -> tuple[float, dict[int, float]]:
        """Returns the mean of −log σ(β × margin), and what each passage's −log-likelihood counts in its gradient.

        The margin is how much likelier the chosen completion became over the rejected one, since the start (direct
        preference optimisation, Rafailov et al. 2023, equation 7).
        """
        now = self._likelihoods(self._with_rejected(chosen))
        gained = {place: now[place] - self._reference[place] for place in now}
        loss = 0.0
        factors: dict[int, float] = {}
        for one in chosen:
            other = self._pairs[one]
            scaled = self._plan.beta * (gained[one] - gained[other])
            # −log σ(x) = log(1 + e^−|x|) + max(−x, 0), and σ(−x) = 1 / (1 + e^x): neither may overflow
            loss += (math.log1p(math.exp(-abs(scaled))) + max(-scaled, 0.0)) / len(chosen)
            pull = self._plan.beta / (1 + math.exp(min(scaled, 500.0))) / len(chosen)
            factors |= {one: pull, other: -pull}
        return loss, factors

    def _likelihoods(self, places: Sequence[int]) -> dict[int, float]:
        """Returns the log-likelihood of each passage's completion, by its place."""
        import torch

        found: dict[int, float] = {}
        with torch.no_grad():
            for pack in self._pack(places):
                layout = lay_out([self._data[place] for place in pack], self._shared)
                stream = self._base.stream(layout, pack)
                surprise = self._network.surprise(stream, layout, self.first_layer, self.adapter)
                lengths = [len(self._data[place].weights) for place in pack]
                parts = surprise[: sum(lengths)].split(lengths)  # without the idle rows at the end
                for place, part in zip(pack, parts, strict=True):
                    found[place] = -float(part.sum())
        return found

    def _learn(self, pack: Sequence[int], factors: Mapping[int, float], even: bool = False) -> float:
        """Returns a pack's loss and adds its gradient, each passage times its factor.

        Args:
            pack: places of passages.
            factors: place → factor.
            even: all of a passage's tokens weigh the same, as in a likelihood; else by their own weights.
        """
        import torch

        layout = lay_out([self._data[place] for place in pack], self._shared)
        weights: list[float] = []
        for place in pack:
            for weight in self._data[place].weights:
                weights.append((1.0 if even else weight) * factors[place])
        layout.weights[: len(weights)] = torch.tensor(weights)
        stream = self._base.stream(layout, pack)
        anchored = self._plan.anchor == "kl" and not even
        held = self._base.states(layout, pack) if anchored else None
        return self._network.learn(stream, layout, self.first_layer, self.adapter, held)

    def _with_rejected(self, chosen: Iterable[int]) -> list[int]:
        """Returns the places of preferred completions, each followed by that of the rejected one."""
        places: list[int] = []
        for place in chosen:
            places += [place, self._pairs[place]]
        return places

    def _packs(self, batch: Sequence[int]) -> list[list[int]]:
        """Returns the packs a batch of examples is read in: plain ones, then pairs."""
        plain = [place for place in batch if place not in self._pairs]
        chosen = [place for place in batch if place in self._pairs]
        return self._pack(plain) + self._pack(self._with_rejected(chosen))

    def _pack(self, places: Sequence[int]) -> list[list[int]]:
        """Groups places into packs; `packs` counts within what it is given, so its numbers are translated back."""
        made: list[list[int]] = []
        for pack in packs([self._data[place] for place in places]):
            made.append([places[index] for index in pack])
        return made


class _Base:
    """What the base makes of each passage, computed once and kept in the products' dtype.

    Of the layers below the first adapter it is what the others start from; at the end, what anchors are held to.

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
        self._groups: dict[int, Sequence[int]] = {}  # place → the pack it is read in
        for group in groups:
            self._groups |= dict.fromkeys(group, group)
        self._kept: dict[int, torch.Tensor] = {}
        self._last: dict[int, torch.Tensor] = {}
        self._head: torch.Tensor | None = None

    def stream(self, layout: Layout, pack: Sequence[int]) -> torch.Tensor:
        """Returns a pack's residual stream, by its passages' places: (L, width) float32, zero where filled up."""
        import torch

        if self._layers == 0:
            return self._network.embed(layout.tokens)
        for place in pack:
            if place not in self._kept:
                self._read(self._groups[place])
        streams = [self._kept[place] for place in pack]
        if layout.head:
            if self._head is None:  # no example is seen by it, so that it is the same in every pack
                alone = lay_out([], self._shared)
                self._head = self._through(alone)[: alone.head]
            streams.insert(0, self._head)
        h = torch.zeros(len(layout.tokens), streams[0].shape[1])
        h[: sum(map(len, streams))] = torch.cat(streams)
        return h

    def states(self, layout: Layout, pack: Sequence[int]) -> torch.Tensor:
        """Returns a pack's last hidden states at the rows that predict, (M, width), zero where filled up."""
        import torch

        for place in pack:
            if place not in self._last:
                group = self._groups[place]
                whole = self._packed(group)
                lengths = [len(self._data[other].weights) for other in group]
                read = self._network.states(self.stream(whole, group), whole, self._layers)
                for other, part in zip(group, read[: sum(lengths)].split(lengths), strict=True):
                    self._last[other] = part.clone()
        known = torch.cat([self._last[place] for place in pack])
        states = known.new_zeros(len(layout.wanted), known.shape[1])
        states[: len(known)] = known
        return states

    def _packed(self, group: Sequence[int]) -> Layout:
        return lay_out([self._data[place] for place in group], self._shared)

    def _read(self, group: Sequence[int]) -> None:
        """Reads a group of passages as one pack, and keeps what each became."""
        layout = self._packed(group)
        whole = self._through(layout)
        for place, (start, stop) in zip(group, layout.spans, strict=True):
            self._kept[place] = whole[start:stop].clone()  # a view would keep the whole pack in memory

    def _through(self, layout: Layout) -> torch.Tensor:
        """Runs a layout through the lower layers."""
        whole = self._network.read(self._network.embed(layout.tokens), layout, self._layers)
        return whole.to(self._network.dtype)
