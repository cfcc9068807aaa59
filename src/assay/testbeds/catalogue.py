"""Lists all testbeds there are, and checks whether each is still what was recorded."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.engine.composed import count_documents
from assay.errors import AssayError, InvalidInput
from assay.testbeds.deployed import deployed_ids, open_deployed
from assay.testbeds.importing import content_digest
from assay.testbeds.layout import VERSIONS
from assay.testbeds.published import published_ids, published_testbed
from assay.testbeds.seal import find_key, suite_rows, verify_suite
from assay.testbeds.soundness import told, wrong_with_files, wrong_with_suite
from assay.testbeds.specs import aliases, load_spec, suite_of
from assay.testbeds.suites import EMBEDDED_SUITE, Suite, misnamed, suites
from assay.testbeds.truths import all_truths, behaviours_of, find_truth, listing, read_truths
from assay.truth import REMOVED, Truth


class _Versions(Data):
    """Every id that was released, with the digest of what it stands for."""

    released: dict[str, str]


def catalogue() -> list[dict[str, Any]]:
    """Lists every testbed: with a readable truth and its card, sealed, broken, published, and deployed models."""
    rows = [row | {"kind": row["testbed"].partition("/")[0]} for row in listing()]
    rows += [_row(one.alias, one.alias, one.suite.name, "broken", wrong=one.wrong) for one in read_truths()[1]]
    for suite in suites():
        if suite.signed and find_key(suite.name) is None:  # those that a key here opens are among the readable truths
            rows += _sealed(suite)
    told_of = {row["alias"] for row in rows}
    for suite in suites():
        for alias in aliases(suite):
            if alias not in told_of:  # its answer is not on this machine
                rows.append(_row(alias, alias, suite.name, "unread"))
    # Without an alias: each has one from when it was fetched, and is then among the readable truths.
    here = {row["testbed"] for row in rows}
    for name in published_ids():
        if name in here:
            continue
        one = published_testbed(name)
        rows.append(
            _row(one.id, "", "published", one.role, family=one.family, method=one.recipe, exposure="public")
            | {"base": one.base, "source": one.adapter or one.model}
        )
    for name in deployed_ids():
        model = open_deployed(name)
        if f"deployed/{model.id}@{model.version}" in here:
            continue
        availability = model.availability.model_dump(mode="json")
        rows.append(
            _row(model.id, "", "deployed", "natural", exposure="public")
            | {"behaviours": [issue.id for issue in model.issues], "availability": availability}
        )
    return [row | {"documents": _documents(row)} for row in rows]


def _documents(row: dict[str, Any]) -> int | str:
    """Counts the documents of a testbed's corpus; "" where it is not here, or cannot be used."""
    try:
        return count_documents(load_spec(row["alias"]).corpus) if row["alias"] else ""
    except AssayError:
        return ""


def _sealed(suite: Suite) -> list[dict[str, Any]]:
    """Verifies a signed suite, and lists its testbeds; as broken ones if it is not as it was signed."""
    try:
        listed = suite_rows(suite, verify_suite(suite.root))
    except AssayError as error:
        return [_row(alias, alias, suite.name, "broken", wrong=str(error)) for alias in aliases(suite)]
    return [_row(row["alias"], row["alias"], row["suite"], row["role"]) for row in listed]


def _row(testbed: str, alias: str, kind: str, role: str, **more: Any) -> dict[str, Any]:
    """Makes a row of the table, whose further columns are empty unless given."""
    unknown = dict.fromkeys(("split", "family", "method", "control", "strength", "leakage"), "")
    plain = {"exposure": "sealed", "behaviours": [], "card": {}, "difficulty": []}
    return {"testbed": testbed, "alias": alias, "kind": kind, "role": role, **unknown, **plain, **more}


def validate(names: Sequence[str]) -> list[dict[str, Any]]:
    """Verifies digests, cards, controls and versions of testbeds; without names, of all, and what else suites hold.

    Args:
        names: ids or aliases; all that are here if empty.

    Returns:
        A row for each fault, and one for each testbed and suite that has none: testbed, alias, `sound`, and what is
        wrong.

    Raises:
        UnknownId: no such testbed.
    """
    truths, broken = read_truths()
    rows: list[dict[str, Any]] = []
    if names:
        unusable = {one.alias: one.wrong for one in broken}
        truths = [find_truth(name) for name in names if name not in unusable]
        for name in filter(unusable.__contains__, names):
            rows += _verdicts(name, name, [unusable[name]])
    among = suites()
    released: dict[str, str] = {}
    for suite in among:
        if suite.name == EMBEDDED_SUITE:
            released = _released(suite)
    for truth in truths:
        rows += _verdicts(truth.id, truth.alias, _wrong_with(truth, released))
    if names:
        return rows
    for suite in among:
        for alias, wrong in wrong_with_suite(suite, among):
            rows += _verdicts(alias or suite.name, alias, [wrong])
        for alias in sorted(set(aliases(suite)) - {truth.alias for truth in truths}):
            found = wrong_with_files(alias, suite)  # of those whose truth is sealed, absent or broken
            if found or alias not in {row["alias"] for row in rows}:
                rows += _verdicts(alias, alias, found)
        if suite.name not in {row["testbed"] for row in rows}:
            rows += _verdicts(suite.name, "", [])
    for path in misnamed():
        rows += _verdicts(path.name, "", [f"{path}: no suite can be called so, and it is none. Rename the folder."])
    return rows


def _verdicts(testbed: str, alias: str, wrong: Sequence[str]) -> list[dict[str, Any]]:
    """Makes a row for each fault; one that says so if there is none."""
    row = {"testbed": testbed, "alias": alias}
    return [row | {"sound": False, "wrong": one} for one in wrong] or [row | {"sound": True, "wrong": ""}]


def _wrong_with(truth: Truth, released: dict[str, str]) -> list[str]:
    """Says all that is not as recorded of a testbed."""
    suite = suite_of(truth.alias)
    found = wrong_with_files(truth.alias, suite)
    if truth.control.alias not in ("base", REMOVED) and truth.control.alias not in aliases():
        found.append(f"{truth.id}: its control {truth.control.alias} is not here.")
    found += told(functools.partial(behaviours_of, truth))
    if truth.role != "unknown" and bool(truth.behaviours) != (truth.role == "organism"):
        found.append(f"{truth.id}: an organism has at least one behaviour, a clean target none.")
    if truth.role == "organism" and not truth.card:
        found.append(f"{truth.id}: nothing was measured of it. Run: assay organisms verify {truth.alias}")
    if truth.card and not truth.card.valid and not truth.unproven:
        found.append(f"{truth.id}: by its card it is not valid.")
    # others' suites are not released here, and their digests lie in a signed manifest if anywhere
    if suite.name == EMBEDDED_SUITE and not found and released.get(truth.id) != _content(truth, suite):
        why = "was never released" if truth.id not in released else "was released with other content"
        found.append(f"{truth.id} {why}. Changed weights, truth or grants are a new version; release that.")
    return found


def _content(truth: Truth, suite: Suite) -> str:
    return content_digest(load_spec(truth.alias, suite), truth)


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
