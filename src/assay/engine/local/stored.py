"""Weights of a checkpoint as they are stored: each is taken once, of the shape that is expected, and none is left."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from assay.engine.local.checkpoint import MODEL_CONFIG, weight_files
from assay.errors import InvalidInput

_COMPUTED = re.compile(
    r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
)  # old checkpoints store what config.json says
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class StoredWeights:
    """The tensors of a checkpoint's files, by name without `model.` in front.

    Args:
        path: of the checkpoint.

    Raises:
        InvalidInput: a file is damaged, or two hold a tensor of one name.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self._path = path
        self._files: dict[str, tuple[Path, str]] = {}
        for file in weight_files(path):
            try:
                with safe_open(file, framework="pt") as stored:
                    names = list(stored.keys())  # what is open has keys, but cannot itself be iterated
            except (OSError, SafetensorError) as error:
                raise InvalidInput(f"{file} cannot be read: {error}. Fetch the checkpoint again.") from None
            for name in names:
                short = name.removeprefix("model.")
                if short in self._files:
                    raise InvalidInput(f"{path}: {name} is there twice, in {file.name} too. Leave one layout alone.")
                self._files[short] = (file, name)
        self._left = set(self._files)

    def take(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Read a tensor.

        Raises:
            InvalidInput: it is not there, or of another shape or kind.
        """
        if name not in self._files:
            raise InvalidInput(f"{self._path}: {name} is not among the weights, and {MODEL_CONFIG} wants it.")
        tensor = self._get(name)
        if tuple(tensor.shape) != shape or tensor.dtype not in _DTYPES:
            raise InvalidInput(
                f"{self._path}: {name} is {tuple(tensor.shape)} of {tensor.dtype}; {MODEL_CONFIG} wants {shape} of "
                f"float32, bfloat16 or float16."
            )
        self._left.discard(name)
        return tensor

    def require_same(self, name: str, other: str, setting: str) -> None:
        """Refuse a tensor that a setting calls the same as another, and is not; it may be left out.

        Raises:
            InvalidInput: they differ.
        """
        if name not in self._files:
            return
        if not torch.equal(self._get(name), self._get(other)):
            raise InvalidInput(f"{self._path}: {setting} is set in {MODEL_CONFIG}, and {name} differs from {other}.")
        self._left.discard(name)

    def require_all_taken(self) -> None:
        """Refuse tensors that nothing computes with.

        Raises:
            InvalidInput: there are some.
        """
        left = sorted(name for name in self._left if not _COMPUTED.fullmatch(name))
        if left:
            raise InvalidInput(
                f"{self._path}: {left[0]} ({len(left)} such weights) is none that {MODEL_CONFIG} speaks of; the local "
                f"engine would not heed it. Remove it if it is not the model's."
            )

    def _get(self, name: str) -> torch.Tensor:
        from safetensors import safe_open

        file, stored_name = self._files[name]
        with safe_open(file, framework="pt") as stored:
            tensor: torch.Tensor = stored.get_tensor(stored_name)
            return tensor
