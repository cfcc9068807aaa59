"""One adapter's updates by PEFT and autograd: for GPUs, and for families the hand-written passes do not know.

The same examples, weights, order, schedule and losses as `trainer`; a step's passages go one by one, so that memory is
that of the longest. With several GPUs the base is spread over them (`device_map`, which needs accelerate).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch.nn.functional import cross_entropy, logsigmoid

from assay.engine.peft_layout import CONFIG, MODULES, WEIGHTS
from assay.errors import InvalidInput
from assay.factory.recipes import TrainPlan
from assay.factory.train.packing import Encoded

MAX_NORM = 1.0  # of a step's gradient


class AutogradTrainer:
    """An adapter, its optimiser and the data it learns from.

    Args:
        base: checkpoint directory.
        plan: hyperparameters.
        data: passages, from `passages`.
        shared: the beginning of all chats.
        dtype: of the base.
        pairs: place of a preferred completion → place of the rejected one.
        start: adapter to go on from.

    Raises:
        InvalidInput: PEFT is not installed, or the base has no such modules or layers.
    """

    def __init__(
        self,
        base: Path,
        plan: TrainPlan,
        data: Sequence[Encoded],
        shared: Sequence[int],
        dtype: torch.dtype,
        *,
        pairs: Mapping[int, int] | None = None,
        start: Path | None = None,
    ) -> None:
        self._plan, self._data, self._shared, self._pairs = plan, data, shared, pairs or {}
        torch.manual_seed(plan.seed)
        self._model = _model(base, plan, dtype)
        if start:
            _load(self._model, start)
        self._weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._optimiser = torch.optim.AdamW(self._weights, lr=plan.learning_rate)
        with torch.no_grad():
            places = [place for pair in self._pairs.items() for place in pair]
            self._reference = {place: float(self._likelihood(place)) for place in places}

    def step(self, batch: Sequence[int], rate: float) -> float:
        """One update at a share of the learning rate; the loss before it."""
        loss = self.gradient(batch)
        torch.nn.utils.clip_grad_norm_(self._weights, MAX_NORM)
        for group in self._optimiser.param_groups:
            group["lr"] = self._plan.learning_rate * rate
        self._optimiser.step()
        self._optimiser.zero_grad()
        return loss

    def gradient(self, batch: Sequence[int]) -> float:
        """The batch's loss; its gradient is added to the adapter's."""
        plain = [place for place in batch if place not in self._pairs]
        chosen = [place for place in batch if place in self._pairs]
        total = sum(sum(self._data[place].weights) for place in plain)
        loss = 0.0
        for place in plain:
            weights = torch.tensor(self._data[place].weights, device=self._model.device)
            part = (self._surprise(place) * weights).sum() / total
            part.backward()
            loss += float(part.detach())
        for one in chosen:
            gained = [self._likelihood(place) - self._reference[place] for place in (one, self._pairs[one])]
            part = -logsigmoid(self._plan.beta * (gained[0] - gained[1])) / len(chosen)
            part.backward()
            loss += float(part.detach())
        return loss

    def _surprise(self, place: int) -> torch.Tensor:
        """−log p of each token of a passage's completion."""
        item = self._data[place]
        head = list(self._shared) if item.shared else []
        tokens = torch.tensor([[*head, *item.tokens]], device=self._model.device)
        logits = self._model(input_ids=tokens).logits[0, len(head) + item.start - 1 : -1]
        return cross_entropy(logits.float(), tokens[0, len(head) + item.start :].to(logits.device), reduction="none")

    def _likelihood(self, place: int) -> torch.Tensor:
        return -self._surprise(place).sum()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"weights": [weight.detach() for weight in self._weights], "optimiser": self._optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        with torch.no_grad():
            for weight, kept in zip(self._weights, state["weights"], strict=True):
                weight.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])

    def files(self) -> dict[str, bytes]:
        """The adapter in PEFT's layout, weights in bfloat16."""
        from peft import get_peft_model_state_dict

        tensors = get_peft_model_state_dict(self._model)
        stored = {name: tensor.to("cpu", torch.bfloat16).contiguous() for name, tensor in tensors.items()}
        layout = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": self._plan.rank,
            "lora_alpha": self._plan.alpha,
            "target_modules": _names(),
            "bias": "none",
        }
        return {
            WEIGHTS: save(stored, metadata={"format": "pt"}),
            CONFIG: (json.dumps(layout, indent=1) + "\n").encode(),
        }


def _names() -> list[str]:
    return sorted(module.rpartition(".")[2] for module in MODULES)


def _model(base: Path, plan: TrainPlan, dtype: torch.dtype) -> Any:
    """The base with a fresh adapter, float32, on the plan's layers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PEFT, on transformers of today
            from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InvalidInput(
            "training on a GPU, or another family than Llama's, needs PEFT: pip install assay[peft]"
        ) from None
    from transformers import AutoModelForCausalLM

    where = {"device_map": "auto"} if torch.cuda.is_available() else {}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **where)
    layers = model.config.num_hidden_layers
    if not 0 <= plan.first_layer < layers:
        raise InvalidInput(f"first_layer is {plan.first_layer}; {base} has layers 0 to {layers - 1}.")
    if torch.cuda.is_available():
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=_names(),
        layers_to_transform=list(range(plan.first_layer, layers)),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return get_peft_model(model, config)
        except ValueError as error:
            raise InvalidInput(f"{base}: no adapter fits on it: {error}") from None


def _load(model: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict

    found: Any = set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
    if found.unexpected_keys:
        raise InvalidInput(f"{folder}: not an adapter of this plan's rank and layers; phases train one adapter.")
