"""Reads and writes testbeds as auditing knows them: alias, grants, where the weights are. It never opens a truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from assay._util.yaml_models import write_yaml
from assay.core.access import PRESETS, parse_access
from assay.core.testbed import TargetSpec
from assay.engine.corpus import corpus_digest
from assay.errors import InvalidInput, UnknownId
from assay.testbeds.suites import Suite, find_suite, suites

SPEC, ADAPTER, CORPUS, PROMPT, WORKSPACE = "testbed.yaml", "adapter", "corpus.jsonl", "prompt.md", "workspace"
ORDINARY = "ordinary.jsonl"  # under a suite's testbeds: what lies around every organism's own data
ORDINARY_MORE = "ordinary-more.jsonl"  # for recipes whose data a tenth of the first would not hold
_KEYS = {"alias", "base", "adapter_digest", "corpus", "corpus_digest", "access"}
_MORE: dict[str, Any] = {  # where they apply
    "prompt_digest": "",
    "scratchpad": False,
    "memory": False,
    "tools": (),
    "workspace_digest": "",
}


def _among(suite: Suite | None) -> Iterable[Suite]:
    """Returns the suites to look in: one, or all if None."""
    return suites() if suite is None else [suite]


def aliases(suite: Suite | None = None) -> list[str]:
    """Lists the aliases of all testbeds, or of one suite's."""
    found: list[str] = []
    for one in _among(suite):
        found += [path.parent.name for path in one.testbeds.glob(f"*/{SPEC}")]
    return sorted(found)


def suite_of(alias: str, suite: Suite | None = None) -> Suite:
    """Finds the suite a testbed belongs to.

    Args:
        alias: of the testbed.
        suite: the only one to look in; all if None.

    Raises:
        UnknownId: no such alias.
    """
    for one in _among(suite):
        if (one.testbeds / alias / SPEC).is_file():
            return one
    raise UnknownId("testbed", alias, aliases(suite))


def load_spec(alias: str, suite: Suite | None = None) -> TargetSpec:
    """Loads one testbed's target.

    Raises:
        UnknownId: no such alias.
        InvalidInput: its file cannot be used.
    """
    home = suite_of(alias, suite)
    folder = home.testbeds / alias
    path = folder / SPEC
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or not _KEYS <= data.keys() <= _KEYS | _MORE.keys():
            may = ", ".join(sorted(_MORE))
            raise InvalidInput(f"{path}: wants the keys {', '.join(sorted(_KEYS))}, and may have {may}.")
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    more = _MORE | {name: data[name] for name in _MORE.keys() & data.keys()}
    return TargetSpec(
        alias=alias,
        base=data["base"],
        adapter=folder / ADAPTER if data["adapter_digest"] else None,
        adapter_digest=data["adapter_digest"],
        corpus=tuple(_corpus_file(name, home, folder) for name in data["corpus"]),
        corpus_digest=data["corpus_digest"],
        access=parse_access(data["access"]),
        prompt=folder / PROMPT if more["prompt_digest"] else None,
        workspace=folder / WORKSPACE if more["workspace_digest"] else None,
        **(more | {"tools": tuple(more["tools"])}),
    )


def _corpus_file(name: str, home: Suite, folder: Path) -> Path:
    """Returns a file of a corpus: the testbed's (`NAME`), its suite's (`../NAME`), another suite's (`SUITE:NAME`)."""
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
    """Writes a testbed's file, whole or not at all."""
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
