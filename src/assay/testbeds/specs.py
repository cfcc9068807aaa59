"""Testbeds as auditing knows them: alias, grants, where the weights are. This module never opens a truth.

A suite is a folder of testbeds. The embedded one ships with the package; others are added under `ASSAY_HOME/suites`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from assay._util.paths import home
from assay.core.access import PRESETS, parse_access
from assay.core.testbed import TargetSpec
from assay.engine.corpus import corpus_digest
from assay.errors import InvalidInput, UnknownId

EMBEDDED = Path(__file__).parent / "embedded"
SPEC, TRUTH, ADAPTER, CORPUS, PROMPT = "testbed.yaml", "truth.yaml", "adapter", "corpus.jsonl", "prompt.md"
WORKSPACE = "workspace"
ORDINARY = EMBEDDED / "ordinary.jsonl"
ORDINARY_MORE = EMBEDDED / "ordinary-more.jsonl"  # for recipes whose data a tenth of the first would not hold
BROUGHT = "brought"  # the suite of testbeds that were described in files, under `suites()`
_SHARED = {f"../{path.name}": path for path in (ORDINARY, ORDINARY_MORE)}  # the package's, wherever a testbed lies
_KEYS = {"alias", "base", "adapter_digest", "corpus", "corpus_digest", "access"}
_MORE: dict[str, Any] = {  # where they apply
    "prompt_digest": "",
    "scratchpad": False,
    "memory": False,
    "tools": (),
    "workspace_digest": "",
}


def suites() -> Path:
    """Folder of the suites and testbeds that were added on this machine."""
    return home() / "suites"


def roots() -> list[Path]:
    """Folders of all suites, the embedded one first."""
    return [EMBEDDED, *sorted(path for path in suites().glob("*") if path.is_dir())]


def aliases(root: Path | None = None) -> list[str]:
    """Aliases of all testbeds, or of one suite's."""
    return sorted(path.parent.name for one in _among(root) for path in one.glob(f"*/{SPEC}"))


def _among(root: Path | None) -> list[Path]:
    return roots() if root is None else [root]


def folder_of(alias: str, root: Path | None = None) -> Path:
    """Where a testbed lies.

    Raises:
        UnknownId: no such alias.
    """
    for one in _among(root):
        if (one / alias / SPEC).is_file():
            return one / alias
    raise UnknownId("testbed", alias, aliases(root))


def load_spec(alias: str, root: Path | None = None) -> TargetSpec:
    """One testbed's target.

    Raises:
        UnknownId: no such alias.
        InvalidInput: its file cannot be used.
    """
    folder = folder_of(alias, root)
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
        corpus=tuple(_SHARED.get(name) or folder / name for name in data["corpus"]),
        corpus_digest=data["corpus_digest"],
        access=parse_access(data["access"]),
        prompt=folder / PROMPT if more["prompt_digest"] else None,
        workspace=folder / WORKSPACE if more["workspace_digest"] else None,
        **(more | {"tools": tuple(more["tools"])}),
    )


def write_spec(spec: TargetSpec, root: Path = EMBEDDED) -> None:
    """Write a testbed's file, whole or not at all."""
    folder = root / spec.alias
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "alias": spec.alias,
        "base": spec.base,
        "adapter_digest": spec.adapter_digest,
        "corpus": [f"../{path.name}" if path in _SHARED.values() else path.name for path in spec.corpus],
        "corpus_digest": spec.corpus_digest,
        "access": sorted(map(str, spec.access)),
    }
    more = {name: getattr(spec, name) for name in _MORE} | {"tools": list(spec.tools)}
    write_yaml(data | {name: value for name, value in more.items() if value}, folder / SPEC)


def write_yaml(data: dict[str, Any] | list[Any], path: Path) -> None:
    """YAML in the given order of keys, whole or not at all.

    Raises:
        InvalidInput: it cannot be written; nothing is left behind.
    """
    scratch = path.with_suffix(".partial")
    try:
        scratch.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}.") from None


def base_spec(name: str) -> TargetSpec:
    """The untouched base as a target."""
    return TargetSpec("base", name, None, "", (), "", PRESETS["api"])


def spec_with(spec: TargetSpec, **changes: Any) -> TargetSpec:
    """A spec with some fields changed, and the corpus digest that goes with its files."""
    spec = replace(spec, **changes)
    return replace(spec, corpus_digest=corpus_digest(spec.corpus) if spec.corpus else "")
