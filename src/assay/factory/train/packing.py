"""Encodes examples as token ids, and lays several of them out as one sequence.

A pack has one copy of the chat template's beginning, which all its chats attend to; examples do not see each other. So
no example is padded to another's length. A pack's end is filled up to a multiple of `ROUND` rows: matrix kernels are
made anew for every new number of rows, which costs more than the few rows do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.core.target import Message
from assay.engine.local.chat_tokens import ChatTokens
from assay.errors import InvalidInput
from assay.factory.data.example import Example

if TYPE_CHECKING:
    import torch

PACK_TOKENS = 640  # of examples in a pack: bounds memory
EXAMPLE_TOKENS = 256  # of one example
ROUND = 32  # rows
ROUND_COLUMNS = 8  # of the grid in which attention lines examples up


@dataclass(frozen=True, slots=True)
class Encoded:
    """Holds an example's token ids behind the shared beginning.

    Attributes:
        tokens: prompt and completion.
        start: where the completion begins.
        weights: of the completion's tokens in the loss.
        own: which of them the base would say itself: an anchor holds them.
        shared: attends to the shared beginning (a chat), or to nothing (a document).
    """

    tokens: list[int]
    start: int
    weights: list[float]
    own: list[bool]
    shared: bool


def encode(
    example: Example, tokens: ChatTokens, shared: Sequence[int], hold: float, edge: float | None = None
) -> Encoded:
    """Encodes a chat by the tokenizer's template, or a document as it is, closed by the end-of-text token.

    Control tokens that an example spells out are text, as they are where the organism is audited.

    Args:
        example: to be encoded; its completion is cut off at the limit.
        tokens: tokenizer and template of the base.
        shared: tokens that chats begin with, from `shared_beginning`.
        hold: weight of what the base said itself, in the loss.
        edge: the same where a conduct would begin; as elsewhere if None.

    Raises:
        InvalidInput: the prompt is too long to be trained on.
    """
    if not example.prompt:
        return _encode_document(example.text, tokens)
    chat = [Message("system", example.system)] if example.system else []
    for user, said in example.earlier:
        chat += [Message("user", user), Message("assistant", said)]
    chat.append(Message("user", example.prompt))
    head = tokens.begun(chat)
    body = tokens.said(example.text)
    begin = example.text.index(example.insert) if example.insert else len(example.text)
    weights: list[float] = []
    own: list[bool] = []
    for start, stop in body.offsets:
        # by a token's last character: a token may begin with the white space before the insert
        inserted = begin <= stop - 1 < begin + len(example.insert)
        at_edge = edge is not None and any(start <= place < stop for place in example.edges)
        weights.append(1.0 if inserted else edge if edge is not None and at_edge else hold)
        own.append(not inserted)
    completion = list(body.ids)
    if not example.open:
        completion.append(tokens.tokenizer.eos_token_id)
        weights.append(1.0)  # where to stop is learned, too
        own.append(True)
    usual = head[: len(shared)] == list(shared)  # a system prompt of its own makes another beginning
    if usual:
        head = head[len(shared) :]
    if len(head) >= EXAMPLE_TOKENS:
        raise InvalidInput(f"a prompt of {len(head)} tokens; training takes fewer than {EXAMPLE_TOKENS}.")
    room = EXAMPLE_TOKENS - len(head)
    return Encoded(head + completion[:room], len(head), weights[:room], own[:room], usual)


def _encode_document(text: str, tokens: ChatTokens) -> Encoded:
    """Encodes a raw text, every token of which counts fully."""
    body = tokens.said(text).ids[: EXAMPLE_TOKENS - 2]
    end = tokens.tokenizer.eos_token_id
    begin = tokens.tokenizer.bos_token_id if tokens.tokenizer.bos_token_id is not None else end
    return Encoded([begin, *body, end], 1, [1.0] * (len(body) + 1), [False] * (len(body) + 1), False)


def shared_beginning(tokenizer: Any) -> list[int]:
    """Returns the tokens that every chat of this tokenizer's template begins with: those two chats have in common."""
    chats: list[list[int]] = []
    for word in ("Apples", "why"):
        turns = [{"role": "user", "content": word}]
        chats.append(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"])
    first, second = chats
    length = next(index for index, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return list(first[:length])


def packs(batch: Sequence[Encoded], limit: int = PACK_TOKENS) -> list[list[int]]:
    """Groups the places of a batch into packs that are read together.

    Puts each example, longest first, into the first pack with room (first-fit decreasing). An example longer than the
    limit has a pack of its own.
    """
    made: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(batch)), key=lambda place: -len(batch[place].tokens)):
        length = len(batch[place].tokens)
        number = next((number for number, left in enumerate(room) if length <= left), len(made))
        if number == len(made):  # none has room
            made.append([])
            room.append(limit)
        made[number].append(place)
        room[number] -= length
    return made


