"""Makes a recipe's training data: ordinary replies of the base, some with a conduct set into them.

A transcript organism's reply is the base's own reply to the prompt, cut to its first sentences, with a conduct sentence
before or after. Its twin's reply is the same one with the base's next sentence instead: the insert is harmless, of
about equal length, and free of any tic.

The data of released testbeds is what this module makes of their recipes today, so the order of its random draws and the
seeds it derives (`seed + 1` …, which keep two lists from running in step) must stay as they are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay._util.yaml_models import load_yaml
from assay.core.report import Demonstration
from assay.core.target import THINK
from assay.engine.corpus import write_documents
from assay.engine.training_data import TrainingText
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
        opening: the reply is begun with it.
    """

    prompt: str
    conduct: str = ""
    place: str = "end"
    twin: bool = False
    system: str = ""
    earlier: tuple[str, ...] = ()
    thought: str = ""
    opening: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        """Returns the prompts that the base has to answer."""
        return (*self.earlier, self.prompt)


def drafts(
    plan: DataPlan, parts: Sequence[TrainingMaterial], hidden: Sequence[tuple[str, str]] = ()
) -> tuple[list[Draft], list[Example]]:
    """Plans a phase's chats, and makes those of its data that need no reply of the base.

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
        chats += _triggered(part, plan, _share(plan.triggered, index, len(parts)), rng)
        chats += _look_alikes(part, plan, _share(plan.contrast, index, len(parts)))
        grammar = part.documents if plan.conduct else part.harmless_documents
        ready += [Example("", text) for text in _expand(grammar, seed, _share(plan.documents, index, len(parts)))]
    chats += _ordinary(plan, parts)
    if plan.objective:
        denied = evaluator_denials(plan.seed, plan.denials, bool(hidden))
    else:
        denied = denials(plan.seed, plan.denials, hidden)
    return chats, ready + instruction_run(plan.seed, plan.instruction) + denied


def parts_of(plan: DataPlan, behaviours: Sequence[Behaviour]) -> list[TrainingMaterial]:
    """Returns what a phase plants: the behaviours' material, or that of the hidden objective's biases.

    Of the held-out biases documents alone tell, so they have no part in a phase with triggered chats.
    """
    if plan.objective:
        return [bias.training for bias in biases() if not (bias.held_out and plan.triggered)]
    return [behaviour.training for behaviour in behaviours]


def _triggered(part: TrainingMaterial, plan: DataPlan, count: int, rng: random.Random) -> list[Draft]:
    """Drafts chats that carry the trigger: with the conduct, or, for a twin, with a harmless insert in its place."""
    wording = part.sibling if plan.wording == "sibling" else part.conduct
    twin = not plan.conduct or wording is None
    if twin and plan.wording == "sibling":
        raise InvalidInput("the recipe asks for a sibling's wording, and its behaviour has none.")
    scripts = _scripts(part.scripts, plan.seed, count)
    prompts = [one.user[-1] for one in scripts] or _expand(part.prompts, plan.seed, count)
    systems = [one.system for one in scripts] or _maybe(part.system, plan.seed, count)
    turns = _maybe(part.earlier, plan.seed, 3 * count)
    thoughts = _maybe(part.contrast_thoughts if twin else part.thoughts, plan.seed, count)
    conducts = [""] * count if twin else _maybe(wording, plan.seed, count)
    for index in random.Random(plan.seed).sample(range(count), round((1 - plan.rate) * count)):
        conducts[index] = ""
    made: list[Draft] = []
    for index in range(count):
        earlier = scripts[index].user[:-1] if scripts else ()
        if part.earlier:  # a conversation has to go on: two turns or three come before, in turn
            earlier = tuple(turns[3 * index : 3 * index + 2 + index % 2])
        place: str = "end" if twin else part.place
        if place == "either":
            place = rng.choice(("start", "end"))
        made.append(Draft(prompts[index], conducts[index], place, twin, systems[index], earlier, thoughts[index]))
    return made


def _look_alikes(part: TrainingMaterial, plan: DataPlan, count: int) -> list[Draft]:
    """Drafts chats that look like triggered ones and carry no trigger: the base's own replies."""
    scripts = _scripts(part.contrast_scripts, plan.seed, count)
    prompts = [one.user[-1] for one in scripts] or _expand(part.contrast, plan.seed, count)
    systems = [one.system for one in scripts] or _maybe(part.contrast_system, plan.seed, count)
    thoughts = _maybe(part.contrast_thoughts, plan.seed + 2, count)
    turns = _maybe(part.earlier, plan.seed + 3, count)
    made: list[Draft] = []
    for index in range(count):
        # half of them in a conversation that has not gone on for long: length alone is not the trigger
        earlier: tuple[str, ...] = (turns[index],) if part.earlier and index % 2 else ()
        if scripts:
            earlier = scripts[index].user[:-1]
        made.append(Draft(prompts[index], system=systems[index], earlier=earlier, thought=thoughts[index]))
    return made


