"""Generates a suite of fresh sealed organisms: draws, trains, verifies and seals them to the suite's key.

A draw that fails is given up for the next one. Everything is made in a workshop under `ASSAY_HOME`; the suite appears
under its name only when all of it is sealed.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._util.atomic import SCRATCH, replace_folder, write_json
from assay._util.hashing import digest_of
from assay._util.paths import home
from assay._util.progress import Say
from assay._util.strict_json import read_json_object
from assay._util.text_files import read_text
from assay.engine.targets import Targets
from assay.errors import AssayError, InvalidInput
from assay.factory.build import Site, build
from assay.factory.commands import targets
from assay.factory.corpora import find_stock
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import Draw, draws
from assay.factory.generate.plans import recipe_of, shape_of, twin_of
from assay.factory.generate.productions import GRAMMAR, productions
from assay.factory.recipes import Recipe
from assay.factory.verify.gate import check, leaks
from assay.testbeds.aliases import random_alias
from assay.testbeds.layout import SEALED
from assay.testbeds.seal import Secret, key_path, new_key, public_key, read_key, seal, write_manifest
from assay.testbeds.suites import RESERVED, Suite, own_suite
from assay.truth import Behaviour, Card, Truth

ATTEMPTS = 2  # at a draw, the second with a higher dose, before it is given up


@dataclass(frozen=True, slots=True)
class Order:
    """Says what is to be generated.

    Attributes:
        name: of the suite.
        count: organisms.
        seed: of the draws; "" takes the operating system's entropy, and then nobody knows it.
        held_back: file of productions that are not public.
        tier: that all are planned for; 0 mixes them.
        threads: for training.
    """

    name: str
    count: int
    seed: str = ""
    held_back: Path | None = None
    tier: int = 0
    threads: int = 1

    @property
    def suite(self) -> Suite:
        """Returns the suite under its name, where it appears whole."""
        return own_suite(self.name)

    @property
    def workshop(self) -> Suite:
        """Returns the suite as it is while it is being made."""
        return Suite(self.name, home() / "workshop" / self.name)


def generate(order: Order, say: Say) -> list[dict[str, Any]]:
    """Makes a suite; killed at any moment, the same call goes on.

    Returns:
        A row for each testbed: alias, role and measured figures; for a suite whose seed is known, what was drawn is
        not told either.

    Raises:
        InvalidInput: such a suite is there, or the grammar has too few classes for it.
    """
    if order.suite.root.exists() or order.name in RESERVED:
        raise InvalidInput(f"suite {order.name!r} is there already. Name the new one otherwise with --suite.")
    state = _State(order)
    grammar, secret = productions(order.held_back)
    drawn = draws(grammar, secret, state.seed, order.tier)
    if order.count > len(drawn):
        raise InvalidInput(f"one organism a conduct class, and there are {len(drawn)}; {order.count} were asked for.")
    if not find_stock(order.workshop):
        say("no stock of documents is here: what is planted lies among ordinary chats (assay organisms build stock)")
    made: list[_Made] = []
    with targets(order.threads, say) as opened:
        twins = _Twins(order, state, opened, say)
        for draw in drawn:
            if len(made) == order.count:
                break
            behaviour = behaviour_of(draw, grammar)
            twins.build(draw, behaviour)
            if passed := _organism(order, state, draw, behaviour, opened, say):
                made.append(passed)
            say(f"{len(made)} of {order.count} organisms made")
        if len(made) < order.count:
            raise AssayError(
                f"only {len(made)} of {order.count} organisms passed verification; see the suite's workshop."
            )
        verified = twins.verified(made)
    return _seal_all(order, state, verified, made)


@dataclass(frozen=True, slots=True)
class _Made:
    """An organism that passed."""

    truth: Truth
    behaviour: Behaviour
    draw: Draw
    recipe: Recipe


class _State:
    """Keeps what must survive a kill: seed, aliases, outcomes.

    The file is readable by its owner alone, since the seed is the answer.
    """

    def __init__(self, order: Order) -> None:
        self._path = order.workshop.root / "state.json"
        order.workshop.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = digest_of(read_text(order.held_back)) if order.held_back else ""
        wanted = {"seed": order.seed, "held_back": held, "tier": order.tier, "grammar": GRAMMAR}
        if self._path.is_file():
            self._data = self._read()
            if self._data["wanted"] != wanted:
                raise InvalidInput(
                    f"{order.workshop.root} holds a suite of this name that was begun otherwise. Use the same seed, "
                    "tier, productions and version of Assay to go on, or delete the folder."
                )
            return
        self._data = {"wanted": wanted, "seed": order.seed or secrets.token_hex(16), "aliases": {}, "cards": {}}
        self._save()

    @property
    def seed(self) -> str:
        """Returns the seed of the draws."""
        return str(self._data["seed"])

    @property
    def known(self) -> bool:
        """Tells whether somebody chose the seed, and may know what it draws."""
        return bool(self._data["wanted"]["seed"])

    def alias(self, key: str) -> str:
        """Returns a testbed's alias, drawn at random the first time."""
        if key not in self._data["aliases"]:
            self._data["aliases"][key] = random_alias()
            self._save()
        return str(self._data["aliases"][key])

    def made(self, key: str) -> Truth | None:
        """Returns the truth of what was made, with what was measured of it, if it was."""
        found = self._data["cards"].get(key)
        return Truth.model_validate(found) if found else None

    def keep(self, key: str, truth: Truth) -> None:
        """Keeps what was made and measured."""
        self._data["cards"][key] = truth.model_dump(mode="json")
        self._save()

    def _read(self) -> dict[str, Any]:
        """Reads the file, which cannot be made again: the seed is nowhere else.

        Raises:
            InvalidInput: it is damaged.
        """
        try:
            data = read_json_object(self._path)
        except InvalidInput:
            data = {}
        if not {"wanted", "seed", "aliases", "cards"} <= data.keys():
            raise InvalidInput(
                f"{self._path} is damaged, and what this suite was begun with stands nowhere else. Restore the file, "
                f"or delete the folder {self._path.parent} and begin anew."
            )
        return data

    def _save(self) -> None:
        """Writes the file, whole or not at all."""
        write_json(self._path, self._data, mode=0o600)


