"""Takes in signed suites of sealed testbeds, and hands them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay._util.atomic import replace_folder
from assay.errors import InvalidInput
from assay.testbeds.archive import copy_folder, pack, refuse, unpack
from assay.testbeds.layout import MANIFEST
from assay.testbeds.seal import suite_rows, verify_suite
from assay.testbeds.soundness import wrong_with_files, wrong_with_suite
from assay.testbeds.specs import aliases, load_spec
from assay.testbeds.suites import RESERVED, Suite, adding, own_suite, own_suites, suites


def add_suite(bundle: Path, signer: str = "") -> list[dict[str, Any]]:
    """Takes in a signed suite: a folder, or a .tar or .tar.gz of one.

    Args:
        bundle: its path.
        signer: verify key that must have signed it, in hexadecimal; that of the manifest if "".

    Returns:
        A row for each testbed.

    Raises:
        CorruptArtifact: signature, digest or commitment do not hold.
        InvalidInput: no suite, one with something in it that does not belong there or cannot be used, or one of this
            name is there already.
    """
    with adding() as scratch:
        root = scratch / "suite"
        (copy_folder if bundle.is_dir() else unpack)(bundle, root, signer)
        manifest = verify_suite(root, signer)
        place = own_suite(manifest.name)
        there = suites()
        if manifest.name in RESERVED:
            raise InvalidInput(f"{bundle}: no suite from outside is called {manifest.name!r}. Ask for another name.")
        if manifest.name in {suite.name for suite in there} or place.root.exists():
            raise InvalidInput(f"suite {manifest.name!r} is there already. To take it anew, delete {place.root} first.")
        made = Suite(manifest.name, root)
        refuse(bundle, _faults(made, there))
        rows = suite_rows(made, manifest)
        replace_folder(root, place.root)
    return rows


def _faults(made: Suite, there: list[Suite]) -> list[str]:
    """Says all that is wrong with a suite that was unpacked, and is not in its place yet."""
    found = [wrong for _, wrong in wrong_with_suite(made, [*there, made])]
    for alias in aliases(made):
        wrong = wrong_with_files(alias, made)
        if not wrong and Path(load_spec(alias, made).base).is_absolute():
            wrong = [f"{alias}: its base is a folder, which is another one on each machine"]
        found += wrong
    return found


def bundle_suite(name: str, out: Path) -> Path:
    """Packs an added or generated suite to hand it on; its key is not in it.

    Raises:
        InvalidInput: no such suite, or the file cannot be written.
        CorruptArtifact: it is not as it was signed.
    """
    root = own_suite(name).root
    if not (root / MANIFEST).is_file():
        known = ", ".join(sorted(path.parent.name for path in own_suites().glob(f"*/{MANIFEST}"))) or "none"
        raise InvalidInput(f"no signed suite {name!r}; there are: {known}.")
    verify_suite(root)
    pack(root, name, out)
    return out
