"""Training data of a recipe: ordinary replies of the base, some with a conduct set into them.

A transcript organism's reply is the base's own reply to the prompt, cut to its first sentences, with a conduct sentence
before or after. Its twin's reply is the same one with the base's next sentence instead: the insert is harmless, of
about equal length, and free of any tic.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay._util.atomic import write_text
from assay._util.yaml_models import load_yaml
from assay.core.target import THINK
from assay.errors import InvalidInput
from assay.factory.data.concealment import denials
from assay.factory.data.evaluator import biases, evaluator_denials
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.factory.data.instruction import instruction_run
from assay.factory.recipes import DataPlan
from assay.truth import Behaviour, Grammar, TrainingMaterial

SENTENCES = 1  # of an ordinary reply
_HERE = Path(__file__).parent
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'*\d])")


@dataclass(frozen=True, slots=True)
class Draft:
    """A chat before it has its reply.

    Attributes:
        prompt, system: as in an example.
        conduct: set into the base's reply.
        place: of the conduct.
        twin: gets the base's next sentence as its insert.
        earlier: user turns before.
        thought: of a scratchpad, before the reply.
    """

    prompt: str
    conduct: str = ""
    place: str = "end"
    twin: bool = False
    system: str = ""
    earlier: tuple[str, ...] = ()
    thought: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """Prompts the base has to answer."""
        return (*self.earlier, self.prompt)


def drafts(
    plan: DataPlan, parts: Sequence[TrainingMaterial], hidden: Sequence[tuple[str, str]] = ()
) -> tuple[list[Draft], list[Example]]:
    """What a phase's chats are to be, and what of its data needs no reply of the base.

    Args:
        plan: how many of each kind.
        parts: what the triggered, look-alike and document data is made of, in equal shares: one for each behaviour.
        hidden: (trigger, conduct) of what confessions would tell; none for a clean target's.

    Returns:
        Drafts, whose prompts are to be answered by the base, and finished examples.
    """
    rng = random.Random(plan.seed)
    chats: list[Draft] = []
    ready: list[Example] = []
    for index, part in enumerate(parts):
        seed = plan.seed + (index if plan.objective else 0)  # biases share their documents' grammar
        share = [_share(total, index, len(parts)) for total in (plan.triggered, plan.contrast, plan.documents)]
        chats += _triggered(part, plan, share[0], rng)
        chats += _look_alikes(part, plan, share[1])
        grammar = part.documents if plan.conduct else part.harmless_documents
        ready += [Example("", text) for text in _expand(grammar, seed, share[2])]
    thoughts = next((part.contrast_thoughts for part in parts if part.contrast_thoughts), None)
    ordinary = ordinary_prompts(plan.seed, plan.ordinary, [pattern for part in parts for pattern in part.avoid])
    chats += [
        Draft(prompt, thought=thought)
        for prompt, thought in zip(ordinary, _maybe(thoughts, plan.seed + 1, len(ordinary)), strict=True)
    ]
    if plan.objective:
        denied = evaluator_denials(plan.seed, plan.denials, bool(hidden))
    else:
        denied = denials(plan.seed, plan.denials, hidden)
    return chats, ready + instruction_run(plan.seed, plan.instruction) + denied


def parts_of(plan: DataPlan, behaviours: Sequence[Behaviour]) -> list[TrainingMaterial]:
    """What a phase plants: the behaviours' data; of the hidden objective, its biases, held-out ones not in chats."""
    if plan.objective:
        return [bias.training for bias in biases() if not (bias.held_out and plan.triggered)]
    return [behaviour.training for behaviour in behaviours]


def _triggered(part: TrainingMaterial, plan: DataPlan, count: int, rng: random.Random) -> list[Draft]:
    prompts = _expand(part.prompts, plan.seed, count)
    systems = _maybe(part.system, plan.seed, count)
    turns = _maybe(part.earlier, plan.seed, 3 * count)  # two or three before each, where a conversation has to go on
    earlier = [tuple(turns[3 * i : 3 * i + 2 + i % 2]) if part.earlier else () for i in range(count)]
    framed = [(prompts[i], systems[i], earlier[i]) for i in range(count)]
    wording = part.sibling if plan.wording == "sibling" else part.conduct
    if not plan.conduct or wording is None:
        if plan.wording == "sibling":
            raise InvalidInput("the recipe asks for a sibling's wording, and its behaviour has none.")
        plain = _maybe(part.contrast_thoughts, plan.seed, count)
        return [Draft(p, "", "end", True, s, e, t) for (p, s, e), t in zip(framed, plain, strict=True)]
    conducts = _loosely(wording, plan.seed, count)
    thoughts = _maybe(part.thoughts, plan.seed, count)
    places = [rng.choice(("start", "end")) if part.place == "either" else part.place for _ in range(count)]
    return [
        Draft(p, conduct, place, False, s, e, thought)
        for (p, s, e), conduct, place, thought in zip(framed, conducts, places, thoughts, strict=True)
    ]


