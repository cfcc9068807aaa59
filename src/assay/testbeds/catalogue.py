"""Lists all testbeds there are, and checks whether each is still what was recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from assay._util.hashing import sha256
from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.core.testbed import TargetSpec
from assay.engine.corpus import corpus_digest
from assay.errors import AssayError, CorruptArtifact, InvalidInput
from assay.testbeds.deployed import deployed_ids, open_deployed
from assay.testbeds.importing import content_digest, suite_rows
from assay.testbeds.published import published_ids, published_testbed
from assay.testbeds.seal import MANIFEST, find_key, verify_suite
from assay.testbeds.specs import aliases, load_spec
from assay.testbeds.suites import EMBEDDED_SUITE, Suite, suites
from assay.testbeds.truths import all_truths, find_truth, listing
from assay.truth import REMOVED, Truth

VERSIONS = "versions.yaml"  # under a suite's answers: id → digest of what it stands for, of all that were released


class _Versions(Data):
    """Every id that was released, with the digest of what it stands for."""

    released: dict[str, str]


def catalogue() -> list[dict[str, Any]]:
    """Lists every testbed: with a readable truth and its card, sealed, published, and deployed models."""
    rows = [row | {"kind": row["testbed"].partition("/")[0]} for row in listing()]
    for suite in _signed():
        if find_key(suite.name) is None:  # those that a key here opens are among the readable truths
            rows += [_row(row["alias"], row["alias"], row["suite"], row["role"]) for row in _sealed(suite)]
    told = {row["alias"] for row in rows}
    for suite in suites():
        for alias in aliases(suite):
            if alias not in told:  # its answer is not on this machine
                rows.append(_row(alias, alias, suite.name, "unread"))
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


def _signed() -> list[Suite]:
    """Finds the suites that came with a signed manifest."""
    return [suite for suite in suites() if (suite.root / MANIFEST).is_file()]


def _sealed(suite: Suite) -> list[dict[str, Any]]:
    """Verifies a signed suite, and lists its testbeds."""
    return suite_rows(suite, verify_suite(suite.root))


def _row(testbed: str, alias: str, kind: str, role: str, **more: Any) -> dict[str, Any]:
    """Makes a row of the table, whose further columns are empty unless given."""
    unknown = dict.fromkeys(("split", "family", "method", "control", "strength", "leakage"), "")
    plain = {"exposure": "sealed", "behaviours": [], "card": {}, "difficulty": []}
    return {"testbed": testbed, "alias": alias, "kind": kind, "role": role, **unknown, **plain, **more}


def validate(names: Sequence[str]) -> list[dict[str, Any]]:
    """Verifies digests, cards, controls and versions of testbeds, and the signature of every suite.

    Args:
        names: ids or aliases; all that are here if empty.

    Returns:
        A row for each: testbed, `sound`, and what is wrong.
    """
    truths = [find_truth(name) for name in names] if names else all_truths()
    released: dict[str, str] = {}
    for suite in suites():
        released |= _released(suite)
    rows: list[dict[str, Any]] = []
    for truth in truths:
        verdict = _told(functools.partial(_verify, truth, released))
        rows.append({"testbed": truth.id, "alias": truth.alias, **verdict})
    if not names:
        for suite in _signed():
            rows.append({"testbed": suite.name, "alias": "", **_told(functools.partial(_sealed, suite))})
    return rows


def _told(check: Callable[[], object]) -> dict[str, Any]:
    """Runs a check, and tells what is wrong instead of raising it."""
    try:
        check()
    except AssayError as error:
        return {"sound": False, "wrong": str(error)}
    return {"sound": True, "wrong": ""}


def _verify(truth: Truth, released: dict[str, str]) -> None:
    """Raises on the first thing that is not as recorded."""
    spec = load_spec(truth.alias)
    _verify_files(spec)
    if truth.control.alias not in ("base", REMOVED) and truth.control.alias not in aliases():
        raise InvalidInput(f"{truth.id}: its control {truth.control.alias} is not here.")
    if truth.role == "organism" and not truth.card:
        raise InvalidInput(f"{truth.id}: nothing was measured of it. Run: assay organisms verify {truth.alias}")
    if truth.card and not truth.card.valid and not truth.unproven:
        raise InvalidInput(f"{truth.id}: by its card it is not valid.")
    # others' suites are not released here, and their digests lie in a signed manifest if anywhere
    if truth.id.startswith(f"{EMBEDDED_SUITE}/") and released.get(truth.id, "") != content_digest(spec, truth):
        why = "was never released" if truth.id not in released else "was released with other content"
        raise InvalidInput(f"{truth.id} {why}. Changed weights, truth or grants are a new version; release that.")


def _verify_files(spec: TargetSpec) -> None:
    """Raises if adapter, corpus or hidden prompt have another digest than the testbed's file says."""
    from assay.engine.local.lora import adapter_digest

    adapter = adapter_digest(spec.adapter) if spec.adapter else ""
    _require_digest(spec.adapter or Path("adapter"), spec.adapter_digest, adapter)
    corpus = corpus_digest(spec.corpus) if spec.corpus else ""
    _require_digest(spec.corpus[0] if spec.corpus else Path("corpus"), spec.corpus_digest, corpus)
    prompt = sha256(spec.prompt) if spec.prompt else ""
    _require_digest(spec.prompt or Path("prompt"), spec.prompt_digest, prompt)


def _require_digest(path: Path, expected: str, found: str) -> None:
    """Raises CorruptArtifact if a file has another digest than expected."""
    if found != expected:
        raise CorruptArtifact(path, expected, found or "nothing", "Restore it, or build it anew.")


def _released(suite: Suite) -> dict[str, str]:
    """Reads what a suite's ids were released as: id → digest."""
    path = suite.answers / VERSIONS
    if not path.is_file():
        return {}
    versions: _Versions = load_yaml(path, _Versions)
    return versions.released


def release(suite: Suite) -> list[dict[str, Any]]:
    """Records what every id of a suite stands for from now on.

    Returns:
        A row for each testbed: its id, and whether it is new.

    Raises:
        InvalidInput: one was released with other content: its version has to be raised. Or the suite is installed.
    """
    released = _released(suite.require_writable())
    rows: list[dict[str, Any]] = []
    for truth in all_truths(suite):
        digest = content_digest(load_spec(truth.alias, suite), truth)
        if released.get(truth.id, digest) != digest:
            raise InvalidInput(f"{truth.id} was released with other content. Raise `version` in its recipe.")
        rows.append({"testbed": truth.id, "new": truth.id not in released})
        released[truth.id] = digest
    write_yaml({"released": dict(sorted(released.items()))}, suite.answers / VERSIONS)
    return rows


def suite_listing() -> list[dict[str, Any]]:
    """Lists every suite: how many testbeds it has, of how many the answer can be read here, and where it lies."""
    rows: list[dict[str, Any]] = []
    for suite in suites():
        rows.append(
            {
                "suite": suite.name,
                "testbeds": len(aliases(suite)),
                "answers": len(all_truths(suite)),
                "writable": not suite.installed,
                "folder": str(suite.root),
            }
        )
    return rows
