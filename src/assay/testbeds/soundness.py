"""Says all that is wrong with a testbed or a suite, each fault apart, so that one never hides the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from assay._util.hashing import digest_of, files_of, sha256
from assay.core.testbed import TargetSpec
from assay.engine.corpus import corpus_digest
from assay.engine.peft_layout import WEIGHTS
from assay.errors import AssayError, CorruptArtifact, InvalidInput
from assay.testbeds.layout import ADAPTER, PROMPT, TRUTH, WORKSPACE, unlisted
from assay.testbeds.seal import suite_rows, verify_suite
from assay.testbeds.specs import aliases, holders, load_spec
from assay.testbeds.suites import Suite
from assay.testbeds.tensor_files import require_tensors
from assay.testbeds.truths import read_truths
from assay.truth import open_behaviour

_RESTORE = "Restore it, or build it anew."


def told(check: Callable[[], object]) -> list[str]:
    """Runs a check, and says what is wrong instead of raising it."""
    try:
        check()
    except (AssayError, OSError) as error:
        return [str(error)]
    return []


def wrong_with_files(alias: str, suite: Suite) -> list[str]:
    """Says what is wrong with what an audit opens of a testbed: not as recorded, or not the data it should be."""
    try:
        spec = load_spec(alias, suite)
    except AssayError as error:
        return [str(error)]
    found: list[str] = []
    for check in (_adapter, _corpus, _prompt, _workspace):
        found += told(functools.partial(check, spec, suite.testbeds / alias))
    return found


def _adapter(spec: TargetSpec, folder: Path) -> None:
    from assay.engine.local.lora import adapter_digest

    if spec.adapter:
        _require_digest(spec.adapter, spec.adapter_digest, adapter_digest(spec.adapter))
        require_tensors(spec.adapter / WEIGHTS)
    elif (folder / ADAPTER).exists():
        raise InvalidInput(f"{folder / ADAPTER}: is there, and its testbed has no adapter. Delete it.")


def _corpus(spec: TargetSpec, folder: Path) -> None:
    for path in spec.corpus:
        if not path.is_file():
            raise InvalidInput(f"{path}: no such file, and {folder.name} has it in its corpus. {_RESTORE}")
    _require_digest(folder, spec.corpus_digest, corpus_digest(spec.corpus))


def _prompt(spec: TargetSpec, folder: Path) -> None:
    path = folder / PROMPT
    _require_digest(path, spec.prompt_digest, sha256(path) if path.is_file() else "")


def _workspace(spec: TargetSpec, folder: Path) -> None:
    path = folder / WORKSPACE
    _require_digest(path, spec.workspace_digest, digest_of(files_of(path)) if path.is_dir() else "")


def _require_digest(path: Path, expected: str, found: str) -> None:
    """Raises CorruptArtifact if a file has another digest than expected."""
    if found != expected:
        raise CorruptArtifact(path, expected or "no such file", found or "nothing", _RESTORE)


def _as_signed(suite: Suite) -> None:
    """Raises if a signed suite is not what was signed, or a truth not what was committed to."""
    manifest = verify_suite(suite.root)
    if manifest.name != suite.name:
        raise InvalidInput(f"{suite.root}: its manifest calls it {manifest.name!r}. Name its folder so.")
    suite_rows(suite, manifest)


def wrong_with_suite(suite: Suite, among: list[Suite]) -> list[tuple[str, str]]:
    """Says what is wrong with a suite besides what its testbeds' own files are.

    Args:
        suite: to look at.
        among: all suites, whose aliases are apart.

    Returns:
        Pairs of an alias, "" for the suite itself, and what is wrong.
    """
    found = [("", wrong) for wrong in unlisted(suite.root, suite.signed, suite.installed)]
    if suite.signed:
        found += [("", wrong) for wrong in told(functools.partial(_as_signed, suite))]
    here = set(aliases(suite))
    for alias, holding in sorted(holders(among).items()):
        if alias in here and len(holding) > 1:
            places = " and ".join(str(one.testbeds / alias) for one in holding)
            found.append((alias, f"alias {alias} is there twice: {places}."))
    found += [(one.alias, one.wrong) for one in read_truths(suite)[1]]
    for path in sorted(suite.answers.glob(f"*/{TRUTH}")):
        if path.parent.name not in here:
            found.append((path.parent.name, f"{path}: an answer without a testbed. Delete it."))
    for path in sorted(suite.behaviours.glob("*.yaml")):
        found += [("", wrong) for wrong in told(functools.partial(open_behaviour, path))]
    return found
