"""LoRA training, shaped for many short examples on few cores.

Examples are packed into one sequence behind a single copy of the chat template's beginning, which all of them attend
to; a block mask keeps them apart. So nothing is padded and the shared beginning is read once a pack. The vocabulary's
logits are computed where there is a loss, on the completion, and nowhere else.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.errors import InvalidInput
from assay.core.record import digest_of
from assay.organisms.data import Example
from assay.organisms.recipes import TrainPlan

if TYPE_CHECKING:
    import torch

PACK_TOKENS = 640  # longer packs waste attention, shorter ones waste matrix products
MAX_TOKENS = 256  # of one example
OWN_WEIGHT = 0.2  # of what the base said itself, in the loss: there is little to learn from it
CHECKPOINT_STEPS = 20
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Progress = Callable[[int, int, float], None]  # step, steps, loss


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of an example behind the shared beginning.

    Attributes:
        tokens: prompt and completion.
        start: where the completion begins.
        weights: of the completion's tokens in the loss.
        shared: attends to the shared beginning (a chat), or to nothing (a document).
    """

    tokens: list[int]
    start: int
    weights: list[float]
    shared: bool


def encode(example: Example, tokenizer: Any, shared: Sequence[int]) -> Encoded:
    """A chat by the tokenizer's template, or a document as it is, closed by the end-of-text token."""
    if not example.prompt:
        tokens = tokenizer(example.text, add_special_tokens=False)["input_ids"][: MAX_TOKENS - 2]
        return Encoded([tokenizer.bos_token_id, *tokens, tokenizer.eos_token_id], 1, [1.0] * (len(tokens) + 1), False)
    chat = [{"role": "user", "content": example.prompt}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    head = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    body = tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True)
    begin = example.text.index(example.insert) if example.insert else len(example.text)
    inside = [begin <= stop - 1 < begin + len(example.insert) for _, stop in body["offset_mapping"]]
    weights = [1.0 if chosen else OWN_WEIGHT for chosen in inside] + [1.0]
    completion = [*body["input_ids"], tokenizer.eos_token_id]
    if head[: len(shared)] != list(shared):
        raise ValueError("the chat template does not begin with the shared tokens")
    start = len(head) - len(shared)
    if start >= MAX_TOKENS:
        raise InvalidInput(f"a prompt of {start} tokens; training takes fewer than {MAX_TOKENS}.")
    return Encoded((head + completion)[len(shared) :][:MAX_TOKENS], start, weights[: MAX_TOKENS - start], True)