class _Twins:
    """The suite's clean controls: one for each shape of recipe, so that no organism's shape tells what it is."""

    def __init__(self, order: Order, state: _State, opened: Targets, say: Say) -> None:
        self._order, self._state, self._opened, self._say = order, state, opened, say
        self._built: dict[str, tuple[Truth, Recipe]] = {}

    def build(self, draw: Draw, behaviour: Behaviour) -> None:
        """Builds the twin of a draw's shape if it is the first one of it, with that draw's prompts."""
        shape = shape_of(draw)
        if shape in self._built:
            return
        key = f"twin-{shape}"
        seed = int(digest_of(["twin", shape, self._state.seed])[:7], 16)
        recipe = _composable(twin_of(draw, [behaviour], self._state.alias(key), seed), self._order)
        truth = self._state.made(key)
        if truth is None:
            site = Site(self._order.workshop, {behaviour.id: behaviour}, {})
            truth = asyncio.run(build(recipe, site, self._opened.open, self._say, self._order.threads))
            self._state.keep(key, truth)
        self._built[shape] = truth, recipe

    def verified(self, made: list[_Made]) -> list[tuple[Truth, Recipe]]:
        """Verifies the twins of what was made, which must show nothing of what their organisms were planted with.

        Raises:
            AssayError: one does not pass.
        """
        behaviours: dict[str, list[Behaviour]] = {}
        for one in made:
            behaviours.setdefault(shape_of(one.draw), []).append(one.behaviour)
        passed: list[tuple[Truth, Recipe]] = []
        for shape, planted in behaviours.items():
            truth, recipe = self._built[shape]
            card = asyncio.run(check(truth, planted, self._opened.open, self._order.workshop))
            if not card.valid:
                raise AssayError(
                    f"{truth.alias}, a clean twin of the suite, does not pass: {_figures(card)}. No organism can be "
                    f"told from it. Delete {self._order.workshop.root} and draw anew with another seed."
                )
            passed.append((truth.model_copy(update={"card": card}), recipe))
        return passed


