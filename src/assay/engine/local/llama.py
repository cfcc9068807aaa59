"""Forward passes of a Llama-family model, written for many short sequences with different adapters.

Query heads that share a key head are folded into the query's sequence axis, so keys and values are never repeated.
What a linear module computes is a `Product`: the base's fused weight, and whatever adapter the caller's rows carry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import scaled_dot_product_attention, silu

from assay.engine.local.packed import Packed
from assay.engine.peft_layout import FUSED
from assay.errors import InvalidInput

TokenIds = tuple[int, ...]
KeysValues = torch.Tensor  # (layers, [rows,] tokens, 2 × key heads, head width), keys before values
LayerEdit = Callable[[int, torch.Tensor], torch.Tensor]  # (layer, residual stream) → residual stream
Product = Callable[[torch.Tensor, int, str, torch.Tensor | None], torch.Tensor]  # (x, layer, fused module, plus)


NORMS = ("input_layernorm", "post_attention_layernorm")


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
        device: the weights are on; the CPU if none is named.
    """

    def __init__(self, path: Path, dtype: torch.dtype, max_length: int, device: torch.device | None = None) -> None:
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
        self.dtype, self.device = dtype, device or torch.device("cpu")
        self._read(path)
        self._rotary(config, max_length)

    def _read(self, path: Path) -> None:
        from safetensors import safe_open

        files: dict[str, tuple[Path, str]] = {}
        for file in sorted(path.glob("*.safetensors")):
            with safe_open(file, framework="pt") as stored:
                names = stored.keys()  # what is open has keys, but cannot itself be iterated
                files |= {name.removeprefix("model."): (file, name) for name in names}

        def get(name: str) -> torch.Tensor:
            file, stored_name = files[name]
            with safe_open(file, framework="pt") as stored:
                tensor: torch.Tensor = stored.get_tensor(stored_name)
                return tensor.to(self.dtype).to(self.device)

        layers = range(self.shape.layers)
        # where dtype and device are the file's, the embedding stays a part of the mapped file
        self.embedding, self.final_norm = get("embed_tokens.weight"), get("norm.weight").float()
        self.head = Packed(get("lm_head.weight") if "lm_head.weight" in files else self.embedding)
        self.norms = [tuple(get(f"layers.{i}.{name}.weight").float() for name in NORMS) for i in layers]
        first = {fused: [get(f"layers.0.{m}.weight") for m in modules] for fused, modules in FUSED.items()}
        self.shapes = {fused: (ws[0].shape[1], tuple(len(w) for w in ws)) for fused, ws in first.items()}
        self.products = [
            {fused: Packed(torch.cat([get(f"layers.{i}.{m}.weight") for m in ms])) for fused, ms in FUSED.items()}
            for i in layers
        ]

    @property
    def widths(self) -> dict[str, int]:
        """Outputs of each linear module."""
        return {m: w for fused, ms in FUSED.items() for m, w in zip(ms, self.shapes[fused][1], strict=True)}

    @property
    def nbytes(self) -> int:
        """Memory the weights take, the embedding left out where it is the file's."""
        return self.head.nbytes + sum(product.nbytes for layer in self.products for product in layer.values())

    def _rotary(self, config: Mapping[str, object], max_length: int) -> None:
        parameters = config.get("rope_parameters") or config
        assert isinstance(parameters, Mapping)
        if parameters.get("rope_type", "default") != "default":
            raise InvalidInput(f"rotary embedding of type {parameters['rope_type']!r} is not supported.")
        width = self.shape.head_width
        rates = 1.0 / (float(parameters["rope_theta"]) ** (torch.arange(0, width, 2).float() / width))
        angles = torch.outer(torch.arange(max_length).float(), rates).repeat(1, 2)
        sign = torch.ones(width)
        sign[: width // 2] = -1
        self._cosine = angles.cos().to(self.dtype).to(self.device)
        self._sine = (angles.sin() * sign).to(self.dtype).to(self.device)

    def base(self, x: torch.Tensor, layer: int, fused: str, plus: torch.Tensor | None) -> torch.Tensor:
        """The `Product` of the base itself."""
        return self.products[layer][fused](x, plus)

    def angles(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and signed sine for (…) positions: (…, 1, head width) each."""
        return self._cosine[positions].unsqueeze(-2), self._sine[positions].unsqueeze(-2)

    def _split(
        self, qkv: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(…, fused width) → rotated queries, rotated keys, values: (…, heads, head width) each."""
        s = self.shape
        heads = qkv.unflatten(-1, (-1, s.head_width))
        turned, values = heads.split([s.heads + s.key_heads, s.key_heads], dim=-2)
        cosine, sine = angles
        turned = torch.addcmul(turned * cosine, turned.roll(s.head_width // 2, -1), sine)
        queries, keys = turned.split([s.heads, s.key_heads], dim=-2)
        return queries, keys, values

    def norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Root-mean-square normalisation, in float32; torch's own takes half as long again on few rows."""
        wide = x.float()
        size = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square().div(self.shape.width)
        normed: torch.Tensor = (wide * size.add(self.shape.epsilon).rsqrt() * weight).to(self.dtype)
        return normed

    def _mlp(self, h: torch.Tensor, layer: int, product: Product) -> torch.Tensor:
        gate, up = product(self.norm(h, self.norms[layer][1]), layer, "gate_up", None).chunk(2, dim=-1)
        opened = silu(gate)
        opened = opened * up if opened.requires_grad else opened.mul_(up)
        return product(opened, layer, "down", h)

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """(rows, width) → (rows, vocabulary)."""
        return self.head(self.norm(h, self.final_norm))

    def embed(self, prompts: Sequence[TokenIds]) -> torch.Tensor:
        """Prompts padded on the right: (rows, longest, width)."""
        tokens = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.tensor(prompt)
        return self.embedding[tokens.to(self.device)]

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
        mask = torch.arange(prefix + length, device=self.device) <= positions[:, None]
        mask, angles = mask.repeat(s.shared, 1), self.angles(positions)
        h = h.reshape(rows * length, -1)
        for index, layer in enumerate(layers):
            qkv = product(self.norm(h, self.norms[layer][0]), layer, "qkv", None)
            q, k, v = self._split(qkv.view(rows, length, -1), angles)
            if keep is not None:
                keep[index, :, :, : s.key_heads], keep[index, :, :, s.key_heads :] = k, v
            if past is not None:
                old = past[layer].expand(rows, -1, -1, -1)
                k = torch.cat((old[:, :, : s.key_heads], k), dim=1)
                v = torch.cat((old[:, :, s.key_heads :], v), dim=1)
            # (rows, T, heads, ·) → (rows, key heads, shared × T, ·): queries of one key head in one sequence
            folded = q.unflatten(2, (s.key_heads, s.shared)).permute(0, 2, 3, 1, 4).flatten(2, 3)
            out = scaled_dot_product_attention(folded, k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
            out = out.unflatten(2, (s.shared, length)).permute(0, 3, 1, 2, 4).reshape(rows * length, -1)
            h = self._mlp(product(out, layer, "o", h), layer, product)
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
        angles = self.angles(torch.cat([lengths for _, lengths in parts]))
        masks = [self._mask(lengths) for _, lengths in parts]
        indices = [torch.arange(count, device=self.device) for count in counts]
        h = self.embedding[tokens]
        for layer in range(s.layers):
            qkv = product(self.norm(h, self.norms[layer][0]), layer, "qkv", None)
            q, k, v = self._split(qkv, angles)
            folded = q.unflatten(1, (s.key_heads, s.shared))
            outs = []
            start = 0
            for (kept, lengths), count, mask, everyone in zip(parts, counts, masks, indices, strict=True):
                own = kept[layer]
                own[everyone, lengths, : s.key_heads] = k[start : start + count]
                own[everyone, lengths, s.key_heads :] = v[start : start + count]
                seen = own[:count, : mask.shape[-1]].transpose(1, 2)
                outs.append(
                    scaled_dot_product_attention(
                        folded[start : start + count], seen[:, : s.key_heads], seen[:, s.key_heads :], attn_mask=mask
                    )
                )
                start += count
            out = outs[0] if len(outs) == 1 else torch.cat(outs)
            h = self._mlp(product(out.reshape(len(tokens), -1), layer, "o", h), layer, product)
            if edit is not None:
                h = edit(layer, h)
        return self.logits(h)

    def _mask(self, lengths: torch.Tensor) -> torch.Tensor:
        """Additive, (rows, 1, 1, longest): a row sees what it has and its new token."""
        longest = int(lengths.max()) + 1
        hidden = torch.arange(longest, device=self.device) > lengths[:, None]
        mask = torch.zeros(len(lengths), longest, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None, :]
