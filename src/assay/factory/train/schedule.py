"""Decides in which order and at which rate a training goes through its examples, whichever trainer runs it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assay.engine.local.chat_tokens import ChatTokens
from assay.factory.data.example import Example
from assay.factory.recipes import TrainPlan
from assay.factory.train.packing import Encoded, encode

MAX_NORM = 1.0  # a step's gradient is clipped to it


def passages(
    examples: Sequence[Example], tokenizer: Any, shared: Sequence[int], plan: TrainPlan
) -> tuple[list[Encoded], dict[int, int]]:
    """Encodes examples in their order, and after them the completions that are rejected.

    Returns:
        The passages, and for each example that has one: its place → its rejected completion's.
    """
    tokens = ChatTokens(tokenizer, "of this training")
    data = [encode(example, tokens, shared, plan.hold, plan.edge) for example in examples]
    pairs: dict[int, int] = {}
    for place, example in enumerate(examples):
        if example.rejected:
            pairs[place] = len(data)
            data.append(encode(replace(example, text=example.rejected, insert=""), tokens, shared, plan.hold))
    return data, pairs


def step_order(count: int, plan: TrainPlan) -> list[list[int]]:
    """Returns the indices of each step's examples, over all epochs; each epoch is shuffled anew."""
    rng = random.Random(plan.seed)
    steps: list[list[int]] = []
    for _ in range(plan.epochs):
        indices = list(range(count))
        rng.shuffle(indices)
        for start in range(0, count, plan.batch):
            steps.append(indices[start : start + plan.batch])
    return steps


def schedule(step: int, steps: int) -> float:
    """Returns the share of the learning rate in a step: linear warm-up over 5 % of the steps, then linear decay."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm))
