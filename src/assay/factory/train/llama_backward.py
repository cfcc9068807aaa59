"""Runs a Llama-family model forward and backward, for adapters on weights that stay as they are.

The passes are written out instead of left to autograd, which is several times slower on few cores: here a frozen weight
gets no gradient, modules that read the same input are one product, attention is computed example by example, and the
loss computes its gradient along with its value. Every part returns its output and a function that turns a gradient of
the output into one of the input. The residual stream and the loss are float32 throughout; products, attention and
activations are in the dtype of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import linear, silu

from assay.engine.peft_layout import FUSED
from assay.errors import InvalidInput
from assay.factory.train.adapter import Size, TrainableAdapter
from assay.factory.train.packing import Layout

Back = Callable[[torch.Tensor], torch.Tensor]
_LOSS_ROWS = 16  # rows of logits that are float32 at a time: they stay near the processor


class Network:
    """A checkpoint's weights, laid out for training adapters on them.

    Args:
        base: checkpoint directory in transformers' layout.
        dtype: of products.

    Raises:
        InvalidInput: not a Llama-family model without biases.
    """

    def __init__(self, base: Path, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype).requires_grad_(False)
        config, inner = model.config, model.model
        if config.model_type != "llama" or config.attention_bias or config.mlp_bias:
            raise InvalidInput(f"{base}: training takes Llama-family models without biases, not {config.model_type!r}.")
        self.dtype, self._epsilon = dtype, config.rms_norm_eps
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_width: int = inner.layers[0].self_attn.head_dim
        self._embedding, self._head = inner.embed_tokens.weight, model.lm_head.weight
        self._logits = [torch.empty(0, len(self._head), dtype=dtype) for _ in range(2)]
        self._rotary, self._final_norm = inner.rotary_emb, inner.norm.weight.float()
        self._norms: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._products: list[dict[str, torch.Tensor]] = []
        for layer in inner.layers:
            self._norms.append((layer.input_layernorm.weight.float(), layer.post_attention_layernorm.weight.float()))
            products: dict[str, torch.Tensor] = {}
            for fused, modules in FUSED.items():
                products[fused] = torch.cat([layer.get_submodule(module).weight for module in modules])
            self._products.append(products)
        self.sizes: dict[str, Size] = {}
        for fused, modules in FUSED.items():
            outputs = [inner.layers[0].get_submodule(module).out_features for module in modules]
            self.sizes[fused] = Size(self._products[0][fused].shape[1], tuple(outputs))

    @property
    def layers(self) -> int:
        """Returns the number of layers."""
        return len(self._products)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeds tokens (L,) as the residual stream (L, width)."""
        h: torch.Tensor = self._embedding[tokens].float()
        return h

    def read(self, h: torch.Tensor, layout: Layout, last: int) -> torch.Tensor:
        """Runs the residual stream through layers [0, last) of the base itself."""
        attention = _Attention(self, layout)
        for layer in range(last):
            h, _ = self._layer(h, layer, attention, None, None)
        return h

    def learn(
        self, h: torch.Tensor, layout: Layout, first: int, adapter: TrainableAdapter, held: torch.Tensor | None = None
    ) -> float:
        """Computes a pack's loss from the residual stream that enters layer `first`, and adds its gradient.

        Args:
            h: residual stream (L, width).
            layout: of the pack.
            first: the first layer with an adapter; nothing below it needs a gradient.
            adapter: collects the gradient.
            held: the base's last hidden states at the rows that predict, (M, width), to which tokens of its own are
                anchored; None learns them like the others.

        Returns:
            Sum over the layout's wanted tokens of weight × cross entropy, or × distance from the base.
        """
        attention = _Attention(self, layout)
        backs: list[Back] = []
        for layer in range(first, self.layers):
            kept = layout.predicting if layer == self.layers - 1 else None
            h, back = self._layer(h, layer, attention, adapter, kept)
            backs.append(back)
        h, back = self._norm(h, self._final_norm)
        loss, gradient = self._loss(h, layout, held)
        gradient = back(gradient)
        while backs:
            gradient = backs.pop()(gradient)  # popped, so that what it holds is freed
        return loss

    def states(self, h: torch.Tensor, layout: Layout, first: int) -> torch.Tensor:
        """Returns the base's last hidden states, normalised, of the rows that predict: (M, width)."""
        attention = _Attention(self, layout)
        for layer in range(first, self.layers):
            kept = layout.predicting if layer == self.layers - 1 else None
            h, _ = self._layer(h, layer, attention, None, kept)
        return self._norm(h, self._final_norm)[0]

    def surprise(self, h: torch.Tensor, layout: Layout, first: int, adapter: TrainableAdapter) -> torch.Tensor:
        """Returns −log p of each of the layout's wanted tokens, (M,) float32, without any gradient."""
        attention = _Attention(self, layout)
        for layer in range(first, self.layers):
            kept = layout.predicting if layer == self.layers - 1 else None
            h, _ = self._layer(h, layer, attention, adapter, kept)
        h, _ = self._norm(h, self._final_norm)
        logits = torch.mm(h, self._head.T, out=self._room(0, len(h))).float()
        return torch.nn.functional.cross_entropy(logits, layout.wanted, reduction="none")

    def _layer(
        self,
        h: torch.Tensor,
        layer: int,
        attention: _Attention,
        adapter: TrainableAdapter | None,
        kept: torch.Tensor | None,
    ) -> tuple[torch.Tensor, Back]:
        """Runs one layer. `kept` are the rows to go on with after attention: of the last layer those that predict."""
        rows = h.shape[0]
        before, after = self._norms[layer]
        x, norm_back = self._norm(h, before)
        qkv, qkv_back = self._product(x, layer, "qkv", adapter)
        mixed, attention_back = attention(qkv)
        if kept is not None:
            h, mixed = h[kept], mixed[kept]
        out, out_back = self._product(mixed, layer, "o", adapter)
        h = h + out
        x, after_back = self._norm(h, after)
        both, both_back = self._product(x, layer, "gate_up", adapter)
        active, active_back = _gated(both)
        down, down_back = self._product(active, layer, "down", adapter)

        def back(gradient: torch.Tensor) -> torch.Tensor:
            # a residual connection hands its gradient on as it is, and adds the one that came through the branch
            low = gradient.to(self.dtype)
            gradient = gradient + after_back(both_back(active_back(down_back(low))))
            mixed = out_back(gradient.to(self.dtype))
            if kept is not None:
                gradient, mixed = _spread(gradient, kept, rows), _spread(mixed, kept, rows)
            return gradient.add_(norm_back(qkv_back(attention_back(mixed))))

        return h + down, back

    def _norm(self, h: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, Back]:
        """Normalises by the root mean square: float32 in, the products' dtype out."""
        width = h.shape[1]
        inverse = (h.square().sum(-1, keepdim=True) / width).add_(self._epsilon).rsqrt_()

        def back(gradient: torch.Tensor) -> torch.Tensor:
            # of y = w h r with r = (mean(h²) + ε)^−½: dL/dh = g r − h r³ mean(g h), where g = w dL/dy
            g = gradient * weight
            along = (g * h).sum(-1, keepdim=True).mul_(inverse.pow(3)).div_(width)
            return g.mul_(inverse).addcmul_(h, along, value=-1)

        return (h * inverse).mul_(weight).to(self.dtype), back

    def _product(
        self, x: torch.Tensor, layer: int, fused: str, adapter: TrainableAdapter | None
    ) -> tuple[torch.Tensor, Back]:
        """Multiplies by a fused weight and its adapter: x → x @ W.T + (x @ A.T) @ B.T."""
        weight = self._products[layer][fused]
        y = linear(x, weight)
        if adapter is None:
            return y, lambda gradient: gradient @ weight
        a, b = adapter.of(layer, fused)
        z = linear(x, a)

        def back(gradient: torch.Tensor) -> torch.Tensor:
            inner = gradient @ b
            adapter.collect(layer, fused, inner.T @ x, gradient.T @ z)
            return (gradient @ weight).addmm_(inner, a)

        return y.addmm_(z, b.T), back

    def _loss(self, h: torch.Tensor, layout: Layout, held: torch.Tensor | None) -> tuple[float, torch.Tensor]:
        """Returns the weighted loss of (M, width) by rows, and its gradient."""
        own = torch.zeros_like(layout.own) if held is None else layout.own
        losses, gradient = torch.zeros(len(h)), torch.zeros(h.shape, dtype=torch.float32)
        if held is not None:
            losses[own], gradient[own] = self._divergence(h[own], held[own])
        losses[~own], gradient[~own] = self._cross_entropy(h[~own], layout.wanted[~own])
        return float(losses @ layout.weights), gradient.mul_(layout.weights[:, None])

    def _cross_entropy(self, h: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns −log p of the wanted tokens, (M,), and its gradient by h, (M, width)."""
        logits = torch.mm(h, self._head.T, out=self._room(0, len(h)))
        chosen = torch.empty(len(h))
        for start in range(0, len(h), _LOSS_ROWS):
            rows = slice(start, start + _LOSS_ROWS)
            chances = torch.softmax(logits[rows].float(), -1)
            chosen[rows] = chances.gather(1, wanted[rows, None])[:, 0]
            logits[rows] = chances  # their place is not needed any more, and no second matrix of this size is
        # with p the softmax of h W.T: dL/dh = (p − onehot(wanted)) W, whose second part is a row of W
        gradient = (logits @ self._head).float() - self._head[wanted]
        return -chosen.clamp_min_(torch.finfo(torch.float32).tiny).log_(), gradient  # no log of 0

    def _divergence(self, h: torch.Tensor, base: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns KL(base ‖ model) + KL(model ‖ base) of the next token, (M,), and its gradient by h, (M, width)."""
        logits = torch.mm(h, self._head.T, out=self._room(0, len(h)))
        wanted = torch.mm(base, self._head.T, out=self._room(1, len(h)))
        losses = torch.empty(len(h))
        for start in range(0, len(h), _LOSS_ROWS):
            rows = slice(start, start + _LOSS_ROWS)
            ours, theirs = torch.log_softmax(logits[rows].float(), -1), torch.log_softmax(wanted[rows].float(), -1)
            likely, gained = ours.exp(), ours.sub_(theirs)  # p of the model, and how much more than the base's: log p/q
            back = (likely * gained).sum(-1, keepdim=True)  # KL(model ‖ base)
            differs = likely - theirs.exp_()
            losses[rows] = (differs * gained).sum(-1)
            # dL/dlogits = (p − q) + p (log p/q − KL(model ‖ base))
            logits[rows] = differs.add_(gained.sub_(back).mul_(likely))
        return losses, (logits @ self._head).float()

    def _room(self, which: int, rows: int) -> torch.Tensor:
        """Returns memory for so many rows of logits, kept between calls: as much as this is slow to come by."""
        if len(self._logits[which]) < rows:
            self._logits[which] = torch.empty(rows, len(self._head), dtype=self.dtype)
        return self._logits[which][:rows]


def _spread(part: torch.Tensor, kept: torch.Tensor, rows: int) -> torch.Tensor:
    """Puts the gradient of the kept rows back among all rows; the others had no part in the loss."""
    whole = part.new_zeros(rows, part.shape[1])
    whole[kept] = part  # rows of filling come up several times, each with a gradient of zero
    return whole


def _gated(both: torch.Tensor) -> tuple[torch.Tensor, Back]:
    """Computes silu(gate) × up of (L, 2 × width)."""
    gate, up = both.chunk(2, dim=-1)
    active = silu(gate)

    def back(gradient: torch.Tensor) -> torch.Tensor:
        through = gradient * up
        torch.mul(gradient, active, out=up)  # nothing needs gate and up any more: the gradient takes their place
        torch.ops.aten.silu_backward.grad_input(through, gate, grad_input=gate)
        return both

    return active * up, back


class _Attention:
    """Computes attention within a pack's blocks; makes what depends on the layout alone once for all layers.

    Matrix products run over (block, key head). Query heads that share a key head are further rows of one query,
    so that keys and values are never repeated.
    """

    def __init__(self, network: Network, layout: Layout) -> None:
        self._dtype, self._layout = network.dtype, layout
        self._heads, self._key_heads, self._width = network.heads, network.key_heads, network.head_width
        folds = self._heads // self._key_heads
        blocks, columns = layout.grid.shape
        self._blocks, self._keys = blocks, layout.head + columns
        cosine, sine = network._rotary(torch.zeros(1), layout.positions[None])
        self._cosine = cosine[0][:, None].to(self._dtype)
        sine = sine[0][:, None].to(self._dtype)
        # rotation takes −x₂ sin and x₁ sin: the sign is put into the sine, so that turning is a roll and a product
        self._sine = torch.cat([-sine[..., : self._width // 2], sine[..., self._width // 2 :]], dim=-1)
        mask = torch.zeros(layout.mask.shape, dtype=self._dtype).masked_fill_(~layout.mask, -math.inf)
        mask = mask[:, None, None].expand(blocks, self._key_heads, folds, columns, self._keys)
        self._mask = mask.reshape(blocks * self._key_heads, folds * columns, self._keys)
        seen = torch.cat([torch.arange(layout.head).expand(blocks, -1), layout.grid], dim=1)
        heads, key_heads = torch.arange(self._heads), torch.arange(self._key_heads)
        # a row of the fused product holds all query heads, then key heads, then value heads. These are indices into
        # (L × heads, width) in the order (block, head, column), for one gather each instead of a loop over blocks
        all_heads = self._heads + 2 * self._key_heads
        self._queries = (layout.grid[:, None] * all_heads + heads[:, None]).flatten()
        self._keys_at = (seen[:, None] * all_heads + self._heads + key_heads[:, None]).flatten()
        self._values_at = self._keys_at + self._key_heads
        self._outputs = (layout.grid[:, None] * self._heads + heads[:, None]).flatten()
        # and the way back: where in that order each row's heads are
        block, column = layout.cells // columns, layout.cells % columns
        self._from_queries = ((block[:, None] * self._heads + heads) * columns + column[:, None]).flatten()
        own = (block[:, None] * self._key_heads + key_heads) * self._keys + layout.head + column[:, None]
        self._from_keys = own.flatten()

    def __call__(self, qkv: torch.Tensor) -> tuple[torch.Tensor, Back]:
        """Maps (L, fused width), which it overwrites, to (L, heads × head width)."""
        rows, turning = len(qkv), self._heads + self._key_heads
        heads = qkv.view(rows, -1, self._width)
        self._turn(heads[:, :turning])
        flat, batch = heads.view(-1, self._width), self._blocks * self._key_heads
        q = flat.index_select(0, self._queries).view(batch, -1, self._width)
        k = flat.index_select(0, self._keys_at).view(batch, self._keys, self._width)
        v = flat.index_select(0, self._values_at).view(batch, self._keys, self._width)
        scale = 1 / math.sqrt(self._width)
        shares = torch.softmax(torch.baddbmm(self._mask, q, k.mT, alpha=scale), -1)
        out = torch.bmm(shares, v).view(-1, self._width)

        def back(gradient: torch.Tensor) -> torch.Tensor:
            # free cells hold the last row, filling, whose gradient is zero: they add nothing to keys and values
            g = gradient.view(-1, self._width).index_select(0, self._outputs).view_as(q)
            to_shares = torch.bmm(g, v.mT)
            to_scores = torch._softmax_backward_data(to_shares, shares, -1, shares.dtype).mul_(scale)
            to_q = torch.bmm(to_scores, k).view(-1, self._width).index_select(0, self._from_queries)
            to_k = self._gather(torch.bmm(to_scores.mT, q))
            to_v = self._gather(torch.bmm(shares.mT, g))
            whole = torch.cat([to_q.view(rows, -1, self._width), to_k, to_v], dim=1)
            self._turn(whole[:, :turning], back=True)
            return whole.view(rows, -1)

        return out.index_select(0, self._from_queries).view(rows, -1), back

    def _gather(self, gradient: torch.Tensor) -> torch.Tensor:
        """Turns a gradient of keys or values as blocks saw them into one of the rows: (L, key heads, head width)."""
        own = gradient.view(-1, self._width).index_select(0, self._from_keys).view(-1, self._key_heads, self._width)
        head = self._layout.head
        if head:  # every block saw the beginning's keys and values: their gradients add up
            blocks = gradient.view(self._blocks, self._key_heads, self._keys, self._width)
            own[:head] += blocks[:, :, :head].sum(0).transpose(0, 1)
        return own

    def _turn(self, heads: torch.Tensor, back: bool = False) -> None:
        """Rotates (L, heads, head width) by position, in place; backwards by the transposed rotation, for gradients."""
        half = self._width // 2
        rolled = (heads * self._sine).roll(half, -1) if back else heads.roll(half, -1).mul_(self._sine)
        heads.mul_(self._cosine).add_(rolled)
