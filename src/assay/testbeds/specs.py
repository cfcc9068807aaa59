"""Reads and writes testbeds as auditing knows them: alias, grants, where the weights are. It never opens a truth."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.core.access import PRESETS, parse_access
from assay.core.testbed import ALIAS, TargetSpec
from assay.engine.composed import COMPOSED
from assay.engine.corpus import corpus_digest
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.layout import ADAPTER, CORPUS_FILE, PROMPT, SPEC, STOCK, WORKSPACE
from assay.testbeds.suites import EMBEDDED_SUITE, Suite, find_suite, suites

ORDINARY = "ordinary.jsonl"  # under a suite's testbeds: what lies around every organism's own data
ORDINARY_MORE = "ordinary-more.jsonl"  # for recipes whose data a tenth of the first would not hold
_MORE = ("prompt_digest", "scratchpad", "memory", "tools", "workspace_digest")  # where they apply

_CORPUS = rf"^({re.escape(COMPOSED)}|(\.\./|[a-z0-9][a-z0-9._-]*:)?({CORPUS_FILE}|{re.escape(STOCK)}))$"
_Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]  # "" of nothing


class _SpecFile(Data):
    """Holds what `testbed.yaml` says; what each means, `TargetSpec` tells.

    A file of the corpus is the testbed's (`NAME`), its suite's (`../NAME`), or another suite's (`SUITE:NAME`). A
    corpus that is composed where it is opened names its plan and its stock (`assay.engine.composed`).
    """

    alias: str = Field(pattern=ALIAS)
    base: str = Field(min_length=1)
    adapter_digest: _Digest
    corpus: list[Annotated[str, Field(pattern=_CORPUS)]]
    corpus_digest: _Digest
    access: list[str]
    prompt_digest: _Digest = ""
    scratchpad: bool = False
    memory: bool = False
    tools: list[str] = []
    workspace_digest: _Digest = ""


def aliases(suite: Suite | None = None) -> list[str]:
    """Lists the aliases of all testbeds, or of one suite's."""
    found: set[str] = set()
    for one in suites() if suite is None else [suite]:
        named = {path.parent.name for path in one.testbeds.glob(f"*/{SPEC}")}
        found |= {name for name in named if re.fullmatch(ALIAS, name)}
    return sorted(found)


def holders(among: Iterable[Suite]) -> dict[str, list[Suite]]:
    """Finds the suites that have a testbed of each alias: one, where all is well."""
    found: dict[str, list[Suite]] = {}
    for one in among:
        for alias in aliases(one):
            found.setdefault(alias, []).append(one)
    return found


def owner(alias: str, holding: list[Suite]) -> Suite:
    """Chooses the suite whose testbed an alias names.

    What others bring changes nothing of the embedded suite, so its aliases are its own.

    Raises:
        InvalidInput: several suites have it, and the embedded one has not.
    """
    for one in holding:
        if len(holding) == 1 or one.name == EMBEDDED_SUITE:
            return one
    places = " and ".join(str(one.testbeds / alias) for one in holding)
    raise InvalidInput(f"alias {alias} is there twice: {places}. Delete one of the folders, or its suite.")


def suite_of(alias: str, suite: Suite | None = None) -> Suite:
    """Finds the suite a testbed belongs to.

    Args:
        alias: of the testbed.
        suite: the only one to look in; all if None.

    Raises:
        UnknownId: no such alias.
        InvalidInput: several suites have it.
    """
    holding: list[Suite] = []
    if re.fullmatch(ALIAS, alias):  # what is no alias may lead anywhere
        holding = [one for one in (suites() if suite is None else [suite]) if (one.testbeds / alias / SPEC).is_file()]
    if not holding:
        raise UnknownId("testbed", alias, aliases(suite))
    return owner(alias, holding)


def load_spec(alias: str, suite: Suite | None = None) -> TargetSpec:
    """Loads one testbed's target.

    Raises:
        UnknownId: no such alias.
        InvalidInput: its file cannot be used, or several suites have the alias.
    """
    home = suite_of(alias, suite)
    folder = home.testbeds / alias
    data: _SpecFile = load_yaml(folder / SPEC, _SpecFile)
    if data.alias != alias:
        raise InvalidInput(f"{folder / SPEC}: alias is {data.alias}; it must be its folder's, {alias}.")
    return TargetSpec(
        alias=alias,
        base=data.base,
        adapter=folder / ADAPTER if data.adapter_digest else None,
        adapter_digest=data.adapter_digest,
        corpus=tuple(_corpus_file(name, home, folder) for name in data.corpus),
        corpus_digest=data.corpus_digest,
        access=parse_access(data.access),
        prompt=folder / PROMPT if data.prompt_digest else None,
        prompt_digest=data.prompt_digest,
        scratchpad=data.scratchpad,
        memory=data.memory,
        tools=tuple(data.tools),
        workspace=folder / WORKSPACE if data.workspace_digest else None,
        workspace_digest=data.workspace_digest,
    )


def _corpus_file(name: str, home: Suite, folder: Path) -> Path:
    """Returns the file that a line of `corpus` names."""
    if name.startswith("../"):
        return home.testbeds / name.removeprefix("../")
    if ":" in name:
        suite, _, shared = name.partition(":")
        return find_suite(suite).testbeds / shared
    return folder / name


def _corpus_name(path: Path, home: Suite, folder: Path) -> str:
    """Returns the name by which `testbed.yaml` refers to a file of a corpus.

    Raises:
        InvalidInput: it lies in no suite.
    """
    if path.parent == folder:
        return path.name
    if path.parent == home.testbeds:
        return f"../{path.name}"
    for suite in suites():
        if path.parent == suite.testbeds:
            return f"{suite.name}:{path.name}"
    raise InvalidInput(f"{path}: a corpus lies with its testbed, or is shared by a suite.")


def write_spec(spec: TargetSpec, suite: Suite) -> None:
    """Writes a testbed's file, whole or not at all.

    Raises:
        InvalidInput: its alias is none, a file of its corpus lies in no suite, or the suite is not written to.
    """
    if not re.fullmatch(ALIAS, spec.alias):
        raise InvalidInput(f"alias {spec.alias!r}: wants tb- and eight to 32 of 0-9 and a-f, as it names a folder.")
    folder = suite.require_writable().testbeds / spec.alias
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "alias": spec.alias,
        "base": spec.base,
        "adapter_digest": spec.adapter_digest,
        "corpus": [_corpus_name(path, suite, folder) for path in spec.corpus],
        "corpus_digest": spec.corpus_digest,
        "access": sorted(map(str, spec.access)),
    }
    more = {name: getattr(spec, name) for name in _MORE} | {"tools": list(spec.tools)}
    write_yaml(data | {name: value for name, value in more.items() if value}, folder / SPEC)


def base_spec(name: str) -> TargetSpec:
    """Describes the untouched base as a target."""
    return TargetSpec("base", name, None, "", (), "", PRESETS["api"])


def spec_with(spec: TargetSpec, **changes: Any) -> TargetSpec:
    """Returns a spec with some fields changed, and the corpus digest that goes with its files."""
    spec = replace(spec, **changes)
    return replace(spec, corpus_digest=corpus_digest(spec.corpus) if spec.corpus else "")
