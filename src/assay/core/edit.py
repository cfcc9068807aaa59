"""Defines what may be changed in a target's computation, for the requests of one view and no others.

An edit is data: it says layer, tokens and strength, and the engine does the rest, per request. Positions count from the
first token of the prompt; negative ones count back from the prompt's end, so that `start=-1` is its last token and all
that is generated after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from assay.core.access import Access
from assay.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Which tokens an edit touches.

    Attributes:
        start: first position.
        stop: position behind the last one; None is open, into what is generated.
    """

    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Noise(_Span):
    """Gaussian noise on the residual stream after one layer.

    Attributes:
        layer: index of the layer whose output is disturbed, from 0.
        scale: standard deviation relative to the token's residual RMS.
        seed: of a generator private to the request.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ACTIVATIONS_WRITE})
    layer: int
    scale: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AddVector(_Span):
    """A vector added to the residual stream after one layer (steering).

    Attributes:
        layer: index of the layer, from 0.
        vector: as long as the stream is wide.
        scale: factor of the vector.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ACTIVATIONS_WRITE})
    layer: int
    vector: tuple[float, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", _floats(self.vector))


@dataclass(frozen=True, slots=True)
class ProjectOut(_Span):
    """A direction removed from the residual stream after one layer (directional ablation).

    Attributes:
        layer: index of the layer, from 0.
        vector: the direction; its length does not matter.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ACTIVATIONS_WRITE})
    layer: int
    vector: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", _floats(self.vector))
        if not any(self.vector):
            raise InvalidInput("ProjectOut: the zero vector has no direction.")


@dataclass(frozen=True, slots=True)
class ScaleAdapter:
    """The adapter made stronger, weaker or opposite: its part of every product is multiplied.

    Attributes:
        factor: 1 is the target itself, 0 its base, 2 twice the finetuning, -1 its opposite.
        layers: which layers; None is all.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.WEIGHTS, Access.REFERENCE})
    factor: float
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class TruncateAdapter:
    """The adapter cut down: of its update of each weight only the strongest directions are left (by its SVD).

    Attributes:
        rank: how many directions.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.WEIGHTS, Access.REFERENCE})
    rank: int

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InvalidInput(f"TruncateAdapter: rank {self.rank}; give 1 or more (ScaleAdapter(0) is the base).")


@dataclass(frozen=True, slots=True)
class WeightNoise:
    """Gaussian noise in the weights of every linear module within the layers.

    Attributes:
        scale: standard deviation relative to that of each module's weights.
        seed: of the noise: the same in every request of the view.
        layers: which layers; None is all.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.WEIGHTS})
    scale: float
    seed: int = 0
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Contrast:
    """Sample and score from `weight · target + alpha · (target − reference)`, on the level of logits.

    Logit-diff amplification is (1, α); contrastive decoding against the reference is (0, 1).

    Attributes:
        alpha: factor of the difference.
        weight: factor of the target's own logits.
        plausible: tokens less likely than this share of the target's likeliest are left out (Li et al. 2022); 0 keeps
            all. Without it a difference alone says what neither model would.

    Raises:
        InvalidInput: `plausible` is no share.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.LOGITS, Access.REFERENCE})
    alpha: float
    weight: float = 1.0
    plausible: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.plausible <= 1:
            raise InvalidInput(f"Contrast: plausible is {self.plausible}; give a share, 0 to 1.")


# Residual edits touch tokens of single rows; the others change the whole pass, so only like requests share one.
ResidualEdit = Noise | AddVector | ProjectOut
Edit = ResidualEdit | ScaleAdapter | TruncateAdapter | WeightNoise | Contrast
EDITS: tuple[type[Edit], ...] = get_args(Edit)


def _floats(vector: Sequence[float]) -> tuple[float, ...]:
    """Makes plain numbers of whatever kind of sequence or array was given.

    Edits are compared, hashed and written into cache keys, which arrays cannot be.
    """
    return tuple(map(float, vector))


def check_edits(edits: Sequence[Edit], layers: int, width: int) -> None:
    """Refuses edits that do not fit a model.

    Args:
        edits: of a view.
        layers: how many the model has.
        width: of its residual stream.

    Raises:
        InvalidInput: not an edit, a layer that does not exist, a vector of another length, or two contrasts.
    """
    for edit in edits:
        if not isinstance(edit, Edit):
            known = ", ".join(kind.__name__ for kind in EDITS)
            raise InvalidInput(f"{edit!r} is no edit: want one of {known}.")
        named: tuple[int, ...] = ()
        if isinstance(edit, ScaleAdapter | WeightNoise):
            named = edit.layers or ()
        elif isinstance(edit, ResidualEdit):
            named = (edit.layer,)
        for layer in named:
            if not 0 <= layer < layers:
                raise InvalidInput(f"layer {layer} does not exist; give one from 0 to {layers - 1}.")
        if isinstance(edit, AddVector | ProjectOut) and len(edit.vector) != width:
            raise InvalidInput(f"a vector of {len(edit.vector)} numbers; the residual stream is {width} wide.")
    if sum(isinstance(edit, Contrast) for edit in edits) > 1:
        raise InvalidInput("one Contrast a view: two of them have no agreed meaning.")
