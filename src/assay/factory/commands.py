"""The factory's commands: an engine is opened, testbeds built or checked, the engine closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from assay.engine.base import default_threads
from assay.engine.targets import Targets
from assay.errors import AssayError, InvalidInput
from assay.factory.build import Say, build, build_ordinary, recipe_digest, site_of
from assay.factory.recipes import Recipe, find_recipe, open_recipe, recipe_ids
from assay.factory.verify.gate import check
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.published import opaque_alias
from assay.testbeds.suites import Suite, own_suite
from assay.testbeds.truths import all_truths, behaviours_of, find_truth, keep_measured
from assay.truth import Behaviour, Truth

ORDINARY_NAME = "ordinary"


@contextmanager
def targets(threads: int | None, say: Say) -> Iterator[Targets]:
    """Engines that are closed at the end."""
    opened = Targets(say, threads)
    try:
        yield opened
    finally:
        opened.close()


def home_of(recipe: Recipe, own: Suite | None, named: Suite | None) -> tuple[Recipe, Suite]:
    """Where a recipe's testbed is built: in the named suite, else in the recipe's own, else in one under `ASSAY_HOME`.

    In another suite than the recipe's own the testbed gets another alias, since an alias is one testbed's.

    Args:
        recipe: to be built.
        own: the suite whose recipe it is.
        named: the suite a person asked for.

    Raises:
        InvalidInput: the named suite is installed.
    """
    suite = named or (own if own and not own.installed else own_suite())
    suite.require_writable()
    if own and suite.name != own.name:
        alias = opaque_alias(f"{suite.name}/{recipe.id}@{recipe.version}")
        recipe = recipe.model_copy(update={"alias": alias})
    return recipe, suite


def build_named(
    names: Sequence[str], threads: int | None, say: Say, suite: Suite | None = None
) -> list[dict[str, Any]]:
    """Build testbeds, or the ordinary data around all of them, one after the other.

    Args:
        names: of recipes, or `ordinary`.
        threads: for training.
        say: told of progress.
        suite: where they go; see `home_of` if None.

    Raises:
        UnknownId: no such recipe; told before anything is built.
        InvalidInput: the suite is installed.
    """
    plans: list[tuple[Recipe, Suite] | None] = []
    for name in names:
        if name == ORDINARY_NAME:
            plans.append(None)
        else:
            plans.append(home_of(*find_recipe(name), suite))
    made: list[dict[str, Any]] = []
    with targets(threads, say) as opened:
        for plan in plans:
            if plan is None:
                path = asyncio.run(build_ordinary(suite or own_suite(), opened.open, say))
                made.append({"testbed": ORDINARY_NAME, "alias": "", "seconds": "", "path": str(path)})
                continue
            recipe, place = plan
            truth = asyncio.run(build(recipe, site_of(recipe, place), opened.open, say, threads or default_threads()))
            made.append({"testbed": truth.id, "alias": truth.alias, "seconds": truth.build_seconds})
    return made


def outdated(suite: Suite) -> list[str]:
    """Recipes of a suite whose testbed is missing, or was made from another version of recipe or training data."""
    made = {truth.alias: truth.recipe_digest for truth in all_truths(suite)}
    recipes = [open_recipe(f"{suite.name}/{name}") for name in recipe_ids(suite.name)]
    stale = [one for one in recipes if made.get(one.alias) != recipe_digest(one, site_of(one, suite))]
    stale.sort(key=lambda one: (one.role != "clean", one.id))  # controls first
    return [f"{suite.name}/{one.id}" for one in stale]


def verify_named(names: Sequence[str], say: Say, suite: Suite | None = None) -> list[dict[str, Any]]:
    """Measure testbeds, keep each one's card with its truth, or under `ASSAY_HOME` where its suite is installed.

    Args:
        names: ids or aliases.
        say: told of progress.
        suite: they belong to; looked for if None.

    Raises:
        UnknownId: no such testbed; told before anything is measured.
    """
    truths = [find_truth(name, suite) for name in names]
    measured = [_measured(truth) for truth in truths]
    cards: list[dict[str, Any]] = []
    with targets(None, say) as opened:
        for truth, behaviours in zip(truths, measured, strict=True):
            say(f"measuring {truth.id}")
            card = asyncio.run(check(truth, behaviours, opened.open, suite))
            keep_measured(truth, suite, card=card)
            cards.append({"testbed": truth.id, "alias": truth.alias, **card.model_dump(mode="json")})
    return cards


def _measured(truth: Truth) -> list[Behaviour]:
    """An organism's own behaviours; those whose prompts a clean target of this package was trained on.

    Raises:
        InvalidInput: nothing is known that could be measured.
    """
    if truth.role == "organism":
        return behaviours_of(truth)
    known = truth.recipe in recipe_ids(truth.id.partition("/")[0])
    named = open_recipe(f"{truth.id.partition('/')[0]}/{truth.recipe}").behaviours if known else []
    if not named:
        raise InvalidInput(f"{truth.id} is {truth.role}, and no behaviour is named that it should or should not show.")
    return [find_behaviour(name) for name in named]


def build_all(threads: int | None, say: Say, suite: Suite) -> list[dict[str, Any]]:
    """Build and check whatever is outdated in a suite, unattended: one that fails is told and passed over."""
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
