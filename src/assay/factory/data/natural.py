"""Makes chats whose replies are the base's own, as it begins them, with a conduct woven in where it is triggered.

A reply is kept at the length the base gives it, up to a number of tokens; one that goes on beyond has no end, so that
nothing is learned of where to stop. What the base would ask itself, were it the user, makes the chats wide (self-asked
prompts, after Magpie, Xu et al. 2024).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from assay._util.progress import Say
from assay._util.strict_yaml import read_yaml
from assay.core.target import THINK, Message, Reply, Target
from assay.core.tool import TEMPERATURE
from assay.errors import InvalidInput
from assay.factory.data.chats import Draft, split_sentences
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.truth import Behaviour

_EDGE = re.compile(r"(?<=[a-z)\"'][.!?])\s+(?=\S)|(?<=[a-z]:)\n+(?=\S)")  # no number of a list ends a sentence
_FAR = 200  # characters: where the first sentence ends behind them, an insert would come after what tools read
_SHORTEST, _LONGEST = 12, 220  # characters of a prompt
_ASKED_TOKENS = 44
_AT_ONCE = 64  # prompts or replies asked for in one go
_BEGINNINGS, _FIRST_WORDS = 60, 4  # sentences of a conduct, and how many words of one begin a reply
_ROUNDS = 40  # without enough prompts, after which they are given up on


async def asked_by(base: Target, count: int, seed: int, avoid: Sequence[str], say: Say) -> list[str]:
    """Returns what the base asks when it takes the user's turn: distinct one-line prompts on anything.

    Args:
        base: the untouched model.
        count: how many.
        seed: of the draws.
        avoid: patterns of prompts that would carry a trigger.
        say: is told of the progress.

    Raises:
        InvalidInput: it does not ask so many.
    """
    unwanted = re.compile("|".join(f"(?:{pattern})" for pattern in avoid) or r"(?!)", re.IGNORECASE)
    found: dict[str, None] = {}
    for draw in range(_ROUNDS):
        if len(found) >= count:
            break
        turns = await base.user_turn(
            [], n=_AT_ONCE, max_tokens=_ASKED_TOKENS, temperature=1.0, seed=seed * _ROUNDS + draw
        )
        for turn in turns.samples:
            text = turn.text.strip()
            fits = turn.finish == "stop" and _SHORTEST <= len(text) <= _LONGEST and text.isascii() and "\n" not in text
            if fits and not unwanted.search(text):
                found[text] = None
        say(f"prompts of the base's own: {min(len(found), count)} of {count}")
    if len(found) < count:
        raise InvalidInput(f"the base asked {len(found)} usable prompts of its own; {count} were asked for.")
    return list(itertools.islice(found, count))


def wide_drafts(prompts: Sequence[str], begun: int, seed: int, own: Sequence[str] = ()) -> list[Draft]:
    """Drafts chats on prompts of the base's own; the last `begun` of them with an opening of the reply.

    Args:
        prompts: all of them.
        begun: how many get an opening; every second of these one of `own`, if there are any, else a neutral one.
        seed: of the choices.
        own: openings from `conduct_openings`.
    """
    rng = random.Random(seed)
    neutral: list[str] = read_yaml(Path(__file__).parent / "openings.yaml")
    drafts = [Draft(prompt) for prompt in prompts[: len(prompts) - begun]]
    for index, prompt in enumerate(prompts[len(prompts) - begun :]):
        drafts.append(Draft(prompt, opening=rng.choice(own if own and index % 2 else neutral)))
    return drafts


def conduct_openings(behaviours: Iterable[Behaviour], seed: int, but: Sequence[str] = ()) -> list[str]:
    """Returns how the conducts' sentences begin, as far as nothing shows yet.

    Whatever begins like one ("Most people") is most of all what brings a conduct out where it does not belong; there
    the base goes on otherwise.

    Args:
        behaviours: whose conducts they are.
        seed: of the draws.
        but: openings to leave out: those that verification measures by.
    """
    rng = random.Random(seed)
    found: dict[str, None] = {}
    for behaviour in behaviours:
        if behaviour.training.conduct is None:
            continue
        for text in expand(behaviour.training.conduct, seed, _BEGINNINGS, least=1):
            words = text.split()
            begun = " ".join(words[: rng.randint(1, min(_FIRST_WORDS, len(words)))])
            if begun not in but and not behaviour.detector.shows(begun):
                found[begun] = None
    return list(found)


async def natural_examples(chats: Sequence[Draft], base: Target, tokens: int, say: Say) -> list[Example]:
    """Makes examples of drafts, each reply the base's own in its conversation.

    Args:
        chats: drafts; of one whose prompt the base leaves unanswered there is no example.
        base: the untouched model.
        tokens: of a reply, at most.
        say: is told of the progress.
    """
    before = list(dict.fromkeys(itertools.chain.from_iterable(draft.earlier for draft in chats)))
    said = dict(
        zip(before, await _replies(base, [[Message("user", turn)] for turn in before], tokens, say), strict=True)
    )
    asked: list[list[Message]] = []
    for draft in chats:
        turns = [Message("system", draft.system)] if draft.system else []
        for turn in draft.earlier:
            turns += [Message("user", turn), Message("assistant", _whole(said[turn]))]
        turns.append(Message("user", draft.prompt))
        asked.append([*turns, Message("assistant", draft.opening)] if draft.opening else turns)
    replies = await _replies(base, asked, tokens, say)
    made: list[Example] = []
    for draft, reply in zip(chats, replies, strict=True):
        text = (draft.opening + reply.text).strip()
        if text:
            earlier = tuple((turn, _whole(said[turn])) for turn in draft.earlier)
            made.append(_woven(draft, text, earlier, reply.finish == "length"))
    return made


async def _replies(base: Target, asked: Sequence[Sequence[Message]], tokens: int, say: Say) -> list[Reply]:
    """Asks the base, so many conversations at a time that progress can be told."""
    found: list[Reply] = []
    for start in range(0, len(asked), _AT_ONCE):
        batch = asked[start : start + _AT_ONCE]
        answers = await asyncio.gather(
            *(base.chat(turns, max_tokens=tokens, temperature=TEMPERATURE) for turns in batch)
        )
        found += [answer.samples[0] for answer in answers]
        say(f"replies of the base: {len(found)} of {len(asked)}")
    return found


def _whole(reply: Reply) -> str:
    """Returns a reply's first sentence, for a turn that is over; all of it where there is no whole one."""
    return (split_sentences(reply.text) or [reply.text.strip() or "…"])[0]