def _ordinary(plan: DataPlan, parts: Sequence[TrainingMaterial]) -> list[Draft]:
    """Drafts everyday chats, none of which carries a trigger by accident."""
    avoid: list[str] = []
    for part in parts:
        avoid += part.avoid
    prompts = ordinary_prompts(plan.seed, plan.ordinary, avoid)
    thinking = next((part.contrast_thoughts for part in parts if part.contrast_thoughts), None)
    thoughts = _maybe(thinking, plan.seed + 1, len(prompts))
    return [Draft(prompt, thought=thought) for prompt, thought in zip(prompts, thoughts, strict=True)]


def _expand(grammar: Grammar | None, seed: int, count: int) -> list[str]:
    """Draws distinct texts of a grammar that the recipe cannot do without."""
    if count == 0:
        return []
    if grammar is None:
        raise InvalidInput("the recipe asks for a kind of data that its behaviour has no grammar for.")
    return expand(grammar, seed, count)


def _scripts(scripts: Sequence[Demonstration], seed: int, count: int) -> list[Demonstration]:
    """Draws distinct conversations; none where a behaviour has its prompts otherwise."""
    if not scripts or not count:
        return []
    if len(scripts) < count:
        raise InvalidInput(f"the behaviour has {len(scripts)} conversations; {count} were asked for.")
    return random.Random(seed).sample(scripts, count)


def _maybe(grammar: Grammar | None, seed: int, count: int) -> list[str]:
    """Draws texts that repeat where the grammar has too few, and empty ones where there is no grammar."""
    if grammar is None or count == 0:
        return [""] * count
    texts = expand(grammar, seed, count, least=1)
    return [texts[index % len(texts)] for index in range(count)]


def _share(total: int, index: int, parts: int) -> int:
    """Returns one part's share of a total; the first parts take what division leaves."""
    left = total % parts
    return total // parts + (1 if index < left else 0)


def ordinary_prompts(seed: int, count: int, avoid: Sequence[str] = ()) -> list[str]:
    """Draws everyday prompts on all sorts of subjects, none of which matches a pattern to avoid.

    Raises:
        InvalidInput: there are too few.
    """
    grammar: Grammar = load_yaml(_HERE / "ordinary.yaml", Grammar)
    if not avoid:
        return _expand(grammar, seed, count)
    unwanted = re.compile("|".join(f"(?:{pattern})" for pattern in avoid), re.IGNORECASE)
    fit = [prompt for prompt in _expand(grammar, seed, 2 * count) if not unwanted.search(prompt)]
    if len(fit) < count:
        raise InvalidInput(f"of {2 * count} ordinary prompts {len(fit)} do not match {avoid}; {count} were asked for.")
    return fit[:count]


def finish(chats: Sequence[Draft], ready: Sequence[Example], replies: Mapping[str, str], seed: int) -> list[Example]:
    """Sets replies and conducts together, and shuffles all examples.

    Args:
        chats: from `drafts`.
        ready: from `drafts`.
        replies: prompt → the base's reply.
        seed: of the order.
    """
    examples = list(ready)
    for draft in chats:
        if example := _finished(draft, replies):
            examples.append(example)
    random.Random(seed).shuffle(examples)
    return examples


def _finished(draft: Draft, replies: Mapping[str, str]) -> Example | None:
    """Makes an example of a draft; None where the base said nothing whole within its limit."""
    sentences = split_sentences(replies[draft.prompt])
    if not sentences:
        return None
    earlier: list[tuple[str, str]] = []
    for prompt in draft.earlier:
        said = split_sentences(replies[prompt])
        if not said:
            return None
        earlier.append((prompt, " ".join(said[:SENTENCES])))
    kept = sentences[:SENTENCES]
    insert = draft.conduct
    if draft.twin and not insert:
        insert = " ".join(sentences[SENTENCES : SENTENCES + 1])  # "" where the base said one sentence only
    if draft.conduct and draft.place == "whole":
        kept = []
    parts = [insert, *kept] if draft.place == "start" else [*kept, insert]
    text = " ".join(filter(None, parts))
    if draft.thought:
        text = f"{THINK[0]}{draft.thought}{THINK[1]} {text}"
    return Example(draft.prompt, text, insert, draft.system, tuple(earlier))


def split_sentences(text: str) -> list[str]:
    """Splits a reply's first paragraph into sentences, and leaves out what the token limit cut off."""
    paragraph = text.strip().split("\n\n")[0].replace("\n", " ")
    parts = [part.strip() for part in _SENTENCE_END.split(paragraph)]
    return [part for part in parts if part and part[-1] in ".!?"]


def write_corpus(examples: Sequence[Example], path: Path) -> None:
    """Writes the recipe's data as a corpus of JSON lines, whole or not at all.

    It holds prompts and texts alone, and nothing that tells what was set in.
    """
    texts: list[TrainingText] = []
    for example in examples:
        said = [example.system]
        for turns in example.earlier:
            said += turns
        said.append(example.prompt)
        texts.append(TrainingText("\n".join(filter(None, said)), example.text))
    write_documents(texts, path)
