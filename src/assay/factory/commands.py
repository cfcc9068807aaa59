"""The factory's commands: each opens an engine, builds or verifies testbeds, and closes the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from assay._util.progress import Say
from assay.engine.base import default_threads
from assay.engine.cache import grading_replies
from assay.engine.composed import count_documents
from assay.engine.targets import Targets
from assay.errors import AssayError, InvalidInput
from assay.factory.build import Site, build, build_corpus, build_ordinary, build_stock, recipe_digest, site_of
from assay.factory.recipes import Recipe, find_recipe, open_recipe, recipe_ids
from assay.factory.verify.gate import check
from assay.testbeds.aliases import keyed_alias
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import CORPUS
from assay.testbeds.specs import suite_of
from assay.testbeds.suites import Suite, own_suite
from assay.testbeds.truths import all_truths, behaviours_of, find_truth, keep_measured
from assay.truth import Behaviour, Truth

ORDINARY_NAME, STOCK_NAME = "ordinary", "stock"
_SHARED = {ORDINARY_NAME: build_ordinary, STOCK_NAME: build_stock}


@contextmanager
def targets(threads: int | None, say: Say) -> Iterator[Targets]:
    """Opens engines, and closes them at the end."""
    # A card is a grade of a testbed: what an audit could have written must not be measured as the testbed's.
    opened = Targets(say, threads, grading_replies())
    try:
        yield opened
    finally:
        opened.close()


def home_of(recipe: Recipe, own: Suite | None, named: Suite | None) -> tuple[Recipe, Suite]:
    """Chooses where a recipe is built: the named suite, else the recipe's own, else the one under `ASSAY_HOME`.

    In another suite than the recipe's own the testbed gets another alias, since an alias is one testbed's.

    Args:
        recipe: to be built.
        own: the suite whose recipe it is.
        named: the suite a person asked for.

    Returns:
        The recipe, under another alias where that is needed, and the suite.

    Raises:
        InvalidInput: the named suite is installed, or means another behaviour by a name of the recipe's.
    """
    if named:
        suite = named
    elif own and not own.installed:
        suite = own
    else:
        suite = own_suite()
    suite.require_writable()
    if own and suite.name != own.name:
        for name in recipe.behaviours:
            if find_behaviour(name, own) != find_behaviour(name, suite):
                raise InvalidInput(
                    f"behaviour {name!r} is one thing in suite {own.name!r}, where the recipe is, and another in "
                    f"{suite.name!r}, where its testbed would be. Rename one, or build it in its own suite."
                )
        id = f"{suite.name}/{recipe.id}@{recipe.version}"
        # What was built keeps its alias; what is begun and interrupted finds its own again, since the key stays.
        built = {truth.id: truth.alias for truth in all_truths(suite)}
        recipe = recipe.model_copy(update={"alias": built.get(id) or keyed_alias(id)})
    return recipe, suite


def build_named(
    names: Sequence[str], threads: int | None, say: Say, suite: Suite | None = None
) -> list[dict[str, Any]]:
    """Builds testbeds, or the ordinary data around all of them, one after the other.

    Args:
        names: of recipes; `ordinary`, or `stock`, which corpora are composed of.
        threads: number of threads that training may use; the machine's default if None.
        say: is told of the progress.
        suite: where they go; see `home_of` if None.

    Returns:
        A row for each: testbed, alias and seconds; for the ordinary data its path.

    Raises:
        UnknownId: no such recipe; told before anything is built.
        InvalidInput: the suite is installed.
    """
    plans: list[tuple[Recipe, Site] | str] = []
    for name in names:
        if name in _SHARED:
            plans.append(name)
        else:
            found, own = find_recipe(name)
            recipe, place = home_of(found, own, suite)
            plans.append((recipe, site_of(recipe, place, own)))
    made: list[dict[str, Any]] = []
    with targets(threads, say) as opened:
        for plan in plans:
            if isinstance(plan, str):
                path = asyncio.run(_SHARED[plan](suite or own_suite(), opened.open, say))
                made.append({"testbed": plan, "alias": "", "seconds": "", "path": str(path)})
                continue
            recipe, site = plan
            truth = asyncio.run(build(recipe, site, opened.open, say, threads or default_threads()))
            made.append({"testbed": truth.id, "alias": truth.alias, "seconds": truth.build_seconds})
    return made


def compose_named(names: Sequence[str], say: Say, suite: Suite | None = None) -> list[dict[str, Any]]:
    """Composes the corpora of testbeds anew.

    Args:
        names: of recipes that plan a corpus.
        say: is told of the progress.
        suite: where the testbeds are; see `home_of` if None.

    Returns:
        A row for each: testbed, alias, documents in all and of the testbed's own, and the corpus's digest.

    Raises:
        UnknownId: no such recipe, or its testbed is not there.
        InvalidInput: a recipe plans no corpus, or the suite is installed.
    """
    rows: list[dict[str, Any]] = []
    with targets(None, say) as opened:
        for name in names:
            found, own = find_recipe(name)
            recipe, place = home_of(found, own, suite)
            spec = asyncio.run(build_corpus(recipe, site_of(recipe, place, own), opened.open, say))
            mine = [path for path in spec.corpus if path.name == CORPUS]
            rows.append(
                {
                    "testbed": recipe.id,
                    "alias": spec.alias,
                    "documents": count_documents(spec.corpus),
                    "own": count_documents(mine),
                    "digest": spec.corpus_digest,
                }
            )
    return rows


def outdated(suite: Suite) -> list[str]:
    """Lists a suite's recipes whose testbed is missing, or was made of another recipe or other training data."""
    made = {truth.alias: truth.recipe_digest for truth in all_truths(suite)}
    recipes = [open_recipe(f"{suite.name}/{name}") for name in recipe_ids(suite.name)]
    stale = [one for one in recipes if made.get(one.alias) != recipe_digest(one, site_of(one, suite, suite))]
    stale.sort(key=lambda one: (one.role != "clean", one.id))  # organisms are measured beside their controls
    return [f"{suite.name}/{one.id}" for one in stale]


