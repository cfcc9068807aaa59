"""Lays weights out once for the processor. The one file that calls an operator torch does not document.

A plain bfloat16 product lays its weight out anew for AMX or AVX-512 at every call, which for the few rows of a decoding
step costs as much as the product. `mkldnn._linear_pointwise`, which torch's own compiler emits, takes it laid out. Same
kernels, same bits; where it is missing, or elsewhere than on a CPU with bfloat16, the plain product is used.
"""

from __future__ import annotations

import torch
from torch.nn.functional import linear

_ROWS = 64  # of the batch the layout is chosen for; any other works too


class Packed:
    """A product x → x @ weight.T, for inference.

    Args:
        weight: (outputs, inputs); where laying it out helps, a copy is kept.
    """

    __slots__ = ("_weight", "laid_out")

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight, self.laid_out = weight, packable(weight)
        if self.laid_out:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)

    def __call__(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Multiplies.

        Args:
            x: (rows, inputs).
            plus: (rows, outputs) that is added within the product; None for nothing.

        Returns:
            (rows, outputs).
        """
        if not self.laid_out:
            return linear(x, self._weight) if plus is None else torch.addmm(plus, x, self._weight.T)
        product = torch.ops.mkldnn._linear_pointwise
        y: torch.Tensor
        if plus is None:
            y = product.default(x, self._weight, None, "none", [], "")
        else:
            # The sum is made within the product, which spares a pass over memory.
            y = product.binary(x, plus, self._weight, None, "add")
        return y

    @property
    def weight(self) -> torch.Tensor:
        """Returns the weight as it was given; a copy if it is laid out."""
        return self._weight.to_dense() if self.laid_out else self._weight

    @property
    def nbytes(self) -> int:
        """Returns the memory it takes."""
        return self._weight.numel() * self._weight.element_size()


def packable(weight: torch.Tensor) -> bool:
    """Tells whether laying a weight out helps, and can be done, here."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # not so if bfloat16 was chosen by hand on an older processor
    )