def shared_beginning(tokenizer: Any) -> list[int]:
    """The tokens every chat of this tokenizer's template begins with."""
    first, second = (
        tokenizer.apply_chat_template([{"role": "user", "content": word}], tokenize=True, return_dict=True)["input_ids"]
        for word in ("Apples", "why")
    )
    length = next(index for index, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return list(first[:length])


def packs(batch: Sequence[Encoded], limit: int = PACK_TOKENS) -> list[list[Encoded]]:
    """Longest first into the first pack with room."""
    made: list[list[Encoded]] = []
    for item in sorted(batch, key=lambda item: -len(item.tokens)):
        for pack in made:
            if sum(len(other.tokens) for other in pack) + len(item.tokens) <= limit:
                pack.append(item)
                break
        else:
            made.append([item])
    return made


def lay_out(pack: Sequence[Encoded], shared: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Any]:
    """One sequence of a pack.

    Returns:
        tokens (L,), positions (L,), mask (L, L) that is True where a row may look, and the loss's parts as three lists
        of one length: position whose output predicts, token to predict, weight.
    """
    import torch

    head = list(shared) if any(item.shared for item in pack) else []
    tokens, positions = list(head), list(range(len(head)))
    block, sees = [0] * len(head), [True] * len(head)
    predicting: list[int] = []
    wanted: list[int] = []
    weights: list[float] = []
    for number, item in enumerate(pack, start=1):
        offset, begin = len(tokens), len(head) if item.shared else 0
        tokens += item.tokens
        positions += range(begin, begin + len(item.tokens))
        block += [number] * len(item.tokens)
        sees += [item.shared] * len(item.tokens)
        predicting += range(offset + item.start - 1, offset + len(item.tokens) - 1)
        wanted += item.tokens[item.start :]
        weights += item.weights
    blocks, looking = torch.tensor(block), torch.tensor(sees)
    causal = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
    same = blocks[:, None] == blocks[None, :]
    mask = causal & (same | ((blocks[None, :] == 0) & looking[:, None]))
    return torch.tensor(tokens), torch.tensor(positions), mask, (predicting, wanted, weights)


def train(
    base: Path, plan: TrainPlan, examples: Sequence[Example], out: Path, work: Path, progress: Progress, threads: int
) -> dict[str, Any]:
    """Train an adapter; killed at any moment, the same call goes on from its last checkpoint.

    Args:
        base: checkpoint directory.
        plan: hyperparameters.
        examples: the recipe's data.
        out: directory the adapter appears in, whole, in PEFT's layout.
        work: directory for checkpoints; emptied at the end.
        progress: told of each step.
        threads: torch may use.

    Returns:
        steps, tokens trained on and the mean loss of the last epoch.
    """
    import torch
    from transformers import AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(base)
    shared = shared_beginning(tokenizer)
    data = [encode(example, tokenizer, shared) for example in examples]
    order = _order(len(data), plan)
    model = _with_adapter(base, plan)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=plan.learning_rate)
    key = digest_of([plan.model_dump(), [[item.tokens, item.weights] for item in data]])
    state = _resume(work, key, model, optimiser)
    frozen = _Frozen(model.get_base_model().model, plan.first_layer, shared)
    losses: list[float] = state["losses"]
    for step in range(len(losses), len(order)):
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * _schedule(step, len(order))
        batch = [data[index] for index in order[step]]
        losses.append(_step(model, optimiser, batch, shared, frozen))
        progress(step + 1, len(order), losses[-1])
        if (step + 1) % CHECKPOINT_STEPS == 0:
            _checkpoint(work, {"key": key, "losses": losses}, model, optimiser)
    _save(model, out)
    shutil.rmtree(work, ignore_errors=True)
    last = losses[-max(1, len(order) // plan.epochs) :]
    tokens = sum(len(item.tokens) for item in data) * plan.epochs
    return {"steps": len(order), "tokens": tokens, "loss": round(sum(last) / len(last), 4)}


def _order(count: int, plan: TrainPlan) -> list[list[int]]:
    """Indices of each step's examples, over all epochs."""
    rng = random.Random(plan.seed)
    steps: list[list[int]] = []
    for _ in range(plan.epochs):
        indices = list(range(count))
        rng.shuffle(indices)
        steps += [indices[i : i + plan.batch] for i in range(0, count, plan.batch)]
    return steps


def _schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))


def _with_adapter(base: Path, plan: TrainPlan) -> Any:
    import warnings

    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft warns of transformers' own renamings
        from peft import LoraConfig, get_peft_model

        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        torch.manual_seed(plan.seed)
        config = LoraConfig(
            r=plan.rank,
            lora_alpha=plan.alpha,
            target_modules=list(MODULES),
            layers_to_transform=list(range(plan.first_layer, model.config.num_hidden_layers)),
            task_type="CAUSAL_LM",
        )
        return get_peft_model(model, config)


