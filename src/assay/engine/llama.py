"""Forward passes of a Llama-family model, written for many short sequences with different adapters.

Rows of one batch may carry different adapters: rows are kept sorted by adapter, each adapter's rows share two thin
matrix products, and nothing is merged. Query heads that share a key head are folded into the query's sequence axis, so
keys and values are never repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from assay.core.errors import InvalidInput
from assay.engine.lora import FUSED, Adapter

Group = tuple[int, int, Adapter | None]  # rows [start, stop) and their adapter
Prompt = tuple[int, ...]
KeysValues = torch.Tensor  # (2, layers, rows, key heads, tokens, head width)
LayerEdit = Callable[[int, torch.Tensor], torch.Tensor]  # (layer, residual stream) → residual stream


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int
    epsilon: float

    @property
    def shared(self) -> int:
        """Query heads per key head."""
        return self.heads // self.key_heads


class Llama:
    """Weights of a checkpoint and the two passes the engine makes: `prefill` and `decode`.

    Args:
        path: checkpoint directory in transformers' layout.
        dtype: the passes compute in.
        max_length: longest sequence, in tokens.
    """

    def __init__(self, path: Path, dtype: torch.dtype, max_length: int) -> None:
        config = json.loads((path / "config.json").read_text())
        if config.get("model_type") != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
            raise InvalidInput(
                f"{path}: the local engine runs Llama-family models without biases, not {config.get('model_type')!r}."
            )
        heads = config["num_attention_heads"]
        self.shape = Shape(
            config["num_hidden_layers"],
            config["hidden_size"],
            heads,
            config.get("num_key_value_heads", heads),
            config.get("head_dim") or config["hidden_size"] // heads,
            config["rms_norm_eps"],
        )
        self.dtype = dtype
        self._read(path)
        self._rotary(config, max_length)

    def _read(self, path: Path) -> None:
        from safetensors.torch import load_file

        tensors: dict[str, torch.Tensor] = {}
        for file in sorted(path.glob("*.safetensors")):
            tensors |= {name.removeprefix("model."): t.to(self.dtype) for name, t in load_file(file).items()}
        self.embedding = tensors["embed_tokens.weight"]
        self.head = tensors.get("lm_head.weight", self.embedding)
        self.final_norm = tensors["norm.weight"]
        self.widths = {m: tensors[f"layers.0.{m}.weight"].shape[0] for ms in FUSED.values() for m in ms}
        self.norms = [
            (tensors[f"layers.{i}.input_layernorm.weight"], tensors[f"layers.{i}.post_attention_layernorm.weight"])
            for i in range(self.shape.layers)
        ]
        self.weights = [
            {fused: torch.cat([tensors[f"layers.{i}.{m}.weight"] for m in ms]) for fused, ms in FUSED.items()}
            for i in range(self.shape.layers)
        ]

    def _rotary(self, config: dict[str, object], max_length: int) -> None:
        parameters = config.get("rope_parameters") or config
        assert isinstance(parameters, dict)
        if parameters.get("rope_type", "default") != "default":
            raise InvalidInput(f"rotary embedding of type {parameters['rope_type']!r} is not supported.")
        width = self.shape.head_width
        rates = 1.0 / (float(parameters["rope_theta"]) ** (torch.arange(0, width, 2).float() / width))
        angles = torch.outer(torch.arange(max_length).float(), rates).repeat(1, 2)
        self.cosine, self.sine = angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _product(self, x: torch.Tensor, layer: int, fused: str, groups: Sequence[Group]) -> torch.Tensor:
        """x of shape (rows, inputs) times the fused weight, plus each group's adapter."""
        y = x @ self.weights[layer][fused].T
        for start, stop, adapter in groups:
            if adapter is not None and (layer, fused) in adapter.down:
                thin = x[start:stop] @ adapter.down[layer, fused].T
                y[start:stop].addmm_(thin, adapter.up[layer, fused].T)
        return y

    def _rotate(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        return x * cosine + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sine

    def _heads(self, qkv: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Split (..., fused width) into rotated queries, rotated keys, values: (..., heads, head width) each."""
        s = self.shape
        q, k, v = (
            part.unflatten(-1, (-1, s.head_width))
            for part in qkv.split([s.heads * s.head_width, *[s.key_heads * s.head_width] * 2], dim=-1)
        )
        cosine, sine = self.cosine[positions].unsqueeze(-2), self.sine[positions].unsqueeze(-2)
        return self._rotate(q, cosine, sine), self._rotate(k, cosine, sine), v

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, (self.shape.width,), weight, self.shape.epsilon)

    def _mlp(self, h: torch.Tensor, layer: int, groups: Sequence[Group]) -> torch.Tensor:
        gate, up = self._product(self._norm(h, self.norms[layer][1]), layer, "gate_up", groups).chunk(2, dim=-1)
        return h + self._product(silu(gate) * up, layer, "down", groups)

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """(rows, width) → (rows, vocabulary), in float32."""
        return (self._norm(h, self.final_norm) @ self.head.T).float()

    def embed(self, prompts: Sequence[Prompt]) -> torch.Tensor:
        """Prompts padded on the right: (rows, longest, width)."""
        tokens = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.tensor(prompt)
        return self.embedding[tokens]

    def prefill(
        self, h: torch.Tensor, layers: range, adapter: Adapter | None, past: KeysValues | None, edit: LayerEdit | None
    ) -> tuple[torch.Tensor, KeysValues]:
        """Pass prompts of one adapter, padded on the right, through some layers.

        Args:
            h: (rows, T, width) what the first of the layers is given.
            layers: successive ones.
            adapter: of all rows.
            past: keys and values of a prefix all rows share, in all layers of the model, of one row.
            edit: applied to the residual stream (rows, T, width) after each layer.

        Returns:
            The last layer's output (rows, T, width); keys and values of these layers, prefix and prompt.
        """
        s, (rows, length, _) = self.shape, h.shape
        prefix = past.shape[4] if past is not None else 0
        positions = torch.arange(prefix, prefix + length)
        mask = torch.arange(prefix + length) <= positions[:, None]
        mask = mask.repeat(s.shared, 1)
        groups: list[Group] = [(0, rows * length, adapter)]
        kept = torch.empty(2, len(layers), rows, s.key_heads, prefix + length, s.head_width, dtype=self.dtype)
        h = h.reshape(rows * length, -1)
        for index, layer in enumerate(layers):
            qkv = self._product(self._norm(h, self.norms[layer][0]), layer, "qkv", groups)
            q, k, v = self._heads(qkv.view(rows, length, -1), positions)
            if past is not None:
                kept[:, index, :, :, :prefix] = past[:, layer]
            kept[0, index, :, :, prefix:], kept[1, index, :, :, prefix:] = k.transpose(1, 2), v.transpose(1, 2)
            # (rows, T, heads, ·) → (rows, key heads, shared × T, ·): queries of one key head in one sequence
            folded = q.view(rows, length, s.key_heads, s.shared, -1).permute(0, 2, 3, 1, 4).flatten(2, 3)
            out = scaled_dot_product_attention(folded, kept[0, index], kept[1, index], attn_mask=mask)
            out = out.unflatten(2, (s.shared, length)).permute(0, 3, 1, 2, 4).reshape(rows * length, -1)
            h = self._mlp(h + self._product(out, layer, "o", groups), layer, groups)
            if edit is not None:
                h = edit(layer, h.view(rows, length, -1)).view(rows * length, -1)
        return h.view(rows, length, -1), kept

    def decode(
        self,
        tokens: torch.Tensor,
        lengths: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        order: torch.Tensor | None,
        groups: Sequence[Group],
        edit: LayerEdit | None,
    ) -> torch.Tensor:
        """One step for every row.

        Args:
            tokens: (rows,) last token of each row.
            lengths: (rows,) tokens already in the cache; the new one is written there.
            keys, values: (layers, rows, key heads, capacity, head width), written in place.
            order: row indices sorted by adapter, None if they already are.
            groups: over the sorted rows.
            edit: applied to the residual stream (rows in sorted order, width) after each layer.

        Returns:
            Logits (rows, vocabulary) in the rows' own order.
        """
        s, rows = self.shape, len(tokens)
        longest = int(lengths.max()) + 1
        mask = (torch.arange(longest) <= lengths[:, None])[:, None, None, :]
        everyone = torch.arange(rows)
        back = order.argsort() if order is not None else None
        h = self.embedding[tokens if order is None else tokens[order]]
        for layer in range(s.layers):
            qkv = self._product(self._norm(h, self.norms[layer][0]), layer, "qkv", groups)
            q, k, v = self._heads(qkv if back is None else qkv[back], lengths)
            keys[layer][everyone, :, lengths], values[layer][everyone, :, lengths] = k, v
            out = scaled_dot_product_attention(
                q.view(rows, s.key_heads, s.shared, -1),
                keys[layer, :rows, :, :longest],
                values[layer, :rows, :, :longest],
                attn_mask=mask,
            ).reshape(rows, -1)
            out = out if order is None else out[order]
            h = self._mlp(h + self._product(out, layer, "o", groups), layer, groups)
            if edit is not None:
                h = edit(layer, h)
        logits = self.logits(h)
        return logits if back is None else logits[back]
