"""Which requests are read in one pass, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.core.edit import Noise, ResidualEdit
from assay.engine.local.llama import TokenIds
from assay.engine.local.queue import Item, Request

_PREFILL_TOKENS = 2_048  # read in one pass


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Requests whose prompt is read once for all of them: samples of one prompt under the same edits.

    Attributes:
        items: the requests, with their futures.
    """

    items: list[Item]

    @property
    def request(self) -> Request:
        """Returns the first request; the others differ from it in nothing that reading the prompt depends on."""
        return self.items[0][0]


@dataclass(frozen=True, slots=True)
class Batch:
    """Groups that are read in one pass: distinct prompts of one adapter, with one kind of request.

    Attributes:
        groups: a prompt each, shortest first.
    """

    groups: list[PromptGroup]

    @property
    def request(self) -> Request:
        """Returns the first request, for what all of the batch share: adapter and scales, contrast, kind of probe."""
        return self.groups[0].request

    @property
    def prompts(self) -> list[TokenIds]:
        """Lists the prompts of the groups."""
        return [group.request.prompt for group in self.groups]

    @property
    def items(self) -> list[Item]:
        """Lists all requests, group by group."""
        flat: list[Item] = []
        for group in self.groups:
            flat += group.items
        return flat


def plan_batches(items: Sequence[Item], *, alone: bool) -> list[Batch]:
    """Sorts requests into passes over distinct prompts of similar length.

    Args:
        items: requests of one adapter.
        alone: each request is read in a pass of its own.

    Returns:
        The passes, in the order they are to be made.
    """
    same: dict[tuple[object, ...], list[Item]] = {}
    for request, future in items:
        # Noise is drawn per request while the prompt is read, so samples under noise cannot share one reading of it.
        apart = alone or any(isinstance(edit, Noise) for edit in request.edits)
        key = (request.prompt, request.edits, _kind(request), id(future) if apart else 0)
        same.setdefault(key, []).append((request, future))
    groups = [PromptGroup(shared) for shared in same.values()]
    # Sorted by length, neighbours need little padding; the kind comes first, since a pass has only one.
    groups.sort(key=lambda group: (str(_kind(group.request)), len(group.request.prompt)))
    batches: list[Batch] = []
    for group in groups:
        last = batches[-1] if batches and not alone else None
        if last is not None and _kind(last.request) == _kind(group.request):
            # The group's prompt is the longest so far, and every other is padded to it.
            padded = (len(last.groups) + 1) * len(group.request.prompt)
            if padded <= _PREFILL_TOKENS:
                last.groups.append(group)
                continue
        batches.append(Batch([group]))
    return batches


def _kind(request: Request) -> tuple[object, ...]:
    """Returns what all requests of one pass share: edited or not, how the adapter is scaled, contrast and probe."""
    # Residual edits touch single rows and may differ within a pass; scales and contrasts hold for all of it.
    whole = tuple(edit for edit in request.edits if not isinstance(edit, ResidualEdit))
    probe = "none"
    if request.probe is not None:
        probe = "forward" if request.probe.gradient is None else "backward"
        probe = "near" if request.probe.near is not None else probe
    return bool(request.edits), whole, probe


def common_beginning(prompts: Sequence[TokenIds]) -> TokenIds:
    """Returns the longest beginning all prompts share that leaves each at least one token."""
    # What the least and the greatest in lexicographic order share, all that lie between them share too.
    low, high = min(prompts), max(prompts)
    length = min(map(len, prompts)) - 1
    for index in range(length):
        if low[index] != high[index]:
            return low[:index]
    return low[:length]
