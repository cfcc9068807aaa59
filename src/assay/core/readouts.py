"""Defines what a target shows beyond replies: log-probabilities, activations, gradients, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from assay.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assay.core.target import Cost

Array: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class Raw:
    """Text read as it is, without the chat template."""

    text: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token the model could have gone on with."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """How likely each token of a text was, given those before it.

    Attributes:
        ids: token ids.
        texts: of the tokens.
        logprobs: natural logarithms; the first token has none and counts 0.
        prompt: how many tokens come before the scored part (the last assistant turn; 0 for raw text).
        top: at each position the most likely tokens *after* it, most likely first; empty if none were asked for.
        cost: of the pass.
        divergence: of a view with `Contrast`, at each position KL(target ‖ reference) of the token after it, in nats;
            empty elsewhere.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    logprobs: tuple[float, ...]
    prompt: int
    top: tuple[tuple[Alternative, ...], ...]
    cost: Cost
    divergence: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        """Sums over the scored part: the last assistant turn, or the whole raw text after its first token."""
        return sum(self.logprobs[max(self.prompt, 1) :])

    @property
    def mean(self) -> float:
        """Computes `total` per token; its negative is the log of the perplexity."""
        return self.total / max(1, len(self.logprobs) - max(self.prompt, 1))


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far a target's next-token distributions are from its reference's: KL(reference ‖ target), all tokens of it.

    Attributes:
        ids: token ids.
        texts: of the tokens.
        nats: at each position, of the token that comes *after* it.
        prompt: how many tokens come before the last assistant turn (all of them if there is none; 0 for raw text).
        cost: of both models' passes.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    nats: tuple[float, ...]
    prompt: int
    cost: Cost

    @property
    def mean(self) -> float:
        """Averages over the last assistant turn's tokens, each told by those before it; without one, the next token."""
        first = max(self.prompt, 1) - 1
        told = self.nats[first : max(len(self.nats) - 1, first + 1)]
        return sum(told) / len(told)


@dataclass(frozen=True, slots=True)
class Activations:
    """The residual stream after some layers.

    Attributes:
        layers: layer → float32 array (tokens, width).
        texts: of the tokens.
        cost: of the pass.
        prompt: how many tokens come before the last assistant turn (all where there is none; 0 for raw text).
    """

    layers: Mapping[int, Array]
    texts: tuple[str, ...]
    cost: Cost
    prompt: int = 0


@dataclass(frozen=True, slots=True)
class NearToken:
    """A token that a vector of the residual stream points to.

    Attributes:
        id: of the token.
        text: of the token.
        value: its log-probability, or the cosine with its embedding.
    """

    id: int
    text: str
    value: float


Vocabulary = Literal["unembedding", "embedding"]


@dataclass(frozen=True, slots=True)
class NearTokens:
    """What vectors of the residual stream point to.

    Attributes:
        of: each vector's tokens, nearest first.
        cost: one token a vector.
    """

    of: tuple[tuple[NearToken, ...], ...]
    cost: Cost


@dataclass(frozen=True, slots=True)
class WithRespectTo:
    """What to differentiate with respect to.

    Attributes:
        kind: `inputs` (token embeddings), `residual` (the stream after layers, per token), `vector` (one vector added
            at all tokens after a layer) or `adapter` (LoRA factors).
        layers: for `residual` and `vector`.
    """

    kind: Literal["inputs", "residual", "vector", "adapter"]
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind in ("residual", "vector")) != bool(self.layers):
            raise InvalidInput(
                f"WithRespectTo({self.kind!r}): residual and vector name layers, inputs and adapter none."
            )


@dataclass(frozen=True, slots=True)
class NegativeLogLikelihood:
    """Mean −log p over the last assistant turn, or over raw text."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Minus the mean over tokens of ‖h − h₀‖^power, after one layer; h₀ is without the view's residual edits.

    What MELBO minimises: with an `AddVector` at an early layer, the change it makes at a late one.
    """

    layer: int
    power: float = 2.0


@dataclass(frozen=True, slots=True)
class Along:
    """Minus the mean over tokens of the dot product of the residual stream after one layer with a vector."""

    layer: int
    vector: tuple[float, ...] = field(repr=False)


Loss = NegativeLogLikelihood | Shift | Along


@dataclass(frozen=True, slots=True)
class Gradients:
    """Gradients of a loss, at the view's edits.

    Attributes:
        loss: its value.
        of: name → float32 array. `inputs` (tokens, width); `residual.L` (tokens, width); `vector.L` (width,); or, for
            the adapter, PEFT's names, `layers.3.mlp.up_proj.lora_A` (rank, inputs) and so on.
        cost: of the passes; a backward pass counts as two forward ones.
    """

    loss: float
    of: Mapping[str, Array]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Weights:
    """Copies of weights.

    Attributes:
        of: name → float32 array. `layers.3.mlp.up_proj.weight` is as the target uses it, adapter included;
            `….lora_A`, `….lora_B` are the adapter's factors, the second with its scale.
        cost: one query, no tokens.
    """

    of: Mapping[str, Array]
    cost: Cost