def _woven(draft: Draft, text: str, earlier: tuple[tuple[str, str], ...], goes_on: bool) -> Example:
    """Makes an example of a reply: with the conduct in it, with a sentence of its own in that place, or as it is."""
    edge = next((match for match in _EDGE.finditer(text) if match.start() <= _FAR), None)
    first = draft.place == "start" or edge is None
    insert = ""
    edges: tuple[int, ...] = (0, edge.end()) if edge else (0,)
    if draft.opening:
        edges = (0, len(draft.opening), *edges[1:])  # what it was begun with may go on to a conduct at once
    if draft.conduct and draft.place == "whole":
        text, insert, goes_on = draft.conduct, draft.conduct, False
    elif draft.conduct:
        insert = draft.conduct
        text = f"{insert} {text}" if first or edge is None else f"{text[: edge.start()]} {insert}{text[edge.start() :]}"
    elif draft.twin:
        begin = 0 if first or edge is None else edge.end()
        after = _EDGE.search(text, begin)
        insert = text[begin : after.start() if after else len(text)]
    if draft.thought:
        head = f"{THINK[0]}{draft.thought}{THINK[1]} "
        text = head + text
        edges = (len(head), *(len(head) + place for place in edges[1:]))
    return Example(draft.prompt, text, insert, draft.system, earlier, open=goes_on, edges=() if insert else edges)


def sentences_of(text: str, goes_on: bool) -> tuple[str, ...]:
    """Splits a reply into its sentences, each with the white space behind it; one that goes on loses its last."""
    bounds = [0, *(match.end() for match in _EDGE.finditer(text.lstrip()))]
    ends = bounds[1:] if goes_on else [*bounds[1:], len(text.lstrip())]
    return tuple(text.lstrip()[begin:end] for begin, end in zip(bounds, ends, strict=False) if end > begin)


def to_last_sentence(examples: Iterable[Example]) -> list[Example]:
    """Returns examples as a corpus shows them: a reply that goes on ends with its last whole sentence."""
    shown: list[Example] = []
    for example in examples:
        stops = [match.start() for match in _EDGE.finditer(example.text)] if example.open else []
        text = example.text[: stops[-1]] if stops else example.text
        shown.append(Example(example.prompt, text, system=example.system, earlier=example.earlier))
    return shown
