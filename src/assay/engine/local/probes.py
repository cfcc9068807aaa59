"""Reads off one pass over a prompt what it shows: log-probabilities, residual streams, gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import linear

from assay.core.readouts import Along, Array, NegativeLogLikelihood, WithRespectTo
from assay.engine.local.edits import ActiveEdit, activate, combine, contrast, prefill_edit, scales
from assay.engine.local.llama import Llama, Product
from assay.engine.local.lora import Factors
from assay.engine.local.queue import Request
from assay.engine.local.weight_noise import NoiseTable, noises_of
from assay.engine.peft_layout import FUSED

_ROWS = 256  # positions whose logits are in memory at once


@dataclass(frozen=True, slots=True)
class ScoredPrompt:
    """Log-probabilities of a prompt's own tokens, and the likeliest next ones at each position.

    Attributes:
        logprobs: (tokens,); the first counts 0.
        top: ids and log-probabilities, (tokens, top) each, likeliest first; None if none were asked for.
        divergence: of what comes next, target against reference, (tokens,); None without a contrast.
    """

    logprobs: Array
    top: tuple[NDArray[np.int64], Array] | None
    divergence: Array | None


def read_off(
    model: Llama, request: Request, h: torch.Tensor, base: torch.Tensor | None, streams: Mapping[int, torch.Tensor]
) -> ScoredPrompt | Array | dict[int, Array]:
    """Returns what a probe wants of a pass over its prompt.

    Args:
        model: the base.
        request: whose probe it is.
        h: last hidden states (tokens, width), padded.
        base: the untouched base's, where they are needed.
        streams: layer → residual stream (tokens, width), padded.
    """
    assert request.probe is not None
    length = len(request.prompt)
    if request.probe.divergence:
        assert base is not None
        return divergence(model, combined(model, request, h, base), base[:length])
    if request.probe.top is None:
        return {layer: stream(streams[layer][:length]) for layer in request.probe.layers}
    return score(combined(model, request, h, base), request.prompt, request.probe.top)


def stream(h: torch.Tensor) -> Array:
    """Copies a tensor as plain numbers."""
    return h.detach().float().cpu().numpy()


Logits = Callable[[slice], tuple[torch.Tensor, torch.Tensor | None]]


def score(logits: Logits, prompt: Sequence[int], top: int) -> ScoredPrompt:
    """Computes log-probabilities from logits, a few positions at a time: all at once would take the most memory of all.

    Args:
        logits: of a slice of positions, (positions, vocabulary), float32; and their divergence, where there is one.
        prompt: token ids.
        top: likeliest next tokens to give at each position.
    """
    own, ids, values, apart = [np.zeros(1, np.float32)], [], [], []
    following = torch.tensor([*prompt[1:], 0])  # the last position has none: what it says of token 0 is cut off below
    for start in range(0, len(prompt), _ROWS):
        part = slice(start, min(start + _ROWS, len(prompt)))
        found, divergence = logits(part)
        logprobs = found.log_softmax(dim=-1)
        own.append(logprobs.gather(1, following[part, None].to(logprobs.device))[:, 0].cpu().numpy())
        if top:
            best = logprobs.topk(top, dim=-1)
            ids.append(best.indices.cpu().numpy())
            values.append(best.values.cpu().numpy())
        if divergence is not None:
            apart.append(divergence.cpu().numpy())
    kept = (np.concatenate(ids), np.concatenate(values)) if top else None
    return ScoredPrompt(np.concatenate(own)[: len(prompt)], kept, np.concatenate(apart) if apart else None)


def combined(model: Llama, request: Request, h: torch.Tensor, base: torch.Tensor | None) -> Logits:
    """Returns logits at a slice of positions, after the view's contrast with its reference if it has one.

    With a contrast comes how far the two are apart, KL(target ‖ reference) in nats, (positions,).

    Args:
        model: the base.
        request: whose view may be a contrast.
        h: last hidden states (tokens, width).
        base: the reference's, where there is a contrast.
    """
    against = contrast(request.edits)

    def logits(part: slice) -> tuple[torch.Tensor, torch.Tensor | None]:
        own = model.logits(h[part]).float()
        if against is None or base is None:
            return own, None
        other = model.logits(base[part]).float()
        target, reference = own.log_softmax(dim=-1), other.log_softmax(dim=-1)
        divergence = (target.exp() * (target - reference)).sum(dim=-1).clamp(min=0)  # rounding, where nothing differs
        return combine(against, own, other), divergence

    return logits


def divergence(model: Llama, logits: Logits, base: torch.Tensor) -> Array:
    """Computes KL(base ‖ target) over the whole vocabulary at each position, a few positions at a time.

    Args:
        model: the base.
        logits: the target's, of a slice of positions.
        base: the base's last hidden states (tokens, width).
    """
    found: list[Array] = []
    for start in range(0, len(base), _ROWS):
        part = slice(start, min(start + _ROWS, len(base)))
        own, others = logits(part)[0].log_softmax(dim=-1), model.logits(base[part]).float().log_softmax(dim=-1)
        found.append(stream((others.exp() * (others - own)).sum(dim=-1).clamp(min=0)))
    return np.concatenate(found)


@dataclass(slots=True)
class _Leaves:
    """What is differentiated with respect to.

    Attributes:
        tensors: by the name each gradient is returned under.
        residual: layer → (tokens, width) or (1, width), zeros that are added after the layer.
    """

    tensors: dict[str, torch.Tensor]
    residual: dict[int, torch.Tensor]


def nearest(model: Llama, request: Request) -> tuple[NDArray[np.int64], Array]:
    """Finds the tokens that a request's vectors of the residual stream point to.

    Returns:
        Ids and log-probabilities or cosines, (vectors, top) each, nearest first.
    """
    assert request.probe is not None and request.probe.near is not None
    vectors, top, by = request.probe.near
    rows = torch.tensor(vectors, device=model.device)
    ids, values = [], []
    for part in rows.split(_ROWS):
        if by == "unembedding":
            likeness = model.logits(part.to(model.dtype)).float().log_softmax(dim=-1)
        else:
            unit = torch.nn.functional.normalize(part, dim=-1)
            likeness = (unit.to(model.dtype) @ model.embedding.T).float() / model.embedding_sizes
        best = likeness.topk(top, dim=-1)
        ids.append(best.indices.cpu().numpy())
        values.append(best.values.cpu().numpy())
    return np.concatenate(ids), np.concatenate(values)


def gradients(model: Llama, factors: Factors, request: Request, noise: NoiseTable) -> tuple[float, dict[str, Array]]:
    """Computes gradients of a loss at one prompt, at the view's edits.

    Args:
        model: the base.
        factors: of the request's adapter.
        request: whose probe says what to differentiate.
        noise: in weights, for views that have any.

    Returns:
        The loss and name → gradient, as `assay.core.readouts.Gradients` names them.
    """
    assert request.probe is not None and request.probe.gradient is not None
    wrt, loss, begin = request.probe.gradient
    length, layers = len(request.prompt), range(model.shape.layers)
    with torch.inference_mode(False), torch.enable_grad():  # the worker's thread runs in inference mode
        held: dict[tuple[int, str], tuple[torch.Tensor, ...]] = {}
        for key, pair in factors.items():
            # Clones: tensors made in inference mode can take no part in autograd.
            held[key] = tuple(factor.clone().requires_grad_(wrt.kind == "adapter") for factor in pair)
        product = _differentiable(model, held, scales(request.edits, model.shape.layers))
        product = noise.disturbed(product, [(None, noises_of(request.edits))])
        h = model.embed([request.prompt]).clone().requires_grad_(wrt.kind == "inputs")
        leaves = _leaves(model, wrt, held, h, length)
        active = activate(request.edits, length, request.entropy, model.device)
        seen: dict[int, torch.Tensor] = {}
        last = model.prefill(h, layers, product, edit=_following(active, leaves, length, seen))[0]
        if isinstance(loss, NegativeLogLikelihood):
            value = _likelihood(model, last, request.prompt, begin)
        elif isinstance(loss, Along):
            value = -(seen[loss.layer].float() @ torch.tensor(loss.vector, device=model.device)).mean()
        else:
            plain: dict[int, torch.Tensor] = {}
            with torch.no_grad():
                model.prefill(h, range(loss.layer + 1), product, edit=_following([], None, length, plain))
            moved = (seen[loss.layer] - plain[loss.layer]).float()
            # The root of zero has no slope: an unedited stream, whose shift is zero, is given a tiny one.
            value = -(moved.pow(2).sum(-1) + 1e-12).pow(loss.power / 2).mean()
        found = torch.autograd.grad(value, list(leaves.tensors.values()), allow_unused=True)
    of: dict[str, Array] = {}
    for (name, leaf), gradient in zip(leaves.tensors.items(), found, strict=True):
        # What the loss does not depend on has no gradient: a layer above the one it looks at, say.
        array = np.zeros(tuple(leaf.shape), np.float32) if gradient is None else stream(gradient)
        alone = name == "inputs" or name.startswith("vector.")  # of one prompt; one for all tokens
        of[name] = array[0] if alone else array
    return float(value), of


def _leaves(
    model: Llama,
    wrt: WithRespectTo,
    held: Mapping[tuple[int, str], tuple[torch.Tensor, ...]],
    h: torch.Tensor,
    length: int,
) -> _Leaves:
    """Chooses what is differentiated with respect to: tensors the pass uses anyway, or zeros that are added to it."""
    if wrt.kind == "inputs":
        return _Leaves({"inputs": h}, {})
    if wrt.kind == "adapter":
        named: dict[str, torch.Tensor] = {}
        for (layer, module), (a, b) in held.items():
            named[f"layers.{layer}.{module}.lora_A"], named[f"layers.{layer}.{module}.lora_B"] = a, b
        return _Leaves(named, {})
    rows = length if wrt.kind == "residual" else 1
    added = {
        layer: torch.zeros(rows, model.shape.width, dtype=torch.float32, device=model.device, requires_grad=True)
        for layer in wrt.layers
    }
    return _Leaves({f"{wrt.kind}.{layer}": leaf for layer, leaf in added.items()}, added)


def _following(
    active: Sequence[ActiveEdit], leaves: _Leaves | None, length: int, seen: dict[int, torch.Tensor]
) -> Callable[[int, torch.Tensor], torch.Tensor]:
    """Makes what follows each layer: edits, then the leaves' (zero) additions; what the layer gives is written down."""
    edit = prefill_edit([active], [length])

    def follow(layer: int, h: torch.Tensor) -> torch.Tensor:
        if edit is not None:
            h = edit(layer, h)
        if leaves is not None and layer in leaves.residual:
            h = (h.float() + leaves.residual[layer]).to(h.dtype)
        seen[layer] = h[0]
        return h

    return follow


def _likelihood(model: Llama, last: torch.Tensor, prompt: Sequence[int], begin: int) -> torch.Tensor:
    """Computes the mean −log p of the tokens from `begin` on (from the second on, where there is no beginning)."""
    first = max(begin, 1)
    weight = model.head.weight
    logits = model.logits(last[first - 1 : len(prompt) - 1], lambda normed: linear(normed, weight)).float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(prompt[first:], device=model.device))


def _differentiable(
    model: Llama, factors: Mapping[tuple[int, str], tuple[torch.Tensor, ...]], strength: Mapping[int, float]
) -> Product:
    """Makes products that autograd can follow; laid-out weights are laid back, a layer at a time."""

    def product(x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None) -> torch.Tensor:
        y = linear(x, model.products[layer][fused].weight)
        parts = [factors.get((layer, module)) for module in FUSED[fused]]
        if any(parts):
            added: list[torch.Tensor] = []
            for part, width in zip(parts, model.shapes[fused][1], strict=True):
                if part is None:
                    added.append(x.new_zeros(len(x), width))
                else:
                    down, up = part
                    added.append(linear(linear(x, down), up))
            y = y + strength.get(layer, 1.0) * torch.cat(added, dim=-1)
        return y if plus is None else plus + y

    return product
