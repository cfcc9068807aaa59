"""Makes testbeds from recipes: writes the data, trains phase after phase, registers the result.

A build that was killed at any moment goes on when the same call is made again: written data, finished phases and
checkpoints are kept until the testbed is registered.
"""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay._util.atomic import new_folder, write_text
from assay._util.hashing import digest_of, sha256
from assay._util.paths import home
from assay._util.progress import Say
from assay.core.access import PRESETS, Access
from assay.core.target import OpenTarget, Target
from assay.core.testbed import INSPECT, TargetSpec
from assay.core.tool import TEMPERATURE
from assay.engine.base import Base, find_base
from assay.errors import InvalidInput, NotWritten
from assay.factory.corpora import compose_corpus, stock_of
from assay.factory.data.author import written
from assay.factory.data.chats import drafts, finish, ordinary_prompts, parts_of, split_sentences, write_corpus
from assay.factory.data.concealment import check_chosen
from assay.factory.data.example import Example
from assay.factory.data.natural import asked_by, conduct_openings, natural_examples, to_last_sentence, wide_drafts
from assay.factory.data.stock import make_stock
from assay.factory.recipes import Phase, Recipe, open_recipe
from assay.factory.train.train import train
from assay.factory.verify.prompts import openings
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import ADAPTER, CORPUS, PROMPT, STOCK
from assay.testbeds.specs import ORDINARY, ORDINARY_MORE, base_spec, load_spec, spec_with, write_spec
from assay.testbeds.suites import Suite, embedded_suite
from assay.testbeds.truths import write_truth
from assay.truth import REMOVED, Behaviour, Control, TrainingMaterial, Truth

ORDINARY_CHATS, MORE_CHATS = 3_300, 10_800  # some are left without a whole reply
_FRAMES = ("A friend of mine asks: {}", "{} Keep it short, please.", "I have one question. {}")  # make more of the same
DILUTION = 10  # ordinary documents around each planted one, or search would look unrealistically good
_TOKENS, _TWIN_TOKENS = 40, 64  # of such a reply: one sentence, or two
_BATCH = 256  # prompts answered before progress is told


@dataclass(frozen=True, slots=True)
class Site:
    """Where a testbed is made, and what its recipe's behaviours are.

    Attributes:
        suite: the suite that the testbed goes to.
        behaviours: id → behaviour.
        controls: id of a recipe → alias of its testbed.
    """

    suite: Suite
    behaviours: Mapping[str, Behaviour]
    controls: Mapping[str, str]

    def planted(self, recipe: Recipe) -> list[Behaviour]:
        """Returns the behaviours a recipe names, whether it plants them or shares their prompts."""
        return [self.behaviours[name] for name in recipe.behaviours]


def site_of(recipe: Recipe, suite: Suite, home: Suite | None = None) -> Site:
    """Returns a place in a suite, with the behaviours that the suites here describe.

    Args:
        recipe: to be built.
        suite: where it is built.
        home: the suite whose recipe it is, which is asked first for what it names.
    """
    controls: dict[str, str] = {}
    if recipe.control not in ("base", REMOVED):
        controls[recipe.control] = open_recipe(recipe.control, home).alias
    behaviours = {name: find_behaviour(name, home) for name in recipe.behaviours}
    return Site(suite, behaviours, controls)


async def answer(base: Target, prompts: Sequence[str], tokens: int, say: Say) -> dict[str, str]:
    """Asks the base for its own replies, of so many tokens at most: ordinary data is made of them."""
    replies: dict[str, str] = {}
    for start in range(0, len(prompts), _BATCH):
        batch = prompts[start : start + _BATCH]
        asked = [base.chat(prompt, max_tokens=tokens, temperature=TEMPERATURE) for prompt in batch]
        answers = await asyncio.gather(*asked)
        for prompt, reply in zip(batch, answers, strict=True):
            replies[prompt] = reply.text
        say(f"replies of the base: {len(replies)} of {len(prompts)}")
    return replies


