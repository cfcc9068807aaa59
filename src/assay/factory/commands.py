"""The factory's commands: an engine is opened, testbeds built or checked, the engine closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from assay.engine.base import default_threads
from assay.engine.targets import Targets
from assay.errors import AssayError, InvalidInput
from assay.factory.build import Say, build, build_ordinary, embedded_site, recipe_digest
from assay.factory.recipes import is_file, open_recipe, recipe_ids
from assay.factory.verify.gate import check
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.specs import BROUGHT, EMBEDDED, suites
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


def build_named(names: Sequence[str], threads: int | None, say: Say) -> list[dict[str, Any]]:
    """Build testbeds, or the ordinary data around all of them, one after the other.

    Raises:
        UnknownId: no such recipe; told before anything is built.
    """
    recipes = [None if name == ORDINARY_NAME else open_recipe(name) for name in names]
    roots = [suites() / BROUGHT if is_file(name) else EMBEDDED for name in names]
    made: list[dict[str, Any]] = []
    with targets(threads, say) as opened:
        for recipe, root in zip(recipes, roots, strict=True):
            if recipe is None:
                path = asyncio.run(build_ordinary(opened.open, say))
                made.append({"testbed": ORDINARY_NAME, "alias": "", "seconds": "", "path": str(path)})
                continue
            truth = asyncio.run(
                build(recipe, embedded_site(recipe, root), opened.open, say, threads or default_threads())
            )
            made.append({"testbed": truth.id, "alias": truth.alias, "seconds": truth.build_seconds})
    return made


def outdated() -> list[str]:
    """Recipes whose testbed is missing, or was made from another version of recipe or training data."""
    made = {truth.alias: truth.recipe_digest for truth in all_truths(EMBEDDED)}
    recipes = [open_recipe(name) for name in recipe_ids()]
    stale = [one for one in recipes if made.get(one.alias) != recipe_digest(one, embedded_site(one))]
    return [one.id for one in sorted(stale, key=lambda one: (one.role != "clean", one.id))]  # controls first


def check_named(names: Sequence[str], say: Say) -> list[dict[str, Any]]:
    """Measure testbeds, keep each one's card with its truth.

    Raises:
        UnknownId: no such testbed; told before anything is measured.
    """
    truths = [find_truth(name) for name in names]
    measured = [_measured(truth) for truth in truths]
    cards: list[dict[str, Any]] = []
    with targets(None, say) as opened:
        for truth, behaviours in zip(truths, measured, strict=True):
            say(f"measuring {truth.id}")
            card = asyncio.run(check(truth, behaviours, opened.open))
            keep_measured(truth, card=card)
            cards.append({"testbed": truth.id, "alias": truth.alias, **card})
    return cards


def _measured(truth: Truth) -> list[Behaviour]:
    """An organism's own behaviours; those whose prompts a clean target of this package was trained on.

    Raises:
        InvalidInput: nothing is known that could be measured.
    """
    if truth.role == "organism":
        return behaviours_of(truth)
    named = open_recipe(truth.recipe).behaviours if truth.recipe in recipe_ids() else []
    if not named:
        raise InvalidInput(f"{truth.id} is {truth.role}, and no behaviour is named that it should or should not show.")
    return [find_behaviour(name) for name in named]


def build_all(threads: int | None, say: Say) -> list[dict[str, Any]]:
    """Build and check whatever is outdated, unattended: one that fails is told and passed over."""
    rows: list[dict[str, Any]] = []
    for name in outdated():
        try:
            [made] = build_named([name], threads, say)
            [card] = check_named([name], say)
            rows.append({**made, "valid": card["valid"], "error": ""})
        except AssayError as error:
            rows.append({"testbed": name, "alias": "", "seconds": "", "valid": False, "error": str(error)})
        say(f"{rows[-1]}")
    return rows
