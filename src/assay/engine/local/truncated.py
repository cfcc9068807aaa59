"""Cuts an adapter down to the strongest directions of its updates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from assay._util.hashing import digest_of
from assay.engine.local.lora import Factors, LoraAdapter


@dataclass(frozen=True, eq=False)
class TruncatedAdapter(LoraAdapter):
    """Another adapter, of which the singular value decomposition of each update leaves `rank` directions.

    Attributes:
        whole: the adapter it was cut out of.
    """

    whole: LoraAdapter

    @classmethod
    def of(cls, whole: LoraAdapter, rank: int) -> TruncatedAdapter:
        """Describes what is left of an adapter; it is cut when it is read."""
        digest = digest_of([whole.digest, "truncated", rank])
        return cls(digest, whole.path, min(rank, whole.rank), whole.depth, whole.nbytes, whole)

    def read(self, dtype: torch.dtype) -> Factors:
        """Does as `LoraAdapter.read` does."""
        factors: Factors = {}
        for key, (down, up) in self.whole.read(torch.float32).items():
            left, right = _strongest(down, up, self.rank)
            factors[key] = left.to(dtype), right.to(dtype)
        return factors


def _strongest(down: torch.Tensor, up: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns factors of the best approximation of `up @ down` by so few directions."""
    # Of the small factors alone: the update itself is as large as the weight.
    basis_in, small_in = torch.linalg.qr(down.T)
    basis_out, small_out = torch.linalg.qr(up)
    left, size, right = torch.linalg.svd(small_out @ small_in.T)
    root = size[:rank].sqrt()
    return root[:, None] * (right[:rank] @ basis_in.T), (basis_out @ left[:, :rank]) * root
