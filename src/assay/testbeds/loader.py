"""Testbeds as auditing knows them: alias, grants, where the weights are. This module never opens a truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from assay.core.access import parse_access
from assay.core.errors import InvalidInput, UnknownId
from assay.core.testbed import TargetSpec

EMBEDDED = Path(__file__).parent / "embedded"
SPEC, TRUTH, ADAPTER, CORPUS = "testbed.yaml", "truth.yaml", "adapter", "corpus.jsonl"
ORDINARY = EMBEDDED / "ordinary.jsonl"
_KEYS = {"alias", "base", "adapter_digest", "corpus", "corpus_digest", "access"}


def aliases(root: Path = EMBEDDED) -> list[str]:
    """Aliases of all testbeds."""
    return sorted(path.parent.name for path in root.glob(f"*/{SPEC}"))


def load_spec(alias: str, root: Path = EMBEDDED) -> TargetSpec:
    """One testbed's target.

    Raises:
        UnknownId: no such alias.
        InvalidInput: its file cannot be used.
    """
    if alias not in (known := aliases(root)):
        raise UnknownId("testbed", alias, known)
    path = root / alias / SPEC
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.keys() != _KEYS:
            raise InvalidInput(f"{path}: wants exactly the keys {', '.join(sorted(_KEYS))}.")
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    return TargetSpec(
        alias=alias,
        base=data["base"],
        adapter=path.parent / ADAPTER if data["adapter_digest"] else None,
        adapter_digest=data["adapter_digest"],
        corpus=tuple((path.parent / name).resolve() for name in data["corpus"]),
        corpus_digest=data["corpus_digest"],
        access=parse_access(data["access"]),
    )


def write_spec(spec: TargetSpec, root: Path = EMBEDDED) -> None:
    """Write a testbed's file, whole or not at all."""
    folder = root / spec.alias
    folder.mkdir(parents=True, exist_ok=True)
    data = {
        "alias": spec.alias,
        "base": spec.base,
        "adapter_digest": spec.adapter_digest,
        "corpus": [_relative(path, folder) for path in spec.corpus],
        "corpus_digest": spec.corpus_digest,
        "access": sorted(map(str, spec.access)),
    }
    write_yaml(data, folder / SPEC)


def _relative(path: Path, folder: Path) -> str:
    """Corpus files lie beside the testbed's file, or one folder up, where they are shared."""
    return path.name if path.parent == folder else f"../{path.name}"


def write_yaml(data: dict[str, Any], path: Path) -> None:
    """YAML in the given order of keys, whole or not at all."""
    scratch = path.with_suffix(".partial")
    scratch.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    scratch.replace(path)
