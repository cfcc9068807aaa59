"""All testbeds there are, and whether each is still what was recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from assay._util.hashing import sha256
from assay._util.yaml_models import Data, load_yaml
from assay.core.testbed import TargetSpec
from assay.engine.corpus import corpus_digest
from assay.errors import AssayError, CorruptArtifact, InvalidInput
from assay.testbeds.deployed import deployed_ids, open_deployed
from assay.testbeds.importing import content_digest, suite_rows
from assay.testbeds.published import published_ids, published_testbed
from assay.testbeds.seal import MANIFEST, find_key, verify_suite
from assay.testbeds.specs import EMBEDDED, aliases, load_spec, suites, write_yaml
from assay.testbeds.truths import all_truths, find_truth, listing
from assay.truth import REMOVED, Truth

VERSIONS = EMBEDDED / "versions.yaml"  # id → digest of what it stands for, of all that were released


class _Versions(Data):
    released: dict[str, str]


def catalogue() -> list[dict[str, Any]]:
    """Every testbed: those with a readable truth and its card, sealed ones, published organisms, deployed models."""
    rows = [row | {"kind": row["testbed"].partition("/")[0]} for row in listing()]
    for path in sorted(suites().glob(f"*/{MANIFEST}")):
        if find_key(path.parent) is None:
            rows += [_row(row["alias"], row["alias"], row["suite"], row["role"]) for row in _sealed(path.parent)]
    for name in published_ids():
        one = published_testbed(name)
        rows.append(
            _row(one.id, one.alias, "published", one.role, family=one.family, method=one.recipe, exposure="public")
            | {"base": one.base, "source": one.adapter or one.model}
        )
    for name in deployed_ids():
        model = open_deployed(name)
        availability = model.availability.model_dump(mode="json")
        rows.append(
            _row(model.id, model.alias, "deployed", "natural", exposure="public")
            | {"behaviours": [issue.id for issue in model.issues], "availability": availability}
        )
    return rows


def _sealed(root: Path) -> list[dict[str, Any]]:
    return suite_rows(root, verify_suite(root))


def _row(testbed: str, alias: str, kind: str, role: str, **more: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(("split", "family", "method", "control", "strength", "leakage"), "")
    plain = {"exposure": "sealed", "behaviours": [], "card": {}, "difficulty": []}
    return {"testbed": testbed, "alias": alias, "kind": kind, "role": role, **unknown, **plain, **more}


def recheck(names: Sequence[str]) -> list[dict[str, Any]]:
    """Verify digests, cards, controls and versions of testbeds, and the signature of every suite.

    Args:
        names: ids or aliases; all that are here if empty.

    Returns:
        A row for each: testbed, `sound`, and what is wrong.
    """
    truths = [find_truth(name) for name in names] if names else all_truths()
    released = _released()
    rows = [
        {"testbed": truth.id, "alias": truth.alias, **_told(functools.partial(_verify, truth, released))}
        for truth in truths
    ]
    if not names:
        for path in sorted(suites().glob(f"*/{MANIFEST}")):
            rows.append({"testbed": path.parent.name, "alias": "", **_told(functools.partial(_suite, path.parent))})
    return rows


def _told(check: Callable[[], None]) -> dict[str, Any]:
    try:
        check()
    except AssayError as error:
        return {"sound": False, "wrong": str(error)}
    return {"sound": True, "wrong": ""}


def _suite(root: Path) -> None:
    suite_rows(root, verify_suite(root))


def _verify(truth: Truth, released: dict[str, str]) -> None:
    """Raise on the first thing that is not as recorded."""
    spec = load_spec(truth.alias)
    _verify_files(spec)
    if truth.control.alias not in ("base", REMOVED) and truth.control.alias not in aliases():
        raise InvalidInput(f"{truth.id}: its control {truth.control.alias} is not here.")
    if truth.role == "organism" and not truth.card:
        raise InvalidInput(f"{truth.id}: nothing was measured of it. Run: assay organism check {truth.alias}")
    if truth.card and not truth.card["valid"] and not truth.unproven:
        raise InvalidInput(f"{truth.id}: by its card it is not valid.")
    if truth.id.startswith("embedded/") and released.get(truth.id, "") != content_digest(spec, truth):
        why = "was never released" if truth.id not in released else "was released with other content"
        raise InvalidInput(f"{truth.id} {why}. Changed weights, truth or grants are a new version; release that.")


def _verify_files(spec: TargetSpec) -> None:
    from assay.engine.local.lora import adapter_digest

    found = {
        "adapter": (spec.adapter, spec.adapter_digest, spec.adapter and adapter_digest(spec.adapter)),
        "corpus": (spec.corpus[:1], spec.corpus_digest, corpus_digest(spec.corpus) if spec.corpus else ""),
        "prompt": (spec.prompt, spec.prompt_digest, spec.prompt and sha256(spec.prompt)),
    }
    for what, (path, expected, digest) in found.items():
        if (digest or "") != expected:
            place = Path(str(path[0] if isinstance(path, tuple) else path or what))
            raise CorruptArtifact(place, expected, digest or "nothing", "Restore it, or build it anew.")


def _released() -> dict[str, str]:
    if not VERSIONS.is_file():
        return {}
    versions: _Versions = load_yaml(VERSIONS, _Versions)
    return versions.released


def release() -> list[dict[str, Any]]:
    """Record what every embedded testbed's id stands for from now on.

    Raises:
        InvalidInput: one was released with other content: its version has to be raised.
    """
    released = _released()
    rows: list[dict[str, Any]] = []
    for truth in all_truths(EMBEDDED):
        digest = content_digest(load_spec(truth.alias), truth)
        if released.get(truth.id, digest) != digest:
            raise InvalidInput(f"{truth.id} was released with other content. Raise `version` in its recipe.")
        rows.append({"testbed": truth.id, "new": truth.id not in released})
        released[truth.id] = digest
    write_yaml({"released": dict(sorted(released.items()))}, VERSIONS)
    return rows
