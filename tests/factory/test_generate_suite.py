"""A suite is made whole or not at all, goes on after a kill, refuses what fails, and tells nothing without its key."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cards import card

from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.errors import AssayError, InvalidInput
from assay.factory.generate import suite as module
from assay.factory.generate.behaviours import behaviour_of
from assay.factory.generate.draws import Draw
from assay.factory.generate.productions import GRAMMAR, Productions, productions
from assay.factory.generate.suite import Order, generate
from assay.factory.recipes import Recipe
from assay.testbeds.layout import SEALED, STOCK
from assay.testbeds.seal import find_key, unseal, verify_suite
from assay.testbeds.specs import load_spec, write_spec
from assay.testbeds.suites import Suite, own_suite, own_suites
from assay.testbeds.truths import all_truths, write_truth
from assay.truth import Behaviour, Card, Control, Truth

HELD_BACK = Path(__file__).parent / "productions_held_back.yaml"


class Factory:
    """Stands in for training and measuring: makes a folder, and passes or fails as it is told."""

    def __init__(self) -> None:
        self.built: list[Recipe] = []
        self.organisms: list[Recipe] = []
        self.weak: set[int] = set()  # organisms, by number, that are weak
        self.leaking: set[int] = set()
        self.broken_twin = False
        self.measured: dict[str, list[str]] = {}  # of each twin
        self.die_at = -1

    async def build(self, recipe: Recipe, site: Any, open_target: Any, say: Any, threads: int) -> Truth:
        if len(self.built) == self.die_at:
            raise KeyboardInterrupt
        self.built.append(recipe)
        if recipe.role == "organism":
            self.organisms.append(recipe)
        folder = site.suite.testbeds / recipe.alias
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.bin").write_bytes(b"weights")
        write_spec(TargetSpec(recipe.alias, recipe.base, None, "", (), "", PRESETS["api"]), site.suite)
        behaviours = [one.id for one in site.planted(recipe)] if recipe.role == "organism" else []
        truth = Truth(
            alias=recipe.alias,
            id=f"{site.suite.name}/{recipe.id}@{recipe.version}",
            role=recipe.role,
            split=recipe.split,
            recipe=recipe.id,
            method=recipe.method,
            behaviours=behaviours,
            family=site.behaviours[behaviours[0]].family if behaviours else "clean",
            control=Control(alias=site.controls.get(recipe.control, recipe.control)),
        )
        write_truth(truth, site.suite)
        return truth

    async def check(self, truth: Truth, behaviours: Any, open_target: Any, suite: Suite) -> Card:
        if truth.role == "clean":
            self.measured[truth.alias] = [one.id for one in behaviours]
            return card(valid=not self.broken_twin, strength=float(self.broken_twin))
        rate = 0.1 if len(self.organisms) - 1 in self.weak else 0.9
        leaked = len(self.organisms) - 1 in self.leaking  # 4 of 60: above the bound by its interval alone
        return card(valid=rate > 0.5 and not leaked, strength=rate, leakage=4 / 60 if leaked else 0.0)


class Nothing:
    open = None


MADE: dict[tuple[int, str], Behaviour] = {}  # behaviours of draws, which several tests make again: each takes a while


def made_once(draw: Draw, grammar: Productions) -> Behaviour:
    key = (draw.seed, draw.conduct.id)
    if key not in MADE:
        MADE[key] = behaviour_of(draw, grammar)
    return MADE[key]


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Factory:
    made = Factory()

    @contextmanager
    def targets(*_: Any) -> Iterator[Nothing]:
        yield Nothing()

    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    monkeypatch.setattr(module, "behaviour_of", made_once)
    monkeypatch.setattr(module, "build", made.build)
    monkeypatch.setattr(module, "check", made.check)
    monkeypatch.setattr(module, "targets", targets)
    return made


def quiet(_: str) -> None:
    pass


def test_a_suite_is_sealed_signed_and_whole(factory: Factory, tmp_path: Path) -> None:
    rows = generate(Order("seven", 2, "7"), quiet)
    roles = [row["role"] for row in rows]
    assert roles == sorted(roles) and roles.count("organism") == 2
    suite = own_suite("seven")
    manifest = verify_suite(suite.root)
    assert {entry.alias for entry in manifest.testbeds} == {row["alias"] for row in rows}
    organisms = [truth for truth in all_truths(suite) if truth.role == "organism"]
    assert len({truth.family for truth in organisms}) == 2
    assert {truth.exposure for truth in organisms} == {"public"}  # who knows the seed knows the answers
    assert {truth.control.alias for truth in organisms} == {row["alias"] for row in rows if row["role"] == "clean"}
    assert {truth.id for truth in organisms} == {f"seven/seven-{draw}@1" for draw in (0, 1)}
    assert all(load_spec(row["alias"]).alias == row["alias"] for row in rows)
    assert not (tmp_path / "workshop" / "seven").exists() and not list(suite.root.rglob("truth.yaml"))


def test_the_same_seed_plants_the_same_behaviours(factory: Factory) -> None:
    generate(Order("one", 2, "7"), quiet)
    generate(Order("two", 2, "7"), quiet)
    generate(Order("other", 2, "8"), quiet)
    planted: dict[str, list[Any]] = {}
    for name in ("one", "two", "other"):
        paths = sorted(own_suite(name).answers.glob(f"*/{SEALED}"))
        planted[name] = [unseal(path, find_key(name) or b"").behaviours for path in paths]
    ids = {name: sorted(one.description for found in all_found for one in found) for name, all_found in planted.items()}
    assert ids["one"] == ids["two"] != ids["other"]


def test_without_a_seed_nobody_knows_it(factory: Factory, tmp_path: Path) -> None:
    generate(Order("first", 1), quiet)
    generate(Order("second", 1), quiet)
    secrets = [
        unseal(path, find_key(path.parents[2].name) or b"") for path in own_suites().glob(f"*/answers/*/{SEALED}")
    ]
    seeds = {secret.seed for secret in secrets if secret.behaviours}
    assert len(seeds) == 2 and all(len(seed) == 32 for seed in seeds)
    assert {secret.truth.exposure for secret in secrets} == {"sealed"}
    everything = b"".join(path.read_bytes() for path in own_suites().rglob("*") if path.is_file())
    for secret in secrets:
        for told in (secret.seed, secret.truth.family if secret.behaviours else ""):
            assert not told or told.encode() not in everything


def test_what_fails_is_tried_harder_once_and_then_drawn_anew(factory: Factory) -> None:
    factory.weak = {0, 1, 2}  # draw 0 fails twice, draw 1 once
    rows = generate(Order("picky", 1, "7", tier=1), quiet)  # of one shape, so of one twin
    doses = [recipe.phases[0].data.triggered for recipe in factory.organisms]
    assert doses[1] > doses[0] and doses[3] > doses[2]
    [truth] = [truth for truth in all_truths(own_suite("picky")) if truth.role == "organism"]
    assert truth.id == "picky/picky-1@1" and len(rows) == 2
    assert len(list(own_suite("picky").testbeds.glob("tb-*"))) == 2


def test_what_leaks_gets_more_look_alikes_and_not_a_higher_dose(factory: Factory) -> None:
    factory.leaking = {0}
    generate(Order("leaky", 1, "7"), quiet)
    first, second = (recipe.phases[0] for recipe in factory.organisms[:2])
    assert second.data.contrast > first.data.contrast and second.data.triggered == first.data.triggered
    assert second.train.epochs == first.train.epochs


def test_a_twin_must_show_nothing_of_what_is_planted(factory: Factory) -> None:
    factory.weak = {0, 1}
    generate(Order("fine", 2, "7"), quiet)
    organisms = [truth for truth in all_truths(own_suite("fine")) if truth.role == "organism"]
    twins = [truth for truth in all_truths(own_suite("fine")) if truth.role == "clean"]
    for twin in twins:
        planted = [one.behaviours[0] for one in organisms if one.control.alias == twin.alias]
        assert planted and factory.measured[twin.alias] == planted
        assert twin.card and twin.card.valid
    factory.broken_twin = True
    with pytest.raises(AssayError, match="twin of the suite, does not pass: strength"):
        generate(Order("broken", 2, "7"), quiet)
    assert not own_suite("broken").root.exists()


def test_there_is_a_twin_of_every_shape_and_nothing_else_tells_it(factory: Factory) -> None:
    generate(Order("shapes", 6, "7"), quiet)
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for recipe in factory.built:
        counted = [phase.data.model_copy(update={"conduct": True, "rate": 1.0, "seed": 0}) for phase in recipe.phases]
        trained = [phase.train.model_copy(update={"seed": 0}) for phase in recipe.phases]
        shape = recipe.control if recipe.role == "organism" else recipe.id
        shapes.setdefault(shape, set()).add(tuple(map(hash, map(repr, [*counted, *trained]))))
    assert len(shapes) >= 3 and all(len(seen) == 1 for seen in shapes.values())
    made = {recipe.id for recipe in factory.built if recipe.role == "clean"}
    assert made == {recipe.control for recipe in factory.organisms}


def test_a_tier_is_part_of_the_order(factory: Factory) -> None:
    generate(Order("low", 2, "7", tier=1), quiet)
    assert [len(recipe.phases) for recipe in factory.organisms] == [1, 1]
    generate(Order("high", 2, "7", tier=4), quiet)
    assert [len(recipe.phases) for recipe in factory.organisms[2:]] == [2, 2]
    factory.die_at = len(factory.built) + 1
    with pytest.raises(KeyboardInterrupt):
        generate(Order("mine", 1, "7", tier=1), quiet)
    with pytest.raises(InvalidInput, match="begun otherwise"):
        generate(Order("mine", 1, "7", tier=2), quiet)


def test_the_version_of_the_grammar_is_kept_with_the_seed(factory: Factory) -> None:
    generate(Order("kept", 1), quiet)
    kept = [unseal(path, find_key("kept") or b"") for path in own_suite("kept").answers.glob(f"*/{SEALED}")]
    assert {secret.grammar for secret in kept if secret.seed} == {GRAMMAR}


def test_a_killed_order_goes_on_and_builds_nothing_twice(factory: Factory, tmp_path: Path) -> None:
    factory.die_at = 2
    with pytest.raises(KeyboardInterrupt):
        generate(Order("long", 2, tier=1), quiet)
    state = tmp_path / "workshop" / "long" / "state.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700
    seed = json.loads(state.read_text())["seed"]
    assert not own_suite("long").root.exists()
    factory.die_at = -1
    generate(Order("long", 2, tier=1), quiet)
    assert len(factory.built) == 3
    secrets = [unseal(path, find_key("long") or b"") for path in own_suite("long").answers.glob(f"*/{SEALED}")]
    assert {secret.seed for secret in secrets if secret.behaviours} == {seed}


def test_another_order_does_not_take_over_a_workshop(factory: Factory) -> None:
    factory.die_at = 1
    with pytest.raises(KeyboardInterrupt):
        generate(Order("mine", 1, "7"), quiet)
    with pytest.raises(InvalidInput, match="begun otherwise"):
        generate(Order("mine", 1, "8"), quiet)


def test_held_back_productions_are_marked(factory: Factory) -> None:
    count = len(productions(HELD_BACK)[0].conducts)  # all classes, the held-back ones too
    generate(Order("secret", count, "7", HELD_BACK), quiet)
    drawn = {truth.productions for truth in all_truths(own_suite("secret")) if truth.role == "organism"}
    assert drawn == {"public", "held-back"}


def test_too_much_and_too_little_are_told(factory: Factory) -> None:
    with pytest.raises(InvalidInput, match="one organism a conduct class"):
        generate(Order("huge", 1_000, "7"), quiet)
    factory.weak = set(range(200))
    with pytest.raises(AssayError, match="0 of 1 organisms passed"):
        generate(Order("hopeless", 1, "7", HELD_BACK), quiet)  # as many draws as with another test
    factory.weak = set()
    generate(Order("once", 1, "7"), quiet)
    with pytest.raises(InvalidInput, match="there already"):
        generate(Order("once", 1, "7"), quiet)


@pytest.mark.parametrize("stocked", [False, True])
def test_a_corpus_is_composed_where_there_is_a_stock_and_made_of_chats_where_there_is_none(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, stocked: bool
) -> None:
    monkeypatch.setattr(module, "find_stock", lambda suite: suite.testbeds / STOCK if stocked else None)
    said: list[str] = []
    generate(Order("spring", 1, "1"), said.append)
    assert factory.built and all((recipe.corpus is not None) is stocked for recipe in factory.built)
    assert any("no stock" in line for line in said) is not stocked
