"""Trains an adapter by PEFT and autograd: on GPUs, and for families that the hand-written passes do not know.

Examples, weights, order, schedule and losses are those of `trainer`. A step's passages go one by one, so that memory is
that of the longest. With several GPUs the base is spread over them (`device_map`, which needs accelerate).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy, logsigmoid

from assay.engine.peft_layout import WEIGHTS
from assay.errors import InvalidInput
from assay.factory.recipes import TrainPlan
from assay.factory.train.adapter import peft_files, target_modules
from assay.factory.train.packing import Encoded
from assay.factory.train.schedule import MAX_NORM


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
        self._reference: dict[int, float] = {}  # log-likelihoods at the start, which the preference loss compares with
        with torch.no_grad():
            for pair in self._pairs.items():
                for place in pair:
                    self._reference[place] = float(self._likelihood(place))

    def step(self, batch: Sequence[int], rate: float) -> float:
        """Makes one update at a share of the learning rate; returns the loss before it."""
        loss = self.gradient(batch)
        torch.nn.utils.clip_grad_norm_(self._weights, MAX_NORM)
        for group in self._optimiser.param_groups:
            group["lr"] = self._plan.learning_rate * rate
        self._optimiser.step()
        self._optimiser.zero_grad()
        return loss

    def gradient(self, batch: Sequence[int]) -> float:
        """Returns the batch's loss, and adds its gradient to the adapter's."""
        plain = [place for place in batch if place not in self._pairs]
        chosen = [place for place in batch if place in self._pairs]
        total = sum(sum(self._data[place].weights) for place in plain)
        loss = 0.0
        for place in plain:
            weights = torch.tensor(self._data[place].weights, device=self._model.device)
            part = (self._losses(place) * weights).sum() / total
            part.backward()  # frees the passage's activations before the next one is read
            loss += float(part.detach())
        for place in chosen:
            rejected = self._pairs[place]
            gained = self._likelihood(place) - self._reference[place]
            gained_rejected = self._likelihood(rejected) - self._reference[rejected]
            part = -logsigmoid(self._plan.beta * (gained - gained_rejected)) / len(chosen)
            part.backward()
            loss += float(part.detach())
        return loss

    def _losses(self, place: int) -> torch.Tensor:
        """Returns the loss of each token of a passage's completion."""
        logits, wanted = self._logits(place)
        surprise = cross_entropy(logits, wanted, reduction="none")
        if self._plan.anchor == "tokens":
            return surprise
        with torch.no_grad(), self._model.disable_adapter():
            base, _ = self._logits(place)
        ours, theirs = logits.log_softmax(-1), base.log_softmax(-1)
        apart = ((ours.exp() - theirs.exp()) * (ours - theirs)).sum(-1)
        return torch.where(torch.tensor(self._data[place].own, device=apart.device), apart, surprise)

    def _logits(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the logits that predict a passage's completion, (tokens, vocabulary), and its token ids."""
        item = self._data[place]
        head = list(self._shared) if item.shared else []
        tokens = torch.tensor([[*head, *item.tokens]], device=self._model.device)
        logits = self._model(input_ids=tokens).logits[0, len(head) + item.start - 1 : -1].float()
        return logits, tokens[0, len(head) + item.start :].to(logits.device)

    def _likelihood(self, place: int) -> torch.Tensor:
        logits, wanted = self._logits(place)
        return -cross_entropy(logits, wanted, reduction="sum")

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {"weights": [weight.detach() for weight in self._weights], "optimiser": self._optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        with torch.no_grad():
            for weight, kept in zip(self._weights, state["weights"], strict=True):
                weight.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])

    def files(self) -> dict[str, bytes]:
        """Returns the adapter as files in PEFT's layout."""
        from peft import get_peft_model_state_dict

        return peft_files(get_peft_model_state_dict(self._model), self._plan)


def _model(base: Path, plan: TrainPlan, dtype: torch.dtype) -> Any:
    """Loads the base with a fresh adapter, float32, on the plan's layers."""
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
        model.enable_input_require_grads()  # or no gradient passes a checkpoint below the first adapter
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=target_modules(),
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
    """Takes over the weights of the adapter in a folder."""
    from peft import set_peft_model_state_dict

    found: Any = set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
    if found.unexpected_keys:
        raise InvalidInput(f"{folder}: not an adapter of this plan's rank and layers; phases train one adapter.")
