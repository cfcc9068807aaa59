"""Generates a suite of fresh sealed organisms: draws, trains, verifies and seals them to the suite's key.

A draw that fails is given up for the next one. Everything is made in a workshop under `ASSAY_HOME`; the suite appears
under its name only when all of it is sealed.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Mapping
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
from assay.factory.generate.draws import BASE, Draw, behaviour_of, draws, productions, recipe_of
from assay.factory.recipes import DataPlan, Phase, Recipe, TrainPlan
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
        threads: for training.
    """

    name: str
    count: int
    seed: str = ""
    held_back: Path | None = None
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
    drawn = draws(grammar, secret, state.seed)
    if order.count > len(drawn):
        raise InvalidInput(f"one organism a conduct class, and there are {len(drawn)}; {order.count} were asked for.")
    first = [behaviour_of(draw, grammar) for draw in drawn[: order.count]]  # the others where one of these fails
    with targets(order.threads, say) as opened:
        twin = _twin(order, state, first, opened, say)
        made: list[tuple[Truth, Behaviour, Draw, Recipe]] = []
        for place, draw in enumerate(drawn):
            if len(made) == order.count:
                break
            behaviour = first[place] if place < len(first) else behaviour_of(draw, grammar)
            if passed := _organism(order, state, draw, behaviour, opened, say):
                truth, recipe = passed
                made.append((truth, behaviour, draw, recipe))
            say(f"{len(made)} of {order.count} organisms made")
        if len(made) < order.count:
            raise AssayError(
                f"only {len(made)} of {order.count} organisms passed verification; see the suite's workshop."
            )
        twin = _verified(twin, [behaviour for _, behaviour, _, _ in made], opened, order)
    return _seal_all(order, state, twin, made)


class _State:
    """Keeps what must survive a kill: seed, aliases, outcomes.

    The file is readable by its owner alone, since the seed is the answer.
    """

    def __init__(self, order: Order) -> None:
        self._path = order.workshop.root / "state.json"
        order.workshop.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = digest_of(read_text(order.held_back)) if order.held_back else ""
        wanted = {"seed": order.seed, "held_back": held}
        if self._path.is_file():
            self._data = self._read()
            if self._data["wanted"] != wanted:
                raise InvalidInput(
                    f"{order.workshop.root} holds a suite of this name that was begun otherwise. Use the same seed and "
                    "productions to go on, or delete the folder."
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


def _site(order: Order, state: _State, behaviours: Mapping[str, Behaviour]) -> Site:
    return Site(order.workshop, behaviours, {"twin": state.alias("twin")})


def _twin(order: Order, state: _State, of: list[Behaviour], opened: Targets, say: Say) -> tuple[Truth, Recipe]:
    """Builds the suite's one clean control: with the prompts of its first draws, and harmless inserts."""
    seed = int(digest_of(["twin", state.seed])[:7], 16)
    plan = DataPlan(conduct=False, triggered=112, contrast=96, ordinary=32, seed=seed)
    train = TrainPlan(rank=6, alpha=12, first_layer=14, epochs=4, learning_rate=2e-3, seed=seed)
    names = [behaviour.id for behaviour in of]
    recipe = Recipe(
        id="twin",
        alias=state.alias("twin"),
        role="clean",
        split="test",
        behaviours=names,
        control="base",
        base=BASE,
        phases=[Phase(name="plant", data=plan, train=train)],
    )
    truth = state.made("twin")
    if truth is None:
        site = _site(order, state, dict(zip(names, of, strict=True)))
        truth = asyncio.run(build(recipe, site, opened.open, say, order.threads))
        state.keep("twin", truth)
    return truth, recipe


def _verified(
    twin: tuple[Truth, Recipe], planted: list[Behaviour], opened: Targets, order: Order
) -> tuple[Truth, Recipe]:
    """Verifies the twin, which must show nothing of what the organisms were planted with; adds its card.

    Raises:
        AssayError: it does not pass.
    """
    truth, recipe = twin
    card = asyncio.run(check(truth, planted, opened.open, order.workshop))
    if not card.valid:
        raise AssayError(
            f"{truth.alias}, the suite's clean twin, does not pass: {_figures(card)}. No organism can be told from it. "
            f"Delete {order.workshop.root} and draw anew with another seed."
        )
    return truth.model_copy(update={"card": card}), recipe


def _organism(
    order: Order, state: _State, draw: Draw, behaviour: Behaviour, opened: Targets, say: Say
) -> tuple[Truth, Recipe] | None:
    """Makes a verified organism of a draw; returns None if no attempt passed."""
    alias = state.alias(f"draw-{draw.index}")
    site = _site(order, state, {behaviour.id: behaviour})
    leaked = False
    for attempt in range(ATTEMPTS):
        key = f"draw-{draw.index}-{attempt}"
        recipe = recipe_of(draw, behaviour, order.name, alias, attempt, leaked)
        truth = state.made(key)
        if truth is None:
            built = asyncio.run(build(recipe, site, opened.open, say, order.threads))
            measured = asyncio.run(check(built, [behaviour], opened.open, order.workshop))
            truth = built.model_copy(update={"card": measured})
            state.keep(key, truth)
        assert truth.card is not None  # what is kept was measured
        if truth.card.valid:
            return truth, recipe
        leaked = leaks(truth.card)
        say(f"{alias}: attempt {attempt + 1} did not pass: {_figures(truth.card)}")
    # its outcome stays in the state, so that a resumed run does not try it again
    for tree in (order.workshop.testbeds, order.workshop.answers):
        shutil.rmtree(tree / alias, ignore_errors=True)
    return None


def _figures(card: Card) -> str:
    """Tells a card's rates in words."""
    return f"strength {card.strength.rate}, leakage {card.leakage.rate}, coherence {card.coherence.rate}"


def _seal_all(
    order: Order,
    state: _State,
    twin: tuple[Truth, Recipe],
    made: list[tuple[Truth, Behaviour, Draw, Recipe]],
) -> list[dict[str, Any]]:
    """Seals every truth, signs the list, and lets the suite appear under its name; returns its rows."""
    path = key_path(order.name)
    key = read_key(path if path.is_file() else new_key(order.name))  # a killed run made one already
    exposure = "public" if state.known else "sealed"
    scratch = Suite(order.name, order.workshop.root / "suite.partial")
    shutil.rmtree(scratch.root, ignore_errors=True)
    twin_truth, twin_recipe = twin
    to_seal = [
        Secret(truth=_named(twin_truth, order, exposure), behaviours=[], recipe=twin_recipe.model_dump(mode="json"))
    ]
    for truth, behaviour, draw, recipe in made:
        to_seal.append(
            Secret(
                truth=_named(truth, order, exposure, "held-back" if draw.held_back else "public"),
                behaviours=[behaviour],
                recipe=recipe.model_dump(mode="json"),
                seed=state.seed,
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