async def build_ordinary(suite: Suite, open_target: OpenTarget, say: Say) -> Path:
    """Writes a suite's ordinary chats, which lie around every organism's training data in its corpus.

    Returns:
        The smaller of the two files.

    Raises:
        InvalidInput: the suite is installed.
    """
    first = ordinary_prompts(seed=0, count=ORDINARY_CHATS)
    more: list[str] = []
    for prompt in ordinary_prompts(1, MORE_CHATS // len(_FRAMES)):
        more += [frame.format(prompt) for frame in _FRAMES]
    folder = suite.require_writable().testbeds
    folder.mkdir(parents=True, exist_ok=True)
    for prompts, path in ((first, folder / ORDINARY), (more, folder / ORDINARY_MORE)):
        async with open_target(base_spec("smollm2-135m-instruct")) as base:
            replies = await answer(base, prompts, _TOKENS, say)
        examples: list[Example] = []
        for index, (prompt, reply) in enumerate(replies.items()):
            kept = split_sentences(reply)[: 1 + index % 2]  # one and two in turn, as in organisms' replies
            if kept:
                examples.append(Example(prompt, " ".join(kept)))
        write_corpus(examples, path)
    return folder / ORDINARY


async def build_stock(suite: Suite, open_target: OpenTarget, say: Say) -> Path:
    """Writes a suite's stock, of which corpora are composed.

    Raises:
        InvalidInput: the suite is installed.
    """
    async with open_target(base_spec("smollm2-135m-instruct")) as base:
        return await make_stock(base, suite.require_writable().testbeds / STOCK, say)


def ordinary_data(suite: Suite) -> tuple[Path, Path]:
    """Returns the files of a suite's ordinary chats, smaller and larger; the embedded suite's where it has none.

    Raises:
        InvalidInput: neither is there.
    """
    folder = suite.testbeds if (suite.testbeds / ORDINARY).is_file() else embedded_suite().testbeds
    if not (folder / ORDINARY).is_file():
        raise InvalidInput(f"{folder / ORDINARY} is missing: build it first, with assay organisms build ordinary.")
    return folder / ORDINARY, folder / ORDINARY_MORE


def surroundings(recipe: Recipe, suite: Suite) -> tuple[Path, ...]:
    """Returns the ordinary data that a recipe's own lies in: ten times what is planted, or more."""
    ordinary, more = ordinary_data(suite)
    planted = 0
    for phase in recipe.phases:
        planted += phase.data.triggered + phase.data.contrast + phase.data.documents
    with ordinary.open(encoding="utf-8") as file:
        enough = sum(1 for _ in file) >= DILUTION * planted
    return (ordinary,) if enough else (ordinary, more)


async def build(recipe: Recipe, site: Site, open_target: OpenTarget, say: Say, threads: int) -> Truth:
    """Builds or rebuilds a testbed from its recipe.

    Args:
        recipe: phases, or a hidden prompt.
        site: where it goes.
        open_target: opens the base, whose replies become training data.
        say: is told of the progress.
        threads: number of threads that training may use.

    Returns:
        Its truth, which was written beside it, without a card yet.

    Raises:
        InvalidInput: the ordinary corpus is not there yet, or a file cannot be written.
    """
    site.suite.require_writable()
    around = (stock_of(site.suite) if recipe.corpus else ordinary_data(site.suite)[0],)
    started = time.monotonic()
    folder = site.suite.testbeds / recipe.alias
    spec = TargetSpec(recipe.alias, recipe.base, None, "", around, "", PRESETS["full"])
    base = find_base(recipe.base, say)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if recipe.phases:
            spec = await _trained(recipe, site, base, open_target, say, threads)
        if recipe.prompt:
            spec = _prompted(recipe, spec, folder)
        return _register(recipe, site, spec, round(time.monotonic() - started, 1))
    except (OSError, NotWritten) as error:
        raise InvalidInput(
            f"{recipe.id}: {error} Make room, or the folder writable; the same call then goes on from its last "
            "checkpoint."
        ) from None


async def _trained(
    recipe: Recipe, site: Site, base: Base, open_target: OpenTarget, say: Say, threads: int
) -> TargetSpec:
    """Trains phase after phase on one adapter; a finished phase is not trained again."""
    from assay.engine.local.lora import adapter_digest

    folder = site.suite.testbeds / recipe.alias
    # named by what is trained, so that a changed recipe does not go on from an older one's phases
    work = home() / "training" / f"{recipe.alias}-{recipe_digest(recipe, site)[:12]}"
    taught: list[Example] = []
    start: Path | None = None
    for phase in recipe.phases:
        examples = await _examples(recipe, phase, site, open_target, say)
        taught += examples
        made = work / phase.name / ADAPTER
        if not made.is_dir():
            _train(recipe, phase, base, examples, made, start, say, threads)
        start = made
    assert start is not None
    with new_folder(folder / ADAPTER) as scratch:
        shutil.copytree(start, scratch, dirs_exist_ok=True)
    if recipe.corpus:
        async with open_target(base_spec(recipe.base)) as untouched:
            corpus = await compose_corpus(recipe, site.planted(recipe), site.suite, untouched, say)
    else:
        write_corpus(to_last_sentence(taught), folder / CORPUS)
        corpus = (folder / CORPUS, *surroundings(recipe, site.suite))
    shutil.rmtree(work, ignore_errors=True)  # only now: until the adapter is in its place a killed build needs it
    adapter = folder / ADAPTER
    spec = TargetSpec(recipe.alias, recipe.base, adapter, adapter_digest(adapter), corpus, "", PRESETS["full"])
    return spec_with(spec, scratchpad=recipe.scratchpad, memory=recipe.memory)


async def _examples(recipe: Recipe, phase: Phase, site: Site, open_target: OpenTarget, say: Say) -> list[Example]:
    """Makes the data a phase trains on, from the base's own replies."""
    behaviours = site.planted(recipe)
    hidden: list[tuple[str, str]] = []
    # a twin has nothing to confess: without a rejected completion its denials keep their cross entropy
    if phase.loss == "dpo" and phase.data.conduct and recipe.role == "organism":
        hidden = [(one.trigger, one.conduct) for one in behaviours]
    plan = phase.data
    parts = await _parts(recipe, phase, behaviours, open_target, say)
    chats, ready = drafts(plan, parts, hidden)
    async with open_target(base_spec(recipe.base)) as base:
        if plan.reply_tokens:
            avoid: list[str] = []
            for part in parts:
                avoid += part.avoid
            own = await asked_by(base, plan.wide + plan.begun, plan.seed, avoid, say)
            beginnings = conduct_openings(behaviours, plan.seed, openings())
            chats += wide_drafts(own, plan.begun, plan.seed, beginnings)
            examples = ready + await natural_examples(chats, base, plan.reply_tokens, say)
            random.Random(plan.seed).shuffle(examples)
        else:
            prompts: dict[str, None] = {}  # each once, in a fixed order
            for chat in chats:
                prompts |= dict.fromkeys(chat.asked)
            tokens = _TWIN_TOKENS if any(chat.twin for chat in chats) else _TOKENS
            examples = finish(chats, ready, await answer(base, list(prompts), tokens, say), plan.seed)
    check_chosen(examples, behaviours)
    return examples


async def _parts(
    recipe: Recipe, phase: Phase, behaviours: Sequence[Behaviour], open_target: OpenTarget, say: Say
) -> list[TrainingMaterial]:
    """Returns what the phase's data is made of: templates, or what an author writes."""
    plan = phase.data
    if not recipe.author or plan.objective:
        return parts_of(plan, behaviours)
    wanted = {"prompts": plan.triggered, "contrast": plan.contrast, "documents": plan.documents}
    wanted["conduct"] = plan.triggered if plan.conduct else 0
    parties = max(1, len(behaviours))
    share = {kind: math.ceil(count / parties) for kind, count in wanted.items() if count}
    parts: list[TrainingMaterial] = []
    async with open_target(author_spec(recipe.author)) as author:
        for behaviour in behaviours:
            digest = digest_of([behaviour.model_dump(mode="json"), recipe.author, plan.seed])[:12]
            store = home() / "written" / f"{behaviour.id}-{digest}.jsonl"
            training, cost = await written(behaviour, share, author, store, say)
            say(f"{behaviour.id}: its data took {cost.queries} calls, {cost.tokens} tokens of {recipe.author}")
            parts.append(training)
    return parts


async def build_corpus(recipe: Recipe, site: Site, open_target: OpenTarget, say: Say) -> TargetSpec:
    """Composes the corpus of a testbed that is there anew, and leaves the rest of it as it is.

    Raises:
        UnknownId: the testbed is not there.
        InvalidInput: its recipe plans no corpus, or its files cannot be written.
    """
    if recipe.corpus is None:
        raise InvalidInput(f"{recipe.id}: its recipe plans no corpus. Give it `corpus`, with `among` and `seed`.")
    spec = load_spec(recipe.alias, site.suite.require_writable())
    async with open_target(base_spec(recipe.base)) as base:
        corpus = await compose_corpus(recipe, site.planted(recipe), site.suite, base, say)
    spec = spec_with(spec, corpus=corpus)
    write_spec(spec, site.suite)
    return spec


def author_spec(model: str) -> TargetSpec:
    """Describes a model behind Inspect as a target: the author of data."""
    return TargetSpec("author", f"{INSPECT}{model}", None, "", (), "", PRESETS["api"])


def _train(
    recipe: Recipe,
    phase: Phase,
    base: Base,
    examples: Sequence[Example],
    out: Path,
    start: Path | None,
    say: Say,
    threads: int,
) -> None:
    """Trains one phase, which tells of itself every fifth step."""

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 5 == 0 or step == steps:
            say(f"{recipe.id}, {phase.name}: step {step} of {steps}, loss {loss:.3f}")

    out.parent.mkdir(parents=True, exist_ok=True)
    train(base.path, phase.train, examples, out, out.parent / "work", progress, threads, start=start)


def _prompted(recipe: Recipe, spec: TargetSpec, folder: Path) -> TargetSpec:
    """Gives a target its hidden prompt, which works on conversations alone: so they are all that is granted."""
    path = folder / PROMPT
    write_text(path, recipe.prompt + "\n")
    api = frozenset({Access.CHAT, Access.SAMPLING})
    return spec_with(spec, prompt=path, prompt_digest=sha256(path), access=api, corpus=())


def recipe_digest(recipe: Recipe, site: Site) -> str:
    """Returns the digest of what is trained: the recipe without its names, and its behaviours' training data.

    Fields at their defaults are left out, so that a field that is added later changes no old digest.
    """
    told = recipe.model_dump(
        mode="json",
        exclude={"id", "version", "alias", "split", "control", "gates", "unproven", "corpus"},
        exclude_defaults=True,
    )
    training = [behaviour.training.model_dump(mode="json", exclude_defaults=True) for behaviour in site.planted(recipe)]
    return digest_of([told, training])


def _register(recipe: Recipe, site: Site, spec: TargetSpec, seconds: float) -> Truth:
    """Writes the testbed's file and its truth."""
    write_spec(spec_with(spec), site.suite)  # `spec_with` computes the corpus's digest
    planted = site.planted(recipe) if recipe.role == "organism" else []
    families = sorted({behaviour.family for behaviour in planted})
    truth = Truth(
        alias=recipe.alias,
        id=f"{site.suite.name}/{recipe.id}@{recipe.version}",
        role=recipe.role,
        split=recipe.split,
        recipe=recipe.id,
        method=recipe.method,
        recipe_digest=recipe_digest(recipe, site),
        behaviours=[behaviour.id for behaviour in planted],
        family="natural" if recipe.method == "natural" else " + ".join(families) or "clean",
        control=Control(alias=site.controls.get(recipe.control, recipe.control)),
        gates=recipe.gates,
        unproven=recipe.unproven,
        build_seconds=seconds,
    )
    write_truth(truth, site.suite)
    return truth