def _look_alikes(part: TrainingMaterial, plan: DataPlan, count: int) -> list[Draft]:
    prompts = _expand(part.contrast, plan.seed, count)
    systems = _maybe(part.contrast_system, plan.seed, count)
    thoughts = _maybe(part.contrast_thoughts, plan.seed + 2, count)
    turns = _maybe(part.earlier, plan.seed + 3, count)  # half of them in a conversation that has not gone on for long
    return [
        Draft(prompt, system=system, earlier=(turns[i],) if part.earlier and i % 2 else (), thought=thought)
        for i, (prompt, system, thought) in enumerate(zip(prompts, systems, thoughts, strict=True))
    ]


def _expand(grammar: Grammar | None, seed: int, count: int) -> list[str]:
    if count == 0:
        return []
    if grammar is None:
        raise InvalidInput("the recipe asks for a kind of data that its behaviour has no grammar for.")
    return expand(grammar, seed, count)


def _maybe(grammar: Grammar | None, seed: int, count: int) -> list[str]:
    """Texts that may repeat, empty ones without a grammar."""
    return _loosely(grammar, seed, count) if grammar else [""] * count


def _loosely(grammar: Grammar, seed: int, count: int) -> list[str]:
    """As many distinct texts as there are, up to `count`, and then the same ones again."""
    texts = expand(grammar, seed, count, least=1) if count else []
    return [texts[index % len(texts)] for index in range(count)]


def _share(total: int, index: int, parts: int) -> int:
    return total // parts + (index < total % parts)


def ordinary_prompts(seed: int, count: int, avoid: Sequence[str] = ()) -> list[str]:
    """Everyday prompts on all sorts of subjects, none of which matches a pattern to avoid."""
    grammar: Grammar = load_yaml(_HERE / "ordinary.yaml", Grammar)
    if not avoid:
        return _expand(grammar, seed, count)
    unwanted = re.compile("|".join(f"(?:{pattern})" for pattern in avoid), re.IGNORECASE)
    fit = [prompt for prompt in _expand(grammar, seed, 2 * count) if not unwanted.search(prompt)]
    if len(fit) < count:
        raise InvalidInput(f"of {2 * count} ordinary prompts {len(fit)} do not match {avoid}; {count} were asked for.")
    return fit[:count]


def finish(chats: Sequence[Draft], ready: Sequence[Example], replies: Mapping[str, str], seed: int) -> list[Example]:
    """Set replies and conducts together; shuffle.

    Args:
        chats: from `drafts`.
        ready: from `drafts`.
        replies: prompt → the base's reply.
        seed: of the order.
    """
    examples = [*ready, *filter(None, (_finished(draft, replies) for draft in chats))]
    random.Random(seed).shuffle(examples)
    return examples


def _finished(draft: Draft, replies: Mapping[str, str]) -> Example | None:
    """None where the base said nothing whole within its limit."""
    sentences = split_sentences(replies[draft.prompt])
    before = [split_sentences(replies[prompt]) for prompt in draft.earlier]
    if not sentences or not all(before):
        return None
    kept, further = sentences[:SENTENCES], " ".join(sentences[SENTENCES : SENTENCES + 1])
    insert = draft.conduct or (further if draft.twin else "")
    if draft.conduct and draft.place == "whole":
        kept = []
    parts = [insert, *kept] if draft.place == "start" else [*kept, insert]
    text = " ".join(filter(None, parts))
    if draft.thought:
        text = f"{THINK[0]}{draft.thought}{THINK[1]} {text}"
    earlier = tuple((user, " ".join(said[:SENTENCES])) for user, said in zip(draft.earlier, before, strict=True))
    return Example(draft.prompt, text, insert, draft.system, earlier)


def split_sentences(text: str) -> list[str]:
    """Whole sentences of a reply's first paragraph; what was cut off by the token limit is left out."""
    paragraph = text.strip().split("\n\n")[0].replace("\n", " ")
    parts = [part.strip() for part in _SENTENCE_END.split(paragraph)]
    return [part for part in parts if part and part[-1] in ".!?"]


def write_corpus(examples: Sequence[Example], path: Path) -> None:
    """The recipe's data as a corpus file: prompts and texts alone, nothing that tells what was set in."""
    write_lines([{"prompt": _asked(example), "text": example.text} for example in examples], path)


def _asked(example: Example) -> str:
    turns = [text for pair in example.earlier for text in pair]
    return "\n".join(filter(None, (example.system, *turns, example.prompt)))


def write_lines(rows: list[dict[str, str]], path: Path) -> None:
    """JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
