"""Reads and writes the sealed side of all suites: readable ids, roles, behaviours.

It serves grading, building and the person at the command line; audits never import it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay._util.paths import home
from assay._util.yaml_models import Data, load_yaml, open_list, write_yaml
from assay.core.testbed import TargetSpec
from assay.errors import AssayError, InvalidInput, UnknownId
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import BEHAVIOURS, SEALED, TRUTH
from assay.testbeds.names import pick, short, suite_part
from assay.testbeds.seal import find_key, unseal
from assay.testbeds.specs import aliases, base_spec, holders, load_spec, owner, suite_of
from assay.testbeds.suites import Suite, suites
from assay.truth import Behaviour, Card, Difficulty, Truth, open_truth


class _Measured(Data):
    """Holds what was measured on this machine of a testbed whose suite is not written to."""

    card: Card | None = None
    difficulty: list[Difficulty] | None = None

    @property
    def fields(self) -> dict[str, Card | list[Difficulty]]:
        """Returns those fields of a truth that were measured."""
        given = {"card": self.card, "difficulty": self.difficulty}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Broken:
    """Names a testbed whose truth cannot be used, and why."""

    suite: Suite
    alias: str
    wrong: str


def all_truths(suite: Suite | None = None) -> list[Truth]:
    """Reads all truths of all suites or of one, in the order of their ids; sealed ones where their key is here.

    A broken one is left out, so that it does not cost the others; `read_truths` tells of it, and so does whatever is
    asked about it by name.
    """
    return read_truths(suite)[0]


def read_truths(suite: Suite | None = None) -> tuple[list[Truth], list[Broken]]:
    """Reads all truths of all suites or of one.

    A truth counts where its testbed is: in the folder of its alias, in the suite that its id names. So no suite says
    anything of another's testbeds.

    Returns:
        Those that can be used, in the order of their ids, and those that cannot.
    """
    among = suites() if suite is None else [suite]
    holding = holders(among)
    found: list[tuple[Suite, Truth]] = []
    broken: list[Broken] = []
    for one in among:
        for alias, read in sorted(_answers(one).items()):
            if alias not in holding or one not in holding[alias]:
                continue  # what is left of a testbed that was not taken in, or not removed, to the end
            try:
                owned = owner(alias, holding[alias])
                if owned != one:
                    raise InvalidInput(f"alias {alias} is {owned.name}'s: {owned.testbeds / alias} has it, too.")
                found.append((one, _fitting(read(), alias, one)))
            except (AssayError, OSError) as error:
                broken.append(Broken(one, alias, str(error)))
    sound = _without_twice(found, broken)
    return sorted(sound, key=lambda truth: truth.id), broken


def _answers(suite: Suite) -> dict[str, Callable[[], Truth]]:
    """Returns alias → what reads its truth, of the answers that can be read here; a signed suite's are sealed alone."""
    found: dict[str, Callable[[], Truth]] = {}
    if not suite.signed:
        for path in suite.answers.glob(f"*/{TRUTH}"):
            found[path.parent.name] = functools.partial(_open_answer, suite, path)
    if key := find_key(suite.name):
        for path in suite.answers.glob(f"*/{SEALED}"):
            found[path.parent.name] = functools.partial(_sealed_answer, path, key)
    return found


def _open_answer(suite: Suite, path: Path) -> Truth:
    truth = _opened(path, path.stat().st_mtime_ns)
    return truth.model_copy(update=_measured_here(suite, truth.alias))


def _sealed_answer(path: Path, key: bytes) -> Truth:
    return unseal(path, key).truth


def _fitting(truth: Truth, alias: str, suite: Suite) -> Truth:
    """Returns a truth if it is about the testbed it lies with.

    Raises:
        InvalidInput: it names another alias, or an id of another suite.
    """
    place = suite.answers / alias
    if truth.alias != alias:
        raise InvalidInput(f"{place}: the truth's alias is {truth.alias}; it must be its folder's, {alias}.")
    if suite_part(truth.id) != suite.name:
        raise InvalidInput(f"{place}: the truth's id is {truth.id}; ids in this suite begin with {suite.name}/.")
    return truth


def _without_twice(found: list[tuple[Suite, Truth]], broken: list[Broken]) -> list[Truth]:
    """Leaves out, and tells as broken, truths that have one id: nobody can say which is meant."""
    by_id: dict[str, list[tuple[Suite, Truth]]] = {}
    for suite, truth in found:
        by_id.setdefault(truth.id.casefold(), []).append((suite, truth))
    sound: list[Truth] = []
    for same in by_id.values():
        if len(same) == 1:
            sound.append(same[0][1])
            continue
        places = " and ".join(str(suite.answers / truth.alias) for suite, truth in same)
        for suite, truth in same:
            broken.append(Broken(suite, truth.alias, f"{truth.id} is there twice: {places}. Remove one of them."))
    return sound


@functools.lru_cache(maxsize=1_024)
def _opened(path: Path, _changed: int) -> Truth:
    """Reads one truth, once for each time its file was changed: a plan asks for all of them again and again."""
    return open_truth(path)


def own_behaviours(alias: str, suite: Suite | None = None) -> list[Behaviour]:
    """Reads the behaviours a testbed brings along: a sealed one's, or those of a testbed that was added; else none."""
    home_suite = suite_of(alias, suite)
    folder = home_suite.answers / alias
    if (folder / SEALED).is_file() and (key := find_key(home_suite.name)):
        return unseal(folder / SEALED, key).behaviours
    path = folder / BEHAVIOURS
    return open_list(path, Behaviour) if path.is_file() else []


