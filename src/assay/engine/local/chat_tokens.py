"""Writes conversations as token ids, so that nothing that is said in one begins, ends or forges a turn.

A chat template writes its control tokens (`<|im_start|>`, `<|eot_id|>` …) into one text with what is said, and a
tokenizer finds them there whoever wrote them. Here they are control tokens where the template put them, and ordinary
text where system, user or assistant say them. A conversation without any reads token by token as it always did.

Not told apart are markers that are ordinary text to the tokenizer as well, such as Llama 2's `[INST]`: nothing but the
words of a turn is there to know them by. Raw text (`Target.complete`, `Raw`) is read raw: SAMPLING and LOGITS grant it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer

from assay.core.target import Message, Role
from assay.errors import InvalidInput

_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Said:
    """A text as ids, and the characters each stands for (none where the tokenizer cannot tell)."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class ChatTokens:
    """A base's tokenizer and chat template.

    Args:
        tokenizer: of transformers.
        base: its name, for errors.
        stop: ids that end a reply: control tokens, too, if the tokenizer has them as tokens of their own.

    Attributes:
        tokenizer: as it was given.
    """

    def __init__(self, tokenizer: Any, base: str, stop: Collection[int] = ()) -> None:
        self.tokenizer, self._base = tokenizer, base
        self._special, named = _controls(tokenizer, stop)
        self._controls = self._special | named
        # The model itself writes those that the tokenizer does not call special (`<think>`), and its template reads
        # them in its turns: there they are tokens. Nobody else may write them.
        self._kept = _any_of(named)
        self._written = _any_of(self._controls)
        self._firsts = {text.lstrip()[0] for text in self._controls}
        self._first = re.compile("[" + re.escape("".join(sorted(self._firsts))) + "]") if self._firsts else _NEVER
        # Nobody who does not hold this object can write what stands for a control token, or for its first character.
        nonce = secrets.token_hex(8)
        self._names = {text: f"\ue000{nonce}.{token}\ue000" for text, token in self._controls.items()}
        self._words = f"\ue002{nonce}\ue002"
        self._marks = {first: f"\ue001{nonce}.{ord(first)}\ue001" for first in self._firsts}

    @cached_property
    def longest(self) -> int:
        """Characters of the longest token: a text has no fewer tokens than it has stretches of this length."""
        return max(map(len, self.tokenizer.get_vocab()))

    def raw(self, text: str) -> list[int]:
        """Reads a text as it is, control tokens and all; none are added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def said(self, text: str) -> Said:
        """Reads what an assistant says, or a document: control tokens in it are text."""
        fast = bool(self.tokenizer.is_fast)
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast)
        ids = list(read["input_ids"])
        if set(self._special.values()).isdisjoint(ids):
            return Said(ids, list(read["offset_mapping"]) if fast else [])
        spelled = self._unaware.encode(text, add_special_tokens=False)
        return Said(list(spelled.ids), list(spelled.offsets))

    def begun(self, turns: Sequence[Message]) -> list[int]:
        """Reads a conversation up to where the model goes on: behind the beginning of its own turn, if it has one."""
        last = turns[-1]
        return self._read(turns[:-1], last.content) if last.role == "assistant" else self._read(turns, "")

    def user_begun(self, before: Sequence[Message], begun: str) -> list[int]:
        """Reads a conversation up to where the user goes on: behind the beginning of the user's next turn.

        Raises:
            InvalidInput: the template does not show where a user's turn begins.
        """
        return self._read(before, begun, "user")

    def apart(self, turns: Sequence[Message]) -> tuple[list[int], list[int]]:
        """Reads a conversation, and apart from it the last turn, if that is the assistant's.

        No token spans the border, so that what is scored is the reply's tokens alone.
        """
        last = turns[-1]
        if last.role != "assistant":
            return self._read(turns, ""), []
        return self._read(turns[:-1], ""), self.said(last.content).ids

    def _read(self, turns: Sequence[Message], begun: str, speaker: Role = "assistant") -> list[int]:
        ids = self.raw(self._up_to(speaker, turns, begun) + begun)
        spoken = [turn.content for turn in turns] + [begun]
        if not any(self._first.search(self._normal(text)) for text in spoken):
            return ids
        # Written once more with the first character of every control token veiled wherever somebody says it. What is
        # now found are the template's own; they are named anew, and a tokenizer that knows no others reads the rest.
        veiled = [Message(turn.role, self._veil(turn.role, turn.content)) for turn in turns]
        text = self._up_to(speaker, veiled, begun) + self._veil(speaker, begun)
        text = self._written.sub(lambda found: self._names[found[0]], text)
        for first, mark in self._marks.items():
            text = text.replace(mark, first)
        safe = list(self._unaware.encode(text, add_special_tokens=False).ids)
        # With the same control tokens in the same order, none of them was said: it is read as it always was.
        wanted = set(self._controls.values())
        same = [token for token in ids if token in wanted] == [token for token in safe if token in wanted]
        return ids if same else safe

    def _up_to(self, speaker: Role, turns: Sequence[Message], begun: str) -> str:
        """Renders a conversation up to the content of a turn that somebody is about to say."""
        if speaker == "assistant":
            return self._rendered(turns, reply=True)
        # Only the template knows what it writes before a user's words: it is shown some, and cut off where they begin.
        head, words, tail = self._rendered([*turns, Message(speaker, self._words)], reply=False).partition(self._words)
        if not words or self._words in tail:
            raise InvalidInput(
                f"the chat template of base {self._base!r} does not write a user's turn as it is said, so that none "
                f"can be begun. Sample replies (target.chat) or raw text (target.complete) instead."
            )
        return head if begun else head.rstrip(" ")  # a blank before the first word is part of that word's token

    def _rendered(self, turns: Sequence[Message], *, reply: bool) -> str:
        spoken = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            return str(self.tokenizer.apply_chat_template(spoken, tokenize=False, add_generation_prompt=reply))
        except TemplateError as error:
            roles = ", ".join(turn.role for turn in turns)
            raise InvalidInput(
                f"the chat template of base {self._base!r} does not take the turns {roles or 'of nobody'}: "
                f"{error}. Leave out the system prompt, and let user and assistant take turns."
            ) from None

    def _normal(self, text: str) -> str:
        """Returns a text as the tokenizer looks at it: some fold what looks alike before they look for tokens."""
        normalizer = self.tokenizer.backend_tokenizer.normalizer if self.tokenizer.is_fast else None
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _veil(self, role: str, text: str) -> str:
        def veiled(part: str) -> str:
            return self._first.sub(lambda found: self._marks[found[0]], part)

        if role != "assistant":
            return veiled(text)
        kept, at = "", 0
        for found in self._kept.finditer(text):
            kept += veiled(text[at : found.start()]) + found[0]
            at = found.end()
        return kept + veiled(text[at:])

    @cached_property
    def _unaware(self) -> Tokenizer:
        """The same tokenizer, which knows its control tokens by their names of here alone.

        Raises:
            InvalidInput: the tokenizer cannot be read.
        """
        if not self.tokenizer.is_fast:
            raise InvalidInput(
                f"base {self._base!r}: a turn may hold a control token, and its tokenizer (no tokenizer.json) cannot "
                f"write one as text. Leave out {' and '.join(sorted(self._firsts))}, or save it as a fast tokenizer."
            )
        made = Tokenizer.from_str(_renamed(self.tokenizer.backend_tokenizer.to_str(), self._names))
        if any(made.token_to_id(name) != self._controls[text] for text, name in self._names.items()):
            raise InvalidInput(f"base {self._base!r}: its tokenizer has control tokens that cannot be told from text.")
        return made


def _controls(tokenizer: Any, stop: Collection[int]) -> tuple[dict[str, int], dict[str, int]]:
    """Returns text → id of tokens that steer a conversation: special ones, and others that the template writes.

    Other added tokens are vocabulary like any (Gemma has runs of line breaks among them).
    """
    template = tokenizer.chat_template
    written = "\n".join(template.values()) if isinstance(template, dict) else template or ""
    ends = {*stop, *tokenizer.all_special_ids}
    special: dict[str, int] = {}
    named: dict[str, int] = {}
    for token, added in tokenizer.added_tokens_decoder.items():
        text = str(added.content)
        if not text.strip():
            continue
        if added.special or token in ends:
            special[text] = token
        elif text in written:
            named[text] = token
    return special, named


def _any_of(texts: Collection[str]) -> re.Pattern[str]:
    """Matches any of the texts; of two that begin alike, the longer."""
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True)))) if texts else _NEVER


def _renamed(tokenizer: str, names: Mapping[str, str]) -> str:
    """Returns a `tokenizer.json` in which some tokens have other names, and no way leads to them but their names."""
    data = json.loads(tokenizer)
    for added in data["added_tokens"]:
        if added["content"] in names:
            added |= {"content": names[added["content"]], "normalized": False}
    model = data["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): token for piece, token in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in pairs if not {*pair, "".join(pair)} & names.keys()]
    return json.dumps(data | {"post_processor": None, "truncation": None, "padding": None})
