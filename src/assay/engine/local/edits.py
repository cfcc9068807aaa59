"""Applies edits: each touches the rows of its own request, at the tokens it names, and ends with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from assay.core.edit import AddVector, Contrast, Edit, Noise, ResidualEdit, ScaleAdapter
from assay.engine.local.llama import LayerEdit


@dataclass(frozen=True, slots=True)
class ActiveEdit:
    """A residual edit of one row.

    Attributes:
        edit: what it is.
        start, stop: positions it touches, counted from the prompt's first token; None is open.
        vector: its vector or unit direction, (width,) on the engine's device; None for noise.
        generator: of its noise, private to the row; None for the others.
    """

    edit: ResidualEdit
    start: int
    stop: int | None
    vector: torch.Tensor | None
    generator: torch.Generator | None

    def apply(self, h: torch.Tensor, first: int) -> torch.Tensor:
        """Edits the residual stream of successive tokens.

        Args:
            h: (tokens, width).
            first: position of the first of them.

        Returns:
            The edited stream, of the same shape.
        """
        begin = max(self.start - first, 0)
        end = len(h) if self.stop is None else min(self.stop - first, len(h))
        if begin >= end and self.generator is None:
            return h
        # Noise is drawn for every token, so that a span cuts it out and does not shift it.
        changed = self._change(h)
        if begin >= end:
            return h
        if begin == 0 and end == len(h):
            return changed
        return torch.cat((h[:begin], changed[begin:end], h[end:]))

    def _change(self, h: torch.Tensor) -> torch.Tensor:
        """Edits every token, in float32: in bfloat16 a small edit of a large stream would be rounded away."""
        wide = h.float()
        if isinstance(self.edit, Noise):
            size = wide.pow(2).mean(dim=-1, keepdim=True).sqrt() * self.edit.scale
            # Drawn on the CPU, so that the same seed gives the same noise on any device.
            drawn = torch.randn(h.shape, generator=self.generator).to(h.device)
            return (wide + drawn * size).to(h.dtype)
        assert self.vector is not None
        if isinstance(self.edit, AddVector):
            return (wide + self.vector).to(h.dtype)
        return (wide - (wide @ self.vector)[..., None] * self.vector).to(h.dtype)


def activate(edits: Sequence[Edit], prompt: int, key: int, device: torch.device) -> list[ActiveEdit]:
    """Makes the residual edits of a request ready for one row.

    Args:
        edits: of its view.
        prompt: its length in tokens.
        key: of the request's random numbers; noise mixes it with its own seed.
        device: of the engine.
    """
    active = []
    for edit in edits:
        if not isinstance(edit, ResidualEdit):
            continue
        vector = generator = None
        if isinstance(edit, Noise):
            # Multiplying by 2^64 / φ spreads neighbouring seeds over all bits before they are mixed with the key.
            generator = torch.Generator().manual_seed((key ^ edit.seed * 0x9E3779B97F4A7C15) % 2**63)
        else:
            vector = torch.tensor(edit.vector, dtype=torch.float32)
            vector = vector * edit.scale if isinstance(edit, AddVector) else vector / vector.norm()
            vector = vector.to(device)
        start = edit.start if edit.start >= 0 else max(prompt + edit.start, 0)
        stop = edit.stop if edit.stop is None or edit.stop >= 0 else max(prompt + edit.stop, 0)
        active.append(ActiveEdit(edit, start, stop, vector, generator))
    return active


def scales(edits: Sequence[Edit], layers: int) -> dict[int, float]:
    """Returns layer → factor of the adapter, for the layers that edits name; several edits multiply."""
    factors: dict[int, float] = {}
    for edit in edits:
        if isinstance(edit, ScaleAdapter):
            for layer in range(layers) if edit.layers is None else edit.layers:
                factors[layer] = factors.get(layer, 1.0) * float(edit.factor)
    return factors


def contrast(edits: Sequence[Edit]) -> Contrast | None:
    """Finds the view's combination with its reference, if it has one."""
    return next((edit for edit in edits if isinstance(edit, Contrast)), None)


def combine(against: Contrast, own: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Combines a target's logits with its reference's, the vocabulary last, float32."""
    mixed = against.weight * own + against.alpha * (own - base)
    if against.plausible:
        least = own.amax(dim=-1, keepdim=True) + math.log(against.plausible)
        mixed = mixed.masked_fill(own < least, -math.inf)
    return mixed


def prefill_edit(rows: Sequence[Sequence[ActiveEdit]], lengths: Sequence[int], first: int = 0) -> LayerEdit | None:
    """Makes the edit of a pass in which prompts are read.

    Args:
        rows: active edits of each row.
        lengths: of the rows without padding: padding draws no noise.
        first: position of the first token.

    Returns:
        What the pass applies after each layer; None if no row is edited.
    """
    if not any(rows):
        return None

    def apply(layer: int, h: torch.Tensor) -> torch.Tensor:
        # Rows are replaced, never written into: gradients flow through this too.
        out = list(h)
        for row, edits in enumerate(rows):
            for active in edits:
                if active.edit.layer == layer:
                    own = active.apply(out[row][: lengths[row]], first)
                    out[row] = torch.cat((own, out[row][lengths[row] :]))
        return torch.stack(out)

    return _only_where(rows, apply)


def decode_edit(rows: Sequence[Sequence[ActiveEdit]], positions: Sequence[int]) -> LayerEdit | None:
    """Makes the edit of a decoding step: each row has one token, at its position."""
    if not any(rows):
        return None

    def apply(layer: int, h: torch.Tensor) -> torch.Tensor:
        for row, edits in enumerate(rows):
            for active in edits:
                if active.edit.layer == layer:
                    h[row] = active.apply(h[row][None], positions[row])[0]
        return h

    return _only_where(rows, apply)


def _only_where(rows: Sequence[Sequence[ActiveEdit]], apply: LayerEdit) -> LayerEdit:
    """Leaves the layers alone that no edit names: most of them, which then cost nothing."""
    layers: set[int] = set()
    for edits in rows:
        layers.update(active.edit.layer for active in edits)

    def applied(layer: int, h: torch.Tensor) -> torch.Tensor:
        return apply(layer, h) if layer in layers else h

    return applied