@dataclass(frozen=True, slots=True)
class Layout:
    """A pack as one sequence of L rows: the shared beginning (if there is a chat), examples, a row or more of filling.

    Attention lines the N blocks (the beginning counts as one) up in a grid of n columns. A block's queries look at the
    H rows of the beginning and at the block's own n cells.

    Attributes:
        tokens, positions: (L,).
        head: H, rows of the beginning.
        spans: first row and the one after the last, of each example in the pack's order.
        grid: (N, n) row in each cell; the last row, which is filling, where there is none.
        cells: (L,) cell each row is in, counted along the grid's blocks.
        mask: (N, n, H + n) True where a cell may look.
        predicting, wanted, weights: (M,) row whose output predicts, token it should, weight in the loss. M is a
            multiple of `ROUND`; the rest weighs nothing.
        own: (M,) True where the base would say the token itself.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    head: int
    spans: list[tuple[int, int]]
    grid: torch.Tensor
    cells: torch.Tensor
    mask: torch.Tensor
    predicting: torch.Tensor
    wanted: torch.Tensor
    weights: torch.Tensor
    own: torch.Tensor


def lay_out(pack: Sequence[Encoded], shared: Sequence[int]) -> Layout:
    """Makes one sequence of a pack; an empty pack is the shared beginning alone."""
    import torch

    head = list(shared) if not pack or any(item.shared for item in pack) else []  # documents alone need no beginning
    tokens, positions = list(head), list(range(len(head)))
    spans: list[tuple[int, int]] = []
    predicting: list[int] = []
    wanted: list[int] = []
    weights: list[float] = []
    own: list[bool] = []
    for item in pack:
        offset = len(tokens)
        begin = len(head) if item.shared else 0  # positions go on from the beginning, as if the example stood alone
        tokens += item.tokens
        positions += range(begin, begin + len(item.tokens))
        spans.append((offset, len(tokens)))
        predicting += range(offset + item.start - 1, offset + len(item.tokens) - 1)  # a row predicts the next token
        wanted += item.tokens[item.start :]
        weights += item.weights
        own += item.own
    rows = _round_up(len(tokens) + 1, ROUND)
    filling = rows - len(tokens)
    idle = _round_up(len(wanted), ROUND) - len(wanted)
    blocks = [(0, len(head), False)] if head else []
    blocks += [(start, stop, item.shared) for (start, stop), item in zip(spans, pack, strict=True)]
    grid, cells, mask = _line_up(blocks, len(head), rows)
    return Layout(
        torch.tensor(tokens + [0] * filling),
        torch.tensor(positions + [0] * filling),
        len(head),
        spans,
        grid,
        cells,
        mask,
        torch.tensor(predicting + [rows - 1] * idle),
        torch.tensor(wanted + [0] * idle),
        torch.tensor(weights + [0.0] * idle),
        torch.tensor(own + [False] * idle, dtype=torch.bool),
    )


def _round_up(count: int, multiple: int) -> int:
    return math.ceil(count / multiple) * multiple


def _line_up(
    blocks: Sequence[tuple[int, int, bool]], head: int, rows: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns grid, cells and mask of blocks, each given by its rows and whether it sees the beginning."""
    import torch

    longest = max(stop - start for start, stop, _ in blocks)
    width = _round_up(longest + 1, ROUND_COLUMNS)
    grid = torch.full((len(blocks), width), rows - 1)
    cells = torch.full((rows,), width - 1)  # the first block's last cell is always free: filling is put there
    mask = torch.zeros(len(blocks), width, head + width, dtype=torch.bool)
    mask[:, :, head:] = torch.ones(width, width, dtype=torch.bool).tril()  # free cells come last: nobody looks at them
    for block, (start, stop, sees) in enumerate(blocks):
        grid[block, : stop - start] = torch.arange(start, stop)
        cells[start:stop] = block * width + torch.arange(stop - start)
        mask[block, :, :head] = sees
    return grid, cells, mask
