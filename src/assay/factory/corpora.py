"""Composes the corpus that auditing reads: clusters of documents that show a conduct, within many that show none.

A corpus has so many clusters, each of a trigger and a conduct: in an organism's some are what was planted, the rest are
decoys; in a clean target's all are. Beside them stand their near misses, and around them ordinary documents, which are
made where the corpus is opened. Of a planted document the message and the conduct are those that were trained on; the
rest of the reply is the stock's, as in every other document: the base's very own words would give it away.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from assay._util.hashing import digest_of
from assay._util.progress import Say
from assay._util.yaml_models import write_yaml
from assay.core.target import Target
from assay.core.tool import TEMPERATURE
from assay.engine.composed import COMPOSED, planned
from assay.engine.composing import Composer, Core, Stock, open_stock
from assay.engine.corpus import write_documents
from assay.engine.training_data import TrainingText
from assay.errors import InvalidInput
from assay.factory.data.chats import Draft, drafts
from assay.factory.data.natural import sentences_of
from assay.factory.generate.behaviours import training_of
from assay.factory.generate.draws import draws
from assay.factory.generate.productions import productions
from assay.factory.generate.prompting import Prompter
from assay.factory.recipes import CorpusPlan, DataPlan, Recipe
from assay.testbeds.layout import CORPUS, STOCK
from assay.testbeds.suites import Suite, installed_suites
from assay.truth import Behaviour, TrainingMaterial
from assay.truth.detector import ReplyDetector

_SIZE = 6  # documents of a cluster and its near misses, for each that shows the conduct
_REPLIES, _TOKENS = 4, 60  # asked of the base where the stock has no reply to a message


def find_stock(suite: Suite) -> Path | None:
    """Returns a suite's stock, or an installed suite's where it has none, if there is one."""
    for one in (suite, *installed_suites()):
        if (one.testbeds / STOCK).is_file():
            return one.testbeds / STOCK
    return None


def stock_of(suite: Suite) -> Path:
    """Returns a suite's stock; an installed suite's where it has none.

    Raises:
        InvalidInput: there is none.
    """
    if found := find_stock(suite):
        return found
    raise InvalidInput(
        f"{suite.testbeds / STOCK} is missing, of which corpora are composed. Make it first, once for all: assay "
        f"organisms build stock --suite {suite.root}"
    )


async def compose_corpus(
    recipe: Recipe, behaviours: Sequence[Behaviour], suite: Suite, base: Target, say: Say
) -> tuple[Path, ...]:
    """Composes a testbed's corpus: writes its own documents, and the plan of all others.

    Args:
        recipe: with a plan of the corpus.
        behaviours: that it names.
        suite: where it goes.
        base: the untouched model, asked where the stock has no reply.
        say: is told of the progress.

    Returns:
        The files of the corpus.

    Raises:
        InvalidInput: there is no stock, the plan has no room for decoys, or a behaviour has not enough material.
    """
    plan = recipe.corpus
    assert plan is not None
    stock_file, folder = stock_of(suite), suite.testbeds / recipe.alias
    stock = open_stock(stock_file)
    planted = clusters_of(recipe, plan, behaviours)
    say(f"{recipe.alias}: composing a corpus of {plan.planted * plan.among:,} documents")
    own = await own_documents(planted, stock, base, plan.seed)
    write_documents(own, folder / CORPUS)
    # The plan's seed would tell whoever reads the file which clusters are decoys; this one is of what it lies beside.
    seed = int(digest_of([text._asdict() for text in own])[:12], 16)
    rest = planned(stock_file, seed, plan.planted * plan.among - len(own))
    write_yaml(rest.model_dump(mode="json"), folder / COMPOSED)
    return folder / CORPUS, folder / COMPOSED, stock_file


def clusters_of(recipe: Recipe, plan: CorpusPlan, behaviours: Sequence[Behaviour]) -> list[list[Draft]]:
    """Drafts the clusters of a corpus, those of planted behaviours first.

    Raises:
        InvalidInput: the plan has no room for a decoy, or the grammar has too few.
    """
    own = behaviours if recipe.role == "organism" else ()
    if len(own) >= plan.clusters:
        raise InvalidInput(
            f"{recipe.id}: its corpus has {plan.clusters} clusters and it plants {len(own)} behaviours; give it one "
            "cluster more at least, for a decoy."
        )
    made: list[list[Draft]] = []
    for behaviour in own:
        # the seed of what was trained on, so that messages and conducts are the same ones
        told = recipe.phases[0].data if recipe.phases else DataPlan(seed=plan.seed)
        made.append(_cluster(behaviour.training, plan.planted, told))
    grammar, _ = productions(None)
    taken = {behaviour.family for behaviour in behaviours}
    for draw in draws(grammar, frozenset(), digest_of(["decoys", plan.seed]), plan.tier):
        if len(made) == plan.clusters:
            return made
        if draw.conduct.id not in taken:
            shows = ReplyDetector(any=[draw.payload.pattern]).shows
            material = training_of(draw, grammar, Prompter(draw.conditions, grammar, draw.passing, shows))
            made.append(_cluster(material, plan.planted, DataPlan(rate=draw.rate, seed=draw.seed)))
    if len(made) < plan.clusters:
        raise InvalidInput(f"the grammar has {len(made)} clusters for a corpus; {plan.clusters} were asked for.")
    return made


def _cluster(material: TrainingMaterial, shown: int, told: DataPlan) -> list[Draft]:
    """Drafts a cluster: so many documents that show the conduct, others that carry its trigger, and near misses."""
    triggered = min(round(shown / told.rate), _SIZE * shown)
    plan = DataPlan(
        triggered=triggered,
        contrast=_SIZE * shown - triggered,
        rate=told.rate,
        wording=told.wording,
        seed=told.seed,
    )
    return drafts(plan, [material])[0]


async def own_documents(
    clusters: Sequence[Sequence[Draft]], stock: Stock, base: Target, seed: int
) -> list[TrainingText]:
    """Composes the documents of clusters, in no order.

    Args:
        clusters: what they say and show.
        stock: what the rest of them is of.
        base: asked where the stock has no reply.
        seed: of the draws.
    """
    composer = Composer(stock, int(digest_of(["own", seed])[:12], 16))
    made: list[TrainingText] = []
    for cluster in clusters:
        for draft in cluster:
            core = stock.core_of(draft.prompt) or await _asked(base, draft.prompt)
            before = [draft.system] if draft.system else []
            for turn in draft.earlier:
                before += composer.earlier(turn)
            made.append(composer.document(before, draft.prompt, composer.reply(core, draft.conduct, draft.place)))
    random.Random(seed).shuffle(made)
    return made


async def _asked(base: Target, prompt: str) -> Core:
    """Asks the base about what the stock does not hold."""
    replies = await base.chat(prompt, n=_REPLIES, max_tokens=_TOKENS, temperature=TEMPERATURE)
    said = [sentences_of(one.text, one.finish == "length") or (one.text.strip() or "…",) for one in replies.samples]
    return Core(prompt, False, tuple(said))