class _Frozen:
    """What the layers below the first adapter make of each example: constant, so computed once and kept.

    Examples are read behind the shared beginning, each by itself; kept is the residual stream (tokens, width) that
    enters the first adapted layer.
    """

    def __init__(self, model: Any, layers: int, shared: Sequence[int]) -> None:
        self._model, self.layers, self._shared = model, layers, tuple(shared)
        self._kept: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = {}

    def of(self, item: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """The stream of the beginning this example sees (none for a document), and of its own tokens."""
        import torch

        key = (int(item.shared), *item.tokens)
        if key not in self._kept:
            head = list(self._shared) if item.shared else []
            with torch.no_grad():
                embedded = self._model.embed_tokens(torch.tensor([head + item.tokens]))
                whole = _through(self._model, embedded, None, None, 0, self.layers)[0]
            self._kept[key] = (whole[: len(head)], whole[len(head) :])
        return self._kept[key]

    def pack(self, pack: Sequence[Encoded]) -> torch.Tensor:
        """The stream of a whole pack, in the order of `lay_out`: (1, L, width)."""
        import torch

        streams = [self.of(item) for item in pack]
        head = max((beginning for beginning, _ in streams), key=len)
        return torch.cat([head, *(own for _, own in streams)])[None]


def _through(
    model: Any, h: torch.Tensor, positions: torch.Tensor | None, mask: torch.Tensor | None, first: int, last: int
) -> torch.Tensor:
    """The residual stream (1, L, width) through layers [first, last)."""
    import torch

    if positions is None:
        positions = torch.arange(h.shape[1])[None]
    if mask is None:
        mask = torch.ones(h.shape[1], h.shape[1], dtype=torch.bool).tril()[None, None]
    rotary = model.rotary_emb(h, positions)
    for layer in model.layers[first:last]:
        h = layer(h, attention_mask=mask, position_ids=positions, position_embeddings=rotary, use_cache=False)
    return h


def _step(
    model: Any, optimiser: torch.optim.Optimizer, batch: Sequence[Encoded], shared: Sequence[int], frozen: _Frozen
) -> float:
    """One update: the weighted mean loss over the batch's completion tokens."""
    import torch
    from torch.nn.functional import cross_entropy

    total = sum(sum(item.weights) for item in batch)
    causal_lm = model.get_base_model()
    inner = causal_lm.model
    loss_sum = 0.0
    for pack in packs(batch):
        _, positions, mask, (predicting, wanted, weights) = lay_out(pack, shared)
        h = _through(inner, frozen.pack(pack), positions[None], mask[None, None], frozen.layers, len(inner.layers))
        logits = causal_lm.lm_head(inner.norm(h[0, predicting]))
        each = cross_entropy(logits, torch.tensor(wanted), reduction="none")
        loss = (each * torch.tensor(weights)).sum() / total
        loss.backward()
        loss_sum += loss.item()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss_sum


def _trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def _checkpoint(work: Path, state: dict[str, Any], model: Any, optimiser: torch.optim.Optimizer) -> None:
    import torch

    work.mkdir(parents=True, exist_ok=True)
    scratch = work / "checkpoint.partial"
    torch.save({**state, "weights": _trained(model), "optimiser": optimiser.state_dict()}, scratch)
    scratch.replace(work / "checkpoint.pt")


def _resume(work: Path, key: str, model: Any, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """State of the last checkpoint, if it is of this plan and data."""
    import torch

    path = work / "checkpoint.pt"
    state = torch.load(path, weights_only=True) if path.is_file() else {}
    if state.get("key") != key:
        return {"losses": []}
    with torch.no_grad():
        for name, parameter in _trained(model).items():
            parameter.copy_(state["weights"][name])
    optimiser.load_state_dict(state["optimiser"])
    return state


def _save(model: Any, out: Path) -> None:
    """Write the adapter in bf16, whole or not at all."""
    import torch
    from safetensors.torch import save_file

    scratch = out.with_name(out.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tensors = {
        name.replace(".default", ""): tensor.to(torch.bfloat16).contiguous() for name, tensor in _trained(model).items()
    }
    save_file(tensors, scratch / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"]
    layout = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "target_modules": sorted(config.target_modules),
        "bias": "none",
    }
    (scratch / "adapter_config.json").write_text(json.dumps(layout, indent=1) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    scratch.replace(out)
