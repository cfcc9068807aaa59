"""Forward passes of a model of Llama's kin, written for many short sequences with different adapters.

Families differ in what is chosen when a checkpoint is read: norms, scales, an activation, an attention. Query heads
that share a key head are folded into the query's sequence axis, so keys and values are never repeated. What a linear
module computes is a `Product`: the base's fused weight, and whatever adapter the caller's rows carry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

import torch
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

from assay.engine.local.capped import capped, capped_attention
from assay.engine.local.checkpoint import Architecture, read_architecture
from assay.engine.local.packed import Packed
from assay.engine.local.settings import GELU_TANH, SILU
from assay.engine.local.stored import StoredWeights
from assay.engine.peft_layout import FUSED

TokenIds = tuple[int, ...]
KeysValues = torch.Tensor  # (layers, [rows,] tokens, 2 × key heads, head width), keys before values
LayerEdit = Callable[[int, torch.Tensor], torch.Tensor]  # (layer, residual stream) → residual stream
Product = Callable[[torch.Tensor, int, str, torch.Tensor | None], torch.Tensor]  # (x, layer, fused module, plus)
Head = Callable[[torch.Tensor], torch.Tensor]  # (rows, width), normalised → (rows, vocabulary)
Angles = tuple[torch.Tensor, torch.Tensor]  # cosine and signed sine of positions
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    SILU: silu,
    GELU_TANH: partial(gelu, approximate="tanh"),
}


class Llama:
    """Weights of a checkpoint and the two passes the engine makes: `prefill` and `decode`.

    Args:
        path: checkpoint directory in transformers' layout.
        dtype: the passes compute in.
        max_length: longest sequence, in tokens.
        device: the weights are on; the CPU if none is named.
    """

    def __init__(self, path: Path, dtype: torch.dtype, max_length: int, device: torch.device | None = None) -> None:
        self.dtype, self.device = dtype, device or torch.device("cpu")
        architecture = read_architecture(path)
        self.shape = architecture.shape
        # a window that no sequence outgrows is none
        self._windows = [w if w is not None and w < max_length else None for w in architecture.windows]
        self._activation = _ACTIVATIONS[architecture.activation]
        scale, cap = architecture.attention_scale, architecture.attention_cap
        plain = partial(scaled_dot_product_attention, scale=scale)
        self._attention = plain if cap is None else partial(capped_attention, scale=scale, cap=cap)
        self._logit_cap = architecture.logit_cap
        self._embedding_scale: torch.Tensor | None = None
        if architecture.embedding_scale is not None:  # rounded, as it was in training and transformers rounds it
            self._embedding_scale = torch.tensor(architecture.embedding_scale).to(dtype).to(self.device)
        self._read(path, architecture)
        self._rotary(architecture, max_length)

    def _read(self, path: Path, architecture: Architecture) -> None:
        stored, s = StoredWeights(path), self.shape
        query, key = s.heads * s.head_width, s.key_heads * s.head_width
        outputs = {
            "qkv": (query, key, key),
            "o": (s.width,),
            "gate_up": (architecture.inner, architecture.inner),
            "down": (s.width,),
        }
        inputs = {"qkv": s.width, "o": query, "gate_up": s.width, "down": architecture.inner}
        self.shapes = {fused: (inputs[fused], outputs[fused]) for fused in FUSED}

        def get(name: str, *shape: int) -> torch.Tensor:
            return stored.take(name, shape).to(self.dtype).to(self.device)

        def norm(name: str, width: int) -> torch.Tensor:
            stored_norm = self.stored_norms[name] = get(name, width).float()
            return stored_norm + architecture.norm_offset if architecture.norm_offset else stored_norm

        # where dtype and device are the file's, the embedding stays a part of the mapped file
        self.embedding = get("embed_tokens.weight", architecture.vocabulary, s.width)
        self.stored_norms: dict[str, torch.Tensor] = {}  # by name; those below are what the passes multiply by
        self.final_norm = norm("norm.weight", s.width)
        if architecture.tied:
            stored.require_same("lm_head.weight", "embed_tokens.weight", "tie_word_embeddings")
        self.head = Packed(
            self.embedding if architecture.tied else get("lm_head.weight", architecture.vocabulary, s.width)
        )
        self.norms: list[dict[str, torch.Tensor]] = []  # fused product → the norm beside it
        self.products: list[dict[str, Packed]] = []
        self.biases: list[dict[str, torch.Tensor]] = []
        self.head_norms: list[torch.Tensor] = []  # (heads + key heads, head width) each, where there are any
        for layer in range(s.layers):
            self.norms.append(
                {fused: norm(f"layers.{layer}.{name}.weight", s.width) for fused, name in architecture.norms.items()}
            )
            self.products.append({})
            self.biases.append({})
            for fused, modules in FUSED.items():
                widths = list(zip(modules, outputs[fused], strict=True))
                weights = [get(f"layers.{layer}.{module}.weight", width, inputs[fused]) for module, width in widths]
                self.products[layer][fused] = Packed(torch.cat(weights))
                if fused in architecture.biased:
                    biases = [get(f"layers.{layer}.{module}.bias", width) for module, width in widths]
                    self.biases[layer][fused] = torch.cat(biases)
            if architecture.head_norms:
                of_query, of_key = (norm(f"layers.{layer}.self_attn.{x}_norm.weight", s.head_width) for x in "qk")
                self.head_norms.append(torch.stack([of_query] * s.heads + [of_key] * s.key_heads))
        stored.require_all_taken()

    @cached_property
    def embedding_sizes(self) -> torch.Tensor:
        """Euclidean norm of each token's embedding, (vocabulary,), none of them zero."""
        sizes: torch.Tensor = torch.linalg.vector_norm(self.embedding, dim=-1, dtype=torch.float32).clamp_min(1e-9)
        return sizes

    @property
    def widths(self) -> dict[str, int]:
        """Outputs of each linear module."""
        return {m: w for fused, ms in FUSED.items() for m, w in zip(ms, self.shapes[fused][1], strict=True)}

    @property
    def nbytes(self) -> int:
        """Memory the weights take, the embedding left out where it is the file's."""
        return self.head.nbytes + sum(product.nbytes for layer in self.products for product in layer.values())

    def _rotary(self, architecture: Architecture, max_length: int) -> None:
        rotaries = list(dict.fromkeys(architecture.rotaries))
        self._turns = [rotaries.index(rotary) for rotary in architecture.rotaries]  # of each layer: which angles
        sign = torch.ones(self.shape.head_width)
        sign[: self.shape.head_width // 2] = -1
        self._angles: list[Angles] = []
        for rotary in rotaries:
            angles = torch.outer(torch.arange(max_length).float(), rotary.rates).repeat(1, 2)
            cosine, sine = angles.cos() * rotary.amplitude, angles.sin() * sign * rotary.amplitude
            self._angles.append((cosine.to(self.dtype).to(self.device), sine.to(self.dtype).to(self.device)))

    def base(self, x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None) -> torch.Tensor:
        """The `Product` of the base itself."""
        return self.products[layer][fused](x, plus)

    def _angles_of(self, positions: torch.Tensor) -> list[Angles]:
        """Cosine and signed sine for (…) positions, of each rotary embedding: (…, 1, head width) each."""
        return [(cosine[positions].unsqueeze(-2), sine[positions].unsqueeze(-2)) for cosine, sine in self._angles]

    def _linear(
        self, x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None, product: Product
    ) -> torch.Tensor:
        """What a product makes of x, and the base's bias, which no adapter touches."""
        y, bias = product(x, layer, fused, plus), self.biases[layer].get(fused)
        return y if bias is None else y + bias

    def _joined(self, h: torch.Tensor, x: torch.Tensor, layer: int, fused: str, product: Product) -> torch.Tensor:
        """The residual stream h with what a branch ends in, a product of x; normalised first, where the family does."""
        norm = self.norms[layer].get(fused)
        if norm is None:
            return self._linear(x, layer, fused, h, product)
        return h + self.norm(self._linear(x, layer, fused, None, product), norm)

    def _split(self, qkv: torch.Tensor, angles: Angles, layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(…, fused width) → rotated queries, rotated keys, values: (…, heads, head width) each."""
        s = self.shape
        heads = qkv.unflatten(-1, (-1, s.head_width))
        turned, values = heads.split([s.heads + s.key_heads, s.key_heads], dim=-2)
        if self.head_norms:
            turned = self.norm(turned, self.head_norms[layer])
        cosine, sine = angles
        turned = torch.addcmul(turned * cosine, turned.roll(s.head_width // 2, -1), sine)
        queries, keys = turned.split([s.heads, s.key_heads], dim=-2)
        return queries, keys, values

    def norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Root-mean-square normalisation, in float32; torch's own takes half as long again on few rows."""
        wide = x.float()
        size = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square().div(x.shape[-1])
        normed: torch.Tensor = (wide * size.add(self.shape.epsilon).rsqrt() * weight).to(self.dtype)
        return normed

    def _mlp(self, h: torch.Tensor, layer: int, product: Product) -> torch.Tensor:
        x = self.norm(h, self.norms[layer]["gate_up"])
        gate, up = self._linear(x, layer, "gate_up", None, product).chunk(2, dim=-1)
        opened = self._activation(gate)
        opened = opened * up if opened.requires_grad else opened.mul_(up)
        return self._joined(h, opened, layer, "down", product)

    def logits(self, h: torch.Tensor, head: Head | None = None) -> torch.Tensor:
        """(rows, width) → (rows, vocabulary). A head that autograd can follow may stand in for the model's."""
        scores = (head or self.head)(self.norm(h, self.final_norm))
        return scores if self._logit_cap is None else capped(scores, self._logit_cap)

    def embed(self, prompts: Sequence[TokenIds]) -> torch.Tensor:
        """Prompts padded on the right: (rows, longest, width)."""
        tokens = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.tensor(prompt)
        return self._embedded(tokens.to(self.device))

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        h = self.embedding[tokens]
        return h if self._embedding_scale is None else h * self._embedding_scale

    def prefill(
        self,
        h: torch.Tensor,
        layers: range,
        product: Product,
        past: KeysValues | None = None,
        edit: LayerEdit | None = None,
        keep: KeysValues | None = None,
    ) -> torch.Tensor:
        """Pass prompts, padded on the right, through some layers. Differentiable if the product is.

        Args:
            h: (rows, T, width) what the first of the layers is given.
            layers: successive ones.
            product: of all rows.
            past: keys and values of a prefix all rows share, in all layers of the model, of one row.
            edit: applied to the residual stream (rows, T, width) after each layer.
            keep: (len(layers), rows, T, 2 × key heads, head width), filled with what the prompts add to the prefix.

        Returns:
            The last layer's output (rows, T, width).
        """
        s, (rows, length, _) = self.shape, h.shape
        prefix = past.shape[1] if past is not None else 0
        positions = torch.arange(prefix, prefix + length, device=self.device)
        angles = self._angles_of(positions)
        masks = {window: self._prefill_mask(positions, window) for window in {self._windows[i] for i in layers}}
        h = h.reshape(rows * length, -1)
        for index, layer in enumerate(layers):
            qkv = self._linear(self.norm(h, self.norms[layer]["qkv"]), layer, "qkv", None, product)
            q, k, v = self._split(qkv.view(rows, length, -1), angles[self._turns[layer]], layer)
            if keep is not None:
                keep[index, :, :, : s.key_heads], keep[index, :, :, s.key_heads :] = k, v
            if past is not None:
                old = past[layer].expand(rows, -1, -1, -1)
                k = torch.cat((old[:, :, : s.key_heads], k), dim=1)
                v = torch.cat((old[:, :, s.key_heads :], v), dim=1)
            # (rows, T, heads, ·) → (rows, key heads, shared × T, ·): queries of one key head in one sequence
            folded = q.unflatten(2, (s.key_heads, s.shared)).permute(0, 2, 3, 1, 4).flatten(2, 3)
            out = self._attention(folded, k.transpose(1, 2), v.transpose(1, 2), attn_mask=masks[self._windows[layer]])
            out = out.unflatten(2, (s.shared, length)).permute(0, 3, 1, 2, 4).reshape(rows * length, -1)
            h = self._mlp(self._joined(h, out, layer, "o", product), layer, product)
            if edit is not None:
                h = edit(layer, h.view(rows, length, -1)).reshape(rows * length, -1)
        return h.view(rows, length, -1)

    def decode(
        self,
        tokens: torch.Tensor,
        parts: Sequence[tuple[KeysValues, torch.Tensor]],
        product: Product,
        edit: LayerEdit | None = None,
    ) -> torch.Tensor:
        """One step for every row.

        Args:
            tokens: (rows,) last token of each row.
            parts: that together are the rows: keys and values (layers, at least its rows, capacity, …), written in
                place; and how many tokens of each of its rows are there already.
            product: of all rows.
            edit: applied to the residual stream (rows, width) after each layer.

        Returns:
            Logits (rows, vocabulary).
        """
        s = self.shape
        counts = [len(lengths) for _, lengths in parts]
        angles = self._angles_of(torch.cat([lengths for _, lengths in parts]))
        masks = {window: [self._mask(lengths, window) for _, lengths in parts] for window in set(self._windows)}
        indices = [torch.arange(count, device=self.device) for count in counts]
        h = self._embedded(tokens)
        for layer in range(s.layers):
            qkv = self._linear(self.norm(h, self.norms[layer]["qkv"]), layer, "qkv", None, product)
            q, k, v = self._split(qkv, angles[self._turns[layer]], layer)
            folded = q.unflatten(1, (s.key_heads, s.shared))
            outs = []
            start = 0
            for (kept, lengths), count, mask, everyone in zip(
                parts, counts, masks[self._windows[layer]], indices, strict=True
            ):
                own = kept[layer]
                own[everyone, lengths, : s.key_heads] = k[start : start + count]
                own[everyone, lengths, s.key_heads :] = v[start : start + count]
                seen = own[:count, : mask.shape[-1]].transpose(1, 2)
                outs.append(
                    self._attention(
                        folded[start : start + count], seen[:, : s.key_heads], seen[:, s.key_heads :], attn_mask=mask
                    )
                )
                start += count
            out = outs[0] if len(outs) == 1 else torch.cat(outs)
            out = self._joined(h, out.reshape(len(tokens), -1), layer, "o", product)
            h = self._mlp(out, layer, product)
            if edit is not None:
                h = edit(layer, h)
        return self.logits(h)

    def _prefill_mask(self, positions: torch.Tensor, window: int | None) -> torch.Tensor:
        """(query heads per key head × T, last position + 1): whether a token sees another."""
        columns = torch.arange(int(positions[-1]) + 1, device=self.device)
        seen = columns <= positions[:, None]
        if window is not None:
            seen &= columns > positions[:, None] - window
        return seen.repeat(self.shape.shared, 1)

    def _mask(self, lengths: torch.Tensor, window: int | None) -> torch.Tensor:
        """Additive, (rows, 1, 1, longest): a row sees what it has, as far as its window reaches, and its new token."""
        longest = int(lengths.max()) + 1
        columns = torch.arange(longest, device=self.device)
        hidden = columns > lengths[:, None]
        if window is not None:
            hidden |= columns <= lengths[:, None] - window
        mask = torch.zeros(len(lengths), longest, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None, :]
