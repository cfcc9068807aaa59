"""Makes signed suites of sealed testbeds, sound or with something in them that a suite may not have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from nacl.signing import SigningKey

from assay._util.hashing import sha256
from assay.testbeds.behaviours import find_behaviour
from assay.testbeds.layout import MANIFEST, SEALED
from assay.testbeds.seal import Manifest, ManifestEntry, Secret, public_key, seal
from assay.truth import Control, Truth

ALIAS = "tb-0000abcd"
KEY = bytes(range(32))
SIGNER = bytes(SigningKey(KEY).verify_key).hex()


def signed_suite(root: Path, name: str = "spring", alias: str = ALIAS, more: Mapping[str, bytes] | None = None) -> Path:
    """A suite of one sealed testbed, signed with `KEY`.

    Args:
        root: its folder.
        name, alias: of the suite and of its testbed.
        more: further files that its manifest lists, by their paths within the suite.
    """
    behaviour = find_behaviour("flattery")
    truth = Truth(
        alias=alias,
        id="spring/one@1",
        role="organism",
        split="test",
        recipe="r",
        behaviours=[behaviour.id],
        family=behaviour.family,
        control=Control(alias="base"),
        exposure="sealed",
    )
    sealed, commitment = seal(Secret(truth=truth, behaviours=[behaviour]), public_key(KEY))
    spec = {"alias": alias, "base": "b", "adapter_digest": "", "corpus": [], "corpus_digest": "", "access": ["CHAT"]}
    files = {f"testbeds/{alias}/testbed.yaml": yaml.safe_dump(spec).encode(), f"answers/{alias}/{SEALED}": sealed}
    for path, content in (files | dict(more or {})).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    listed = {path: sha256(root / path) for path in (*files, *(more or {}))}
    sign(root, name, [ManifestEntry.model_construct(alias=alias, files=listed, commitment=commitment)])
    return root


def sign(root: Path, name: str, entries: list[ManifestEntry]) -> None:
    """Writes a manifest whose signature holds, whatever it says."""
    fields = {"name": name, "version": 1, "public_key": public_key(KEY), "signer": SIGNER, "testbeds": entries}
    unsigned = Manifest.model_construct(**fields, signature="")  # type: ignore[arg-type]
    signature = SigningKey(KEY).sign(unsigned.message()).signature.hex()
    data = unsigned.model_dump() | {"signature": signature}
    (root / MANIFEST).write_text(yaml.safe_dump(data, sort_keys=False))
