"""Writes draws into an open suite, as behaviours and recipes that are built and verified like any others.

`generate` makes a sealed suite in one go; this is for a suite that is published with its answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from assay._util.hashing import digest_of
from assay._util.yaml_models import write_yaml
from assay.errors import InvalidInput, UnknownId
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import Draw, draws
from assay.factory.generate.plans import recipe_of, shape_of, twin_of
from assay.factory.generate.productions import productions
from assay.factory.recipes import Recipe
from assay.testbeds.aliases import random_alias
from assay.testbeds.suites import Suite
from assay.truth import Behaviour

PER_TWIN = 3  # organisms that share a clean twin, of whose prompts it is made
_TUNING = 3  # of so many classes one is for tuning auditors, whatever the seed


def draw_into(suite: Suite, seed: str, tier: int = 0, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Draws behaviours, and writes their recipes and those of their clean twins.

    What the suite has already is left alone; to draw a behaviour anew, delete its files.

    Args:
        suite: where they go.
        seed: of the draws.
        tier: that all are planned for; 0 mixes them.
        names: of conduct classes; all of them if empty.

    Returns:
        A row for each recipe that was written: recipe, alias, split, planned tier and behaviour.

    Raises:
        UnknownId: there is no such conduct class.
        InvalidInput: the suite is installed, or the productions are too small.
    """
    suite.require_writable()
    grammar, secret = productions(None)
    drawn = {draw.conduct.id: draw for draw in draws(grammar, secret, seed, tier)}
    for name in names:
        if name not in drawn:
            raise UnknownId("conduct class", name, sorted(drawn))
    missing = [name for name in names or sorted(drawn) if not (suite.recipes / f"{name}.yaml").exists()]
    shapes: dict[tuple[str, str], list[tuple[Draw, Behaviour]]] = defaultdict(list)
    for name in missing:
        behaviour = behaviour_of(drawn[name], grammar).model_copy(update={"id": name})
        shapes[shape_of(drawn[name]), split_of(name)].append((drawn[name], behaviour))
    rows: list[dict[str, Any]] = []
    for (_, split), group in sorted(shapes.items(), key=lambda item: item[0]):
        for start in range(0, len(group), PER_TWIN):
            rows += _write(suite, group[start : start + PER_TWIN], seed, split)
    return rows


def split_of(name: str) -> str:
    """Returns a conduct class's split, which no draw changes: nothing reported was ever tuned on."""
    classes = sorted(kind.id for kind in productions(None)[0].conducts)
    ranked = sorted(classes, key=lambda one: digest_of(["split", one]))
    return "tuning" if ranked.index(name) < len(classes) // _TUNING else "reported"


def _write(suite: Suite, group: Sequence[tuple[Draw, Behaviour]], seed: str, split: str) -> list[dict[str, Any]]:
    """Writes a group of one shape, and its twin first: an organism without its control could not be built."""
    first, behaviours = group[0][0], [behaviour for _, behaviour in group]
    number = sum(1 for _ in suite.recipes.glob(f"twin-{shape_of(first)}-*.yaml")) + 1
    chosen = int(digest_of(["twin", seed, *(one.id for one in behaviours)])[:7], 16)
    twin = twin_of(first, behaviours, random_alias(), chosen)
    twin = twin.model_copy(update={"id": f"{twin.id}-{number}", "split": split})
    if (suite.recipes / f"{twin.id}.yaml").exists():
        raise InvalidInput(f"{suite.recipes} has {twin.id} and not all that come before it. Number them without gaps.")
    rows = [_put(suite, twin)]
    for draw, behaviour in group:
        write_yaml(behaviour.model_dump(mode="json", exclude_defaults=True), suite.behaviours / f"{behaviour.id}.yaml")
        own = {"id": behaviour.id, "split": split, "control": twin.id}
        recipe = recipe_of(draw, behaviour, suite.name, random_alias()).model_copy(update=own)
        rows.append({**_put(suite, recipe), "tier": draw.tier, "behaviour": behaviour.description})
    return rows


def _put(suite: Suite, recipe: Recipe) -> dict[str, Any]:
    """Writes a recipe, and returns the row that tells of it."""
    write_yaml(recipe.model_dump(mode="json", exclude_defaults=True), suite.recipes / f"{recipe.id}.yaml")
    return {"recipe": recipe.id, "alias": recipe.alias, "split": recipe.split, "tier": "", "behaviour": ""}