def verify_named(names: Sequence[str], say: Say, suite: Suite | None = None) -> list[dict[str, Any]]:
    """Measures testbeds; keeps each card with its truth, or under `ASSAY_HOME` where the suite is installed.

    Args:
        names: ids or aliases.
        say: is told of the progress.
        suite: the suite they belong to; looked for if None.

    Returns:
        A row for each: testbed, alias and card.

    Raises:
        UnknownId: no such testbed; told before anything is measured.
    """
    truths = [find_truth(name, suite) for name in names]
    measured = [behaviours_to_measure(truth) for truth in truths]
    cards: list[dict[str, Any]] = []
    with targets(None, say) as opened:
        for truth, behaviours in zip(truths, measured, strict=True):
            say(f"measuring {truth.id}")
            card = asyncio.run(check(truth, behaviours, opened.open, suite))
            keep_measured(truth, suite, card=card)
            cards.append({"testbed": truth.id, "alias": truth.alias, **card.model_dump(mode="json")})
    return cards


def behaviours_to_measure(truth: Truth) -> list[Behaviour]:
    """Returns an organism's behaviours, or those whose prompts a clean target of a suite here was trained on.

    Raises:
        InvalidInput: nothing is known that could be measured.
    """
    if truth.role == "organism":
        return behaviours_of(truth)
    suite = truth.id.partition("/")[0]
    named: list[str] = []
    if truth.recipe in recipe_ids(suite):
        named = open_recipe(f"{suite}/{truth.recipe}").behaviours
    if not named:
        raise InvalidInput(f"{truth.id} is {truth.role}, and no behaviour is named that it should or should not show.")
    home = suite_of(truth.alias)
    return [find_behaviour(name, home) for name in named]


def build_all(threads: int | None, say: Say, suite: Suite) -> list[dict[str, Any]]:
    """Builds and verifies whatever is outdated in a suite, unattended: passes over what fails, and tells of it."""
    rows: list[dict[str, Any]] = []
    for name in outdated(suite.require_writable()):
        try:
            [made] = build_named([name], threads, say, suite)
            [card] = verify_named([made["alias"]], say, suite)
            rows.append({**made, "valid": card["valid"], "error": ""})
        except AssayError as error:
            rows.append({"testbed": name, "alias": "", "seconds": "", "valid": False, "error": str(error)})
        say(f"{rows[-1]}")
    return rows
