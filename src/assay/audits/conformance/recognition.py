"""Checks whether a tool knows testbeds again: by a table of aliases or digests it could answer without looking.

No tool is told an alias. What is left are the digests of what it may read: those of training data are tried one by one,
and the tool's source is searched for all of them. A table by what a model says or by its weights is not found: for that
there are testbeds that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay._util.import_graph import closure
from assay.audits.conformance.checks import Check
from assay.audits.conformance.dry_call import DryCall, rehearse_call
from assay.core.access import Access
from assay.core.tool import Tool
from assay.errors import AssayError
from assay.testbeds.specs import aliases, load_spec

_PREFIX = 12  # characters of a digest that nobody writes by chance


async def check_recognition(tool: Tool, file: Path, arguments: Mapping[str, Any], folder: Path, *, seed: int) -> Check:
    """Wants the same evidence whatever testbed of this machine the training data says it is of."""
    known = _known()
    if named := _named(file, known):
        return Check("recognition", False, f"its source holds {named[0]}, of a testbed's: look at the target instead")
    if Access.TRAINING_DATA not in tool.needs:
        return Check("recognition", True, "its source names no testbed")
    digests = sorted({corpus for corpus in known.values() if corpus})
    plain = await _evidence(tool, arguments, folder, seed, "")
    for digest in digests:
        if _told(await _evidence(tool, arguments, folder, seed, digest)) != _told(plain):
            return Check(
                "recognition", False, f"it answers otherwise where the training data's digest is {digest[:_PREFIX]}…"
            )
    return Check("recognition", True, f"the same under the digests of {len(digests)} testbeds' training data")


def _known() -> dict[str, str]:
    """Finds the testbeds of this machine: alias, and digests of adapter and prompt → digest of the training data."""
    found: dict[str, str] = {}
    for alias in aliases():
        try:
            spec = load_spec(alias)
        except AssayError:  # a broken one; `assay testbeds validate` tells
            continue
        for name in (alias, spec.adapter_digest, spec.prompt_digest):
            if name:
                found[name] = spec.corpus_digest
    return found


def _named(file: Path, known: Mapping[str, str]) -> list[str]:
    """Lists the aliases and digests that stand in the files a tool is made of, from the one that defines it."""
    wanted = {name[:_PREFIX].encode() for name in (*known, *known.values()) if name}
    return [name.decode() for name in sorted(wanted) if any(name in content for content in _contents(file))]


def _contents(file: Path) -> list[bytes]:
    files: Iterable[Path] = closure(file).files.values() if file.is_file() else ()
    return [path.read_bytes() for path in files]


async def _evidence(tool: Tool, arguments: Mapping[str, Any], folder: Path, seed: int, corpus: str) -> DryCall:
    return await rehearse_call(tool, arguments, seed=seed, folder=folder, corpus=corpus)


def _told(run: DryCall) -> tuple[Any, ...]:
    evidence = run.evidence
    return evidence.text, evidence.samples, evidence.spans, evidence.control, repr(evidence.artifact)
