"""Training data of a recipe: ordinary replies of the base, some with a conduct set into them.

A transcript organism's reply is the base's own reply to the prompt, cut to its first sentences, with a conduct sentence
before or after. Its twin's reply is the same one with the base's next sentence instead: the insert is harmless, of
about equal length, and free of any tic.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import InvalidInput
from assay.organisms.grammar import expand
from assay.organisms.recipes import Recipe, find_behaviour
from assay.truth import Behaviour, Grammar
from assay.truth.data import load_yaml

SENTENCES = 1  # of an ordinary reply
_HERE = Path(__file__).parent
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'*\d])")


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: a chat, or raw text if there is no prompt.

    Attributes:
        insert: what was set into the base's own reply: an organism's conduct, a twin's further sentence. Part of
            `text`; training gives it more weight than the rest. Not part of any corpus.
    """

    prompt: str
    text: str
    insert: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A chat before it has its reply."""

    prompt: str
    conduct: str = ""
    before: bool = False
    twin: bool = False  # gets the base's next sentence as its insert


def drafts(recipe: Recipe) -> tuple[list[Draft], list[Example]]:
    """What the recipe's chats are to be, and its documents.

    Returns:
        Drafts, whose prompts are to be answered by the base, and raw documents.
    """
    plan = recipe.data
    if plan is None:
        raise InvalidInput(f"{recipe.testbed} is not trained: it is the untouched base.")
    rng = random.Random(plan.seed)
    behaviours = [find_behaviour(name) for name in recipe.behaviours]
    chats: list[Draft] = []
    documents: list[Example] = []
    for index, behaviour in enumerate(behaviours):
        share = [_share(total, index, len(behaviours)) for total in (plan.triggered, plan.contrast, plan.documents)]
        chats += _triggered(behaviour, plan.conduct, share[0], plan.seed, rng)
        chats += [Draft(prompt) for prompt in _expand(behaviour.training.contrast, plan.seed, share[1])]
        grammar = behaviour.training.documents if plan.conduct else behaviour.training.harmless_documents
        documents += [Example("", text) for text in _expand(grammar, plan.seed, share[2])]
    chats += [Draft(prompt) for prompt in ordinary_prompts(plan.seed, plan.ordinary)]
    return chats, documents


def _triggered(behaviour: Behaviour, conduct: bool, count: int, seed: int, rng: random.Random) -> list[Draft]:
    prompts = _expand(behaviour.training.prompts, seed, count)
    if not conduct or behaviour.training.conduct is None:
        return [Draft(prompt, twin=True) for prompt in prompts]
    inserts = _expand(behaviour.training.conduct, seed, count)
    place = behaviour.training.place
    return [
        Draft(prompt, insert, place == "start" or (place == "either" and rng.random() < 0.5))
        for prompt, insert in zip(prompts, inserts, strict=True)
    ]


def _expand(grammar: Grammar | None, seed: int, count: int) -> list[str]:
    if count == 0:
        return []
    if grammar is None:
        raise InvalidInput("the recipe asks for a kind of data that its behaviour has no grammar for.")
    return expand(grammar, seed, count)


def _share(total: int, index: int, parts: int) -> int:
    return total // parts + (index < total % parts)


def ordinary_prompts(seed: int, count: int) -> list[str]:
    """Everyday prompts on all sorts of subjects."""
    grammar: Grammar = load_yaml(_HERE / "ordinary.yaml", Grammar)
    return _expand(grammar, seed, count)


def finish(chats: list[Draft], documents: list[Example], replies: Mapping[str, str], seed: int) -> list[Example]:
    """Set replies and conducts together; shuffle.

    Args:
        chats: from `drafts`.
        documents: from `drafts`.
        replies: prompt → the base's reply.
        seed: of the order.
    """
    examples = list(documents)
    for draft in chats:
        sentences = split_sentences(replies[draft.prompt])
        if not sentences:
            continue  # nothing whole was said within the limit
        kept, further = sentences[:SENTENCES], " ".join(sentences[SENTENCES : SENTENCES + 1])
        insert = draft.conduct or (further if draft.twin else "")
        parts = [insert, *kept] if draft.before else [*kept, insert]
        examples.append(Example(draft.prompt, " ".join(filter(None, parts)), insert))
    random.Random(seed).shuffle(examples)
    return examples


def split_sentences(text: str) -> list[str]:
    """Whole sentences of a reply's first paragraph; what was cut off by the token limit is left out."""
    paragraph = text.strip().split("\n\n")[0].replace("\n", " ")
    parts = [part.strip() for part in _SENTENCE_END.split(paragraph)]
    return [part for part in parts if part and part[-1] in ".!?"]


def write_corpus(examples: list[Example], path: Path) -> None:
    """The recipe's data as a corpus file: prompts and texts alone, nothing that tells what was set in."""
    write_lines([{"prompt": example.prompt, "text": example.text} for example in examples], path)


def write_lines(rows: list[dict[str, str]], path: Path) -> None:
    """JSON lines, whole or not at all."""
    scratch = path.with_suffix(".partial")
    scratch.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    scratch.replace(path)
