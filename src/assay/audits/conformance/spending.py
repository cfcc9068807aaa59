"""Checks what a tool spends: as it declares, where an audit pays for it, and no whole audit at once."""

from __future__ import annotations

from collections.abc import Mapping

from assay.audits.conformance.checks import Check
from assay.audits.conformance.dry_call import DryCall
from assay.core.budget import BUDGETS
from assay.core.tool import Tool, Weight

# Forward tokens below which a call by defaults is so heavy; above the last an audit could pay for one call alone.
TOKENS_BY_WEIGHT: Mapping[Weight, int] = {"light": 1_000, "medium": 20_000, "heavy": BUDGETS["default"].tokens // 2}
REPLIES_A_CALL = BUDGETS["default"].queries // 2  # that one call may sample
REPLIES_IN_PREPARE = 64  # that `prepare` may sample: more would be an audit which no budget pays for


def check_weight(tool: Tool, run: DryCall) -> Check:
    """Wants a call by defaults to spend no more than the declared weight says, and none to be an audit by itself.

    A scripted target counts words, of which a model makes some more tokens.
    """
    tokens, limit = run.called.tokens, TOKENS_BY_WEIGHT[tool.weight]
    told = f"a default call takes {tokens:,} tokens"
    if tokens >= TOKENS_BY_WEIGHT["heavy"]:
        return Check("weight", False, f"{told}, half of an audit's budget: make less of it the default")
    if tokens >= limit:
        fitting = next(weight for weight, most in TOKENS_BY_WEIGHT.items() if tokens < most)
        return Check("weight", False, f"{told}; {tool.weight} is below {limit:,}: declare weight={fitting!r}")
    replies = sum(sampling.n for sampling in run.sampled)
    if replies > REPLIES_A_CALL:
        return Check("weight", False, f"a default call samples {replies} replies: an audit in one call")
    return Check("weight", True, f"{told}: {tool.weight}")


def check_prepare(tool: Tool, run: DryCall) -> Check:
    """Wants `prepare` to measure and to index, and not to talk with the target: no audit pays for what it finds out."""
    if tool.prepare is None:
        return Check("prepare", True, "prepares nothing")
    if run.asked_in_prepare > REPLIES_IN_PREPARE:
        told = f"prepare samples {run.asked_in_prepare} replies; {REPLIES_IN_PREPARE} are allowed"
        return Check("prepare", False, f"{told}: sample in the call, where the audit pays for it")
    return Check("prepare", True, f"{run.prepared.tokens:,} tokens, {run.asked_in_prepare} replies sampled")
