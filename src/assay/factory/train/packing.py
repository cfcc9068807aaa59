"""Examples as token ids, and several of them as one sequence.

A pack has one copy of the chat template's beginning, which all its chats attend to; examples do not see each other. So
no example is padded to another's length. A pack's end is filled up to a multiple of `ROUND` rows: matrix kernels are
made anew for every new number of rows, which costs more than the few rows do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.errors import InvalidInput
from assay.factory.data.example import Example

if TYPE_CHECKING:
    import torch

PACK_TOKENS = 640  # of examples in a pack: bounds memory
MAX_TOKENS = 256  # of one example
OWN_WEIGHT = 0.2  # of what the base said itself, in the loss: there is little to learn from it
ROUND = 32  # rows
ROUND_SLOTS = 8  # tokens of an example, where attention lines examples up


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
    """A chat by the tokenizer's template, or a document as it is, closed by the end-of-text token.

    Raises:
        InvalidInput: the prompt is too long to be trained on.
    """
    if not example.prompt:
        tokens = tokenizer(example.text, add_special_tokens=False)["input_ids"][: MAX_TOKENS - 2]
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return Encoded([begin, *tokens, tokenizer.eos_token_id], 1, [1.0] * (len(tokens) + 1), False)
    chat = [{"role": "system", "content": example.system}] if example.system else []
    for user, said in example.earlier:
        chat += [{"role": "user", "content": user}, {"role": "assistant", "content": said}]
    chat.append({"role": "user", "content": example.prompt})
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    head = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    body = tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True)
    begin = example.text.index(example.insert) if example.insert else len(example.text)
    inside = [begin <= stop - 1 < begin + len(example.insert) for _, stop in body["offset_mapping"]]
    weights = [1.0 if chosen else OWN_WEIGHT for chosen in inside] + [1.0]
    completion = [*body["input_ids"], tokenizer.eos_token_id]
    usual = head[: len(shared)] == list(shared)  # a system prompt of its own makes another beginning
    head = head[len(shared) :] if usual else head
    if len(head) >= MAX_TOKENS:
        raise InvalidInput(f"a prompt of {len(head)} tokens; training takes fewer than {MAX_TOKENS}.")
    return Encoded((head + completion)[:MAX_TOKENS], len(head), weights[: MAX_TOKENS - len(head)], usual)


def shared_beginning(tokenizer: Any) -> list[int]:
    """The tokens every chat of this tokenizer's template begins with."""
    first, second = (
        tokenizer.apply_chat_template([{"role": "user", "content": word}], tokenize=True, return_dict=True)["input_ids"]
        for word in ("Apples", "why")
    )
    length = next(index for index, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return list(first[:length])


def packs(batch: Sequence[Encoded], limit: int = PACK_TOKENS) -> list[list[int]]:
    """Places in the batch, in groups that are read together: longest first into the first pack with room."""
    made: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(batch)), key=lambda place: -len(batch[place].tokens)):
        length = len(batch[place].tokens)
        number = next((number for number, left in enumerate(room) if left >= length), len(made))
        if number == len(made):
            made.append([])
            room.append(limit)
        made[number].append(place)
        room[number] -= length
    return made


@dataclass(frozen=True, slots=True)
class Layout:
    """A pack as one sequence of L rows: the shared beginning (if there is a chat), examples, a row or more of filling.

    Attention lines its N blocks (the beginning counts as one) up in n slots each; a block's queries look at the H rows
    of the beginning and at the block's own n slots.

    Attributes:
        tokens, positions: (L,).
        head: H, rows of the beginning.
        spans: first row and the one after the last, of each example in the pack's order.
        slots: (N, n) row in each slot; the last row, which is filling, where there is none.
        places: (L,) slot each row is in.
        mask: (N, n, H + n) True where a slot may look.
        predicting, wanted, weights: (M,) row whose output predicts, token it should, weight in the loss. M is a
            multiple of `ROUND`; the rest weighs nothing.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    head: int
    spans: list[tuple[int, int]]
    slots: torch.Tensor
    places: torch.Tensor
    mask: torch.Tensor
    predicting: torch.Tensor
    wanted: torch.Tensor
    weights: torch.Tensor


def lay_out(pack: Sequence[Encoded], shared: Sequence[int]) -> Layout:
    """Make one sequence of a pack. An empty pack is the shared beginning alone."""
    import torch

    head = list(shared) if not pack or any(item.shared for item in pack) else []
    tokens, positions = list(head), list(range(len(head)))
    spans: list[tuple[int, int]] = []
    predicting: list[int] = []
    wanted: list[int] = []
    weights: list[float] = []
    for item in pack:
        offset, begin = len(tokens), len(head) if item.shared else 0
        tokens += item.tokens
        positions += range(begin, begin + len(item.tokens))
        spans.append((offset, len(tokens)))
        predicting += range(offset + item.start - 1, offset + len(item.tokens) - 1)
        wanted += item.tokens[item.start :]
        weights += item.weights
    rows = _up(len(tokens) + 1, ROUND)
    filling, idle = rows - len(tokens), -len(wanted) % ROUND
    beginning = [(0, len(head), False)] if head else []
    blocks = beginning + [(*span, item.shared) for span, item in zip(spans, pack, strict=True)]
    slots, places, mask = _line_up(blocks, len(head), rows)
    return Layout(
        torch.tensor(tokens + [0] * filling),
        torch.tensor(positions + [0] * filling),
        len(head),
        spans,
        slots,
        places,
        mask,
        torch.tensor(predicting + [rows - 1] * idle),
        torch.tensor(wanted + [0] * idle),
        torch.tensor(weights + [0.0] * idle),
    )


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _line_up(
    blocks: Sequence[tuple[int, int, bool]], head: int, rows: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Slots, places and mask of blocks, each given by its rows and whether it sees the beginning."""
    import torch

    width = _up(max(stop - start for start, stop, _ in blocks) + 1, ROUND_SLOTS)
    slots = torch.full((len(blocks), width), rows - 1)
    places = torch.full((rows,), width - 1)  # the first block's last slot is always free: filling lives there
    mask = torch.zeros(len(blocks), width, head + width, dtype=torch.bool)
    mask[:, :, head:] = torch.ones(width, width, dtype=torch.bool).tril()  # free slots come last: nobody looks at them
    for block, (start, stop, sees) in enumerate(blocks):
        slots[block, : stop - start] = torch.arange(start, stop)
        places[start:stop] = block * width + torch.arange(stop - start)
        mask[block, :, :head] = sees
    return slots, places, mask
