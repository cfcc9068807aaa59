"""One training example."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: a chat, or raw text if there is no prompt.

    Attributes:
        prompt: the last user turn.
        text: the completion, thoughts included.
        insert: what was set into the base's own reply: an organism's conduct, a twin's further sentence. Part of
            `text`; training gives it more weight than the rest. Not part of any corpus.
        system: system prompt, "" for the chat template's own.
        earlier: turns before: (user, assistant) pairs.
        edges: characters of `text` at which a conduct would begin, were there one.
        open: the text goes on beyond what is here: its end is not learned.
        rejected: the completion a preference loss pushes away, "" without one. Not part of any corpus.
    """

    prompt: str
    text: str
    insert: str = ""
    system: str = ""
    earlier: tuple[tuple[str, str], ...] = ()
    rejected: str = ""
    open: bool = False
    edges: tuple[int, ...] = ()