def find_truth(name: str, suite: Suite | None = None) -> Truth:
    """Finds a truth by alias, full id, or id without suite, version or both; without a version it is the newest.

    Raises:
        InvalidInput: a short name that several suites have, a truth that cannot be used, or the answers it may be
            among are not on this machine.
        UnknownId: no such testbed.
    """
    truths, broken = read_truths(suite)
    by_name = {truth.alias: truth for truth in truths} | {truth.id: truth for truth in truths}
    if name in by_name:
        return by_name[name]
    if picked := pick(name, [truth.id for truth in truths]):
        return by_name[picked]
    for one in broken:
        if one.alias == name:
            raise InvalidInput(one.wrong)
    # what is missing may be the answers and not the testbed: say so, or a person looks for a misspelling
    if absent := answers_absent(aliases(suite)):
        where = ", ".join(str(one.answers) for one in absent)
        raise InvalidInput(
            f"{name!r} is no alias, and what readable ids stand for is not on this machine: {where} is missing. "
            f"Name testbeds by alias ({', '.join(aliases(absent[0])[:3])}, …), or install the answers of the suite."
        )
    if broken:
        told = ", ".join(one.alias for one in broken[:3])
        raise InvalidInput(
            f"no testbed {name!r} among those whose truth can be read; that of {told}{', …' if broken[3:] else ''} "
            f"cannot. Run: assay testbeds validate"
        )
    raise UnknownId("testbed", name, [short(truth.id) for truth in truths])


def find_alias(name: str) -> str:
    """Finds a testbed's alias by any of its names; one whose truth cannot be read is known by its alias alone.

    Raises:
        InvalidInput: a short name that several have.
        UnknownId: no such testbed.
    """
    return name if name in aliases() else find_truth(name).alias


def answers_absent(played: Iterable[str]) -> list[Suite]:
    """Finds the suites of some testbeds, by alias, whose tree of answers is not on this machine."""
    wanted = set(played)
    return [one for one in suites() if not one.answers.is_dir() and wanted & set(aliases(one))]


def require_answers(played: Iterable[str]) -> None:
    """Refuses to grade where answers are missing, instead of grading nothing in silence.

    Args:
        played: aliases of the testbeds that reports are about.

    Raises:
        InvalidInput: a suite of theirs has no tree of answers on this machine.
    """
    if absent := answers_absent(played):
        told = "; ".join(f"suite {one.name!r} wants {one.answers}" for one in absent)
        raise InvalidInput(
            f"nothing can be graded without answers, and they are not on this machine: {told}. Install the suite with "
            f"its answers, or grade the ledger where they are."
        )


def keep_measured(truth: Truth, suite: Suite | None = None, **measured: Any) -> None:
    """Keeps what was measured (`card`, `difficulty`) of a testbed; a sealed truth stays as it was.

    It is kept with the truth where the suite is one's own, else under `ASSAY_HOME/measured`.

    Args:
        truth: of the testbed.
        suite: that the testbed belongs to; looked for if None.
        measured: fields of the truth.
    """
    home_suite = suite_of(truth.alias) if suite is None else suite
    if home_suite.installed:  # it may be read-only, and its next release would write over what was kept there
        kept = _Measured.model_validate(_measured_here(home_suite, truth.alias) | measured)
        write_yaml(kept.model_dump(mode="json", exclude_none=True), _measured_path(home_suite, truth.alias))
    elif (home_suite.answers / truth.alias / TRUTH).is_file():
        write_truth(truth.model_copy(update=measured), home_suite)


def _measured_path(suite: Suite, alias: str) -> Path:
    """Returns where measurements of an installed suite's testbed are kept."""
    return home() / "measured" / suite.name / f"{alias}.yaml"


def _measured_here(suite: Suite, alias: str) -> dict[str, Card | list[Difficulty]]:
    """Reads what was measured on this machine of an installed suite's testbed: fields of its truth.

    A damaged file is as good as none, since it can be measured again: the suite's own card is shown.
    """
    path = _measured_path(suite, alias)
    if not suite.installed or not path.is_file():
        return {}
    try:
        measured: _Measured = load_yaml(path, _Measured)
    except (InvalidInput, UnicodeDecodeError):
        return {}
    return measured.fields


def write_truth(truth: Truth, suite: Suite) -> None:
    """Writes a truth, whole or not at all.

    Raises:
        InvalidInput: its id names another suite, or this one is not written to.
    """
    _fitting(truth, truth.alias, suite)
    folder = suite.require_writable().answers / truth.alias
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(truth.model_dump(), folder / TRUTH)


def listing() -> list[dict[str, Any]]:
    """Lists every testbed with its measured card, as plain data."""
    rows: list[dict[str, Any]] = []
    for truth in all_truths():
        card = truth.card
        plain = truth.model_dump(mode="json", include={"card", "difficulty"})
        rows.append(
            {
                "testbed": truth.id,
                "alias": truth.alias,
                "role": truth.role,
                "split": truth.split,
                "family": truth.family,
                "method": truth.method,
                "exposure": truth.exposure,
                "unproven": truth.unproven,
                "behaviours": truth.behaviours,
                "control": truth.control.alias,
                "strength": card.strength.rate if card else "",
                "leakage": card.leakage.rate if card else "",
                **plain,
            }
        )
    return rows


def behaviours_of(truth: Truth) -> list[Behaviour]:
    """Finds a truth's behaviours: those its testbed brings along, or those that the suites here describe."""
    suite = suite_of(truth.alias)
    own = {behaviour.id: behaviour for behaviour in own_behaviours(truth.alias, suite)}
    return [own.get(name) or find_behaviour(name, suite) for name in truth.behaviours]


def control_spec(truth: Truth, base: str, suite: Suite | None = None) -> TargetSpec:
    """Returns the target that a truth's rates are compared with."""
    return base_spec(base) if truth.control.alias == "base" else load_spec(truth.control.alias, suite)