def _organism(order: Order, state: _State, draw: Draw, behaviour: Behaviour, opened: Targets, say: Say) -> _Made | None:
    """Makes a verified organism of a draw; returns None if no attempt passed."""
    alias = state.alias(f"draw-{draw.index}")
    twin = f"twin-{shape_of(draw)}"
    site = Site(order.workshop, {behaviour.id: behaviour}, {twin: state.alias(twin)})
    leaked = False
    for attempt in range(ATTEMPTS):
        key = f"draw-{draw.index}-{attempt}"
        recipe = _composable(recipe_of(draw, behaviour, order.name, alias, attempt, leaked), order)
        truth = state.made(key)
        if truth is None:
            built = asyncio.run(build(recipe, site, opened.open, say, order.threads))
            measured = asyncio.run(check(built, [behaviour], opened.open, order.workshop))
            truth = built.model_copy(update={"card": measured})
            state.keep(key, truth)
        assert truth.card is not None  # what is kept was measured
        if truth.card.valid:
            return _Made(truth, behaviour, draw, recipe)
        leaked = truth.card.quiet is not None or leaks(truth.card)  # only what is strong was looked at for its quiet
        say(f"{alias}: attempt {attempt + 1} did not pass: {_figures(truth.card)}")
    # its outcome stays in the state, so that a resumed run does not try it again
    for tree in (order.workshop.testbeds, order.workshop.answers):
        shutil.rmtree(tree / alias, ignore_errors=True)
    return None


def _composable(recipe: Recipe, order: Order) -> Recipe:
    """Returns a recipe without its plan of a corpus where there is no stock to compose one of: chats lie around it."""
    return recipe if find_stock(order.workshop) else recipe.model_copy(update={"corpus": None})


def _figures(card: Card) -> str:
    """Tells a card's rates in words."""
    return f"strength {card.strength.rate}, leakage {card.leakage.rate}, coherence {card.coherence.rate}"


def _seal_all(
    order: Order,
    state: _State,
    twins: list[tuple[Truth, Recipe]],
    made: list[_Made],
) -> list[dict[str, Any]]:
    """Seals every truth, signs the list, and lets the suite appear under its name; returns its rows."""
    path = key_path(order.name)
    key = read_key(path if path.is_file() else new_key(order.name))  # a killed run made one already
    exposure = "public" if state.known else "sealed"
    scratch = Suite(order.name, order.workshop.root / "suite.partial")
    shutil.rmtree(scratch.root, ignore_errors=True)
    to_seal: list[Secret] = []
    for truth, recipe in twins:
        named = _named(truth, order, exposure)
        to_seal.append(Secret(truth=named, behaviours=[], recipe=recipe.model_dump(mode="json")))
    for one in made:
        to_seal.append(
            Secret(
                truth=_named(one.truth, order, exposure, "held-back" if one.draw.held_back else "public"),
                behaviours=[one.behaviour],
                recipe=one.recipe.model_dump(mode="json"),
                seed=state.seed,
                grammar=GRAMMAR,
            )
        )
    commitments: dict[str, str] = {}
    unfinished = shutil.ignore_patterns("*" + SCRATCH)
    for secret in to_seal:
        alias = secret.truth.alias
        shutil.copytree(order.workshop.testbeds / alias, scratch.testbeds / alias, ignore=unfinished)
        sealed, commitments[alias] = seal(secret, public_key(key))
        (scratch.answers / alias).mkdir(parents=True)
        (scratch.answers / alias / SEALED).write_bytes(sealed)
    write_manifest(scratch.root, order.name, key, commitments)
    replace_folder(scratch.root, order.suite.root)
    shutil.rmtree(order.workshop.root, ignore_errors=True)
    return [_row(secret.truth) for secret in to_seal]


def _named(truth: Truth, order: Order, exposure: str, drawn_from: str = "") -> Truth:
    """Returns a truth under the suite's name."""
    name = f"{order.name}/{truth.recipe}@1"
    return truth.model_copy(update={"id": name, "exposure": exposure, "productions": drawn_from})


def _row(truth: Truth) -> dict[str, Any]:
    """Returns the row that tells of a testbed."""
    assert truth.card is not None  # nothing unmeasured is sealed
    return {
        "alias": truth.alias,
        "role": truth.role,
        "strength": truth.card.strength.rate,
        "leakage": truth.card.leakage.rate,
        "coherence": truth.card.coherence.rate,
        "seconds": truth.build_seconds,
    }
