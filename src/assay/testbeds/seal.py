"""Seals truths to a public key, and signs suites by who made them.

A sealed truth holds the truth, its behaviours and its recipe, encrypted to the suite's public key (libsodium's sealed
box). Only a grading process reads the private key. The manifest commits to each truth by a salted digest, so that
whoever publishes a truth later can prove that it is the one that was sealed; it lists every file's digest and is signed
(Ed25519).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from nacl.encoding import HexEncoder
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey
from pydantic import Field, ValidationError, field_validator

from assay._util.atomic import make_folder, write_once
from assay._util.hashing import files_of, sha256
from assay._util.paths import home, named_folder
from assay._util.strict_json import parse_json
from assay._util.text_files import as_text
from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.core.testbed import ALIAS
from assay.errors import CorruptArtifact, InvalidInput
from assay.testbeds.layout import MANIFEST, SEALED, SPEC, files_within
from assay.testbeds.names import is_suite_name
from assay.testbeds.suites import Suite
from assay.truth import Behaviour, Truth

_MODE = 0o600  # of a key: nobody else's to read


class Secret(Data):
    """Holds what is sealed of one testbed.

    Attributes:
        truth, behaviours: for grading.
        recipe: how it was made, so that it can be made again.
        seed: that drew it, "" if none did.
        grammar: version of the grammar it was drawn from: the same seed draws something else from another one.
    """

    truth: Truth
    behaviours: list[Behaviour]
    recipe: dict[str, Any] = {}
    seed: str = ""
    grammar: int = 1


class ManifestEntry(Data):
    """Lists one testbed in a manifest: file → SHA-256, and the truth's commitment."""

    alias: str = Field(pattern=ALIAS)
    files: dict[str, str]
    commitment: str


class Manifest(Data):
    """Describes a suite as its maker published it.

    Attributes:
        name, version: of the suite; ids are `<name>/<testbed>@<version>`.
        public_key: truths are sealed to, hexadecimal.
        signer: verifies the signature, hexadecimal.
        testbeds: in it.
        signature: of all of the above.
    """

    name: str
    version: int = 1
    public_key: str
    signer: str
    testbeds: list[ManifestEntry]
    signature: str = ""

    @field_validator("name")
    @classmethod
    def _name_of_a_suite(cls, name: str) -> str:
        if not is_suite_name(name):
            raise ValueError("no suite can be called so: small letters, digits, '.', '_' and '-'")
        return name

    @property
    def files(self) -> dict[str, str]:
        """Returns every file that it lists, by its path within the suite → SHA-256."""
        found: dict[str, str] = {}
        for entry in self.testbeds:
            found |= entry.files
        return found

    def message(self) -> bytes:
        """Returns the bytes that are signed."""
        return _canonical(self.model_dump(exclude={"signature"}))


def _canonical(data: Any) -> bytes:
    """Writes data as JSON in one way only, since what is signed is its bytes."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def new_key(name: str) -> Path:
    """Makes a suite's private key under `ASSAY_HOME/keys`: it unseals truths, and it signs.

    Raises:
        InvalidInput: there is one of that name; a key is never written over.
    """
    path = key_path(name)
    if not write_key(path):
        raise InvalidInput(f"{path} is there already. Name the suite otherwise, or use this key.")
    return path


def write_key(path: Path) -> bool:
    """Writes a new private key, whole or not at all and for its owner alone, unless one is there.

    Returns:
        Whether it was written.

    Raises:
        NotWritten: it cannot be.
    """
    for folder in (keys_folder(), path.parent):
        make_folder(folder, mode=0o700)
    return write_once(path, f"{secrets.token_hex(32)}\n".encode(), mode=_MODE)


def keys_folder() -> Path:
    """Returns where private keys are kept: in `ASSAY_KEYS`, or `ASSAY_HOME/keys`.

    Raises:
        InvalidInput: a variable names a file in a folder's place.
    """
    given = os.environ.get("ASSAY_KEYS", "")
    return named_folder("ASSAY_KEYS", given) if given else home() / "keys"


def key_path(name: str) -> Path:
    """Returns where a suite's private key is kept."""
    return keys_folder() / f"{name}.key"


def find_key(suite: str) -> bytes | None:
    """Reads the private key of a suite, if it is on this machine."""
    path = key_path(suite)
    return read_key(path) if path.is_file() else None


def read_key(path: Path) -> bytes:
    """Reads a private key from its file.

    Raises:
        InvalidInput: not one, or it cannot be read.
    """
    try:
        seed = bytes.fromhex(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}. It has to be readable by you alone.") from None
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise InvalidInput(f"{path}: not a key (64 hexadecimal digits). Restore it from a copy.")
    return seed


def public_key(seed: bytes) -> str:
    """Returns the key that truths are sealed to, in hexadecimal."""
    return bytes(PrivateKey.from_seed(seed).public_key).hex()


def seal(secret: Secret, key: str) -> tuple[bytes, str]:
    """Encrypts to a public key.

    Returns:
        The sealed bytes and the commitment: SHA-256 over a random salt and the content.
    """
    # without the salt a commitment could be tried against every truth one can guess
    salt, content = secrets.token_hex(16), secret.model_dump(mode="json")
    commitment = hashlib.sha256(salt.encode() + _canonical(content)).hexdigest()
    box = SealedBox(PublicKey(key.encode(), HexEncoder))
    return box.encrypt(_canonical({"salt": salt, "secret": content})), commitment


def unseal(path: Path, seed: bytes, commitment: str = "") -> Secret:
    """Decrypts, and compares with a commitment if one is given.

    Raises:
        CorruptArtifact: sealed to another key, changed since, or not what was committed to.
    """
    what_to_do = "Take the suite anew from where it was published, and its key from who made it."
    try:
        opened = SealedBox(PrivateKey.from_seed(seed)).decrypt(path.read_bytes())
        content = parse_json(as_text(opened, str(path)), str(path))
        secret = Secret.model_validate(content["secret"])
        salt = content["salt"].encode()
    except (CryptoError, InvalidInput, ValidationError, AttributeError, KeyError, TypeError):
        raise CorruptArtifact(path, "sealed to this key", "something else", what_to_do) from None
    found = hashlib.sha256(salt + _canonical(content["secret"])).hexdigest()
    if commitment and found != commitment:
        raise CorruptArtifact(path, commitment, found, what_to_do)
    return secret


def _files(root: Path, alias: str) -> dict[str, str]:
    """Returns every file of a testbed and of its answer, by its path within the suite → SHA-256."""
    suite = Suite(root.name, root)
    found: dict[str, str] = {}
    for folder in (suite.testbeds / alias, suite.answers / alias):
        for name, digest in files_of(folder).items():
            found[f"{folder.relative_to(root).as_posix()}/{name}"] = digest
    return found


def write_manifest(root: Path, name: str, seed: bytes, commitments: dict[str, str], version: int = 1) -> Manifest:
    """Lists a suite's files, and signs the list.

    Args:
        root: folder of the suite, whose testbeds are sealed.
        name: of the suite.
        seed: private key.
        commitments: alias → of its truth.
        version: raised with any change.
    """
    signing = SigningKey(seed)
    entries = [
        ManifestEntry(alias=alias, files=_files(root, alias), commitment=commitment)
        for alias, commitment in sorted(commitments.items())
    ]
    unsigned = Manifest(
        name=name,
        version=version,
        public_key=public_key(seed),
        signer=bytes(signing.verify_key).hex(),
        testbeds=entries,
    )
    manifest = unsigned.model_copy(update={"signature": signing.sign(unsigned.message()).signature.hex()})
    write_yaml(manifest.model_dump(), root / MANIFEST)
    return manifest


def verify_suite(root: Path, signer: str = "") -> Manifest:
    """Verifies a suite's signature and every digest.

    Args:
        root: folder of the suite.
        signer: verify key that must have signed it; the manifest's own if "".

    Raises:
        InvalidInput: no manifest, or not one of this shape.
        CorruptArtifact: signed by someone else, or a file is missing, added or changed.
    """
    manifest = verify_manifest(root, signer)
    sizes, odd = files_within(root)
    if odd:
        raise InvalidInput(f"{root}: {odd[0]}. A suite is files and folders alone; take it anew.")
    listed = manifest.files
    for name in sorted((listed.keys() | sizes.keys()) - {MANIFEST}):
        expected = listed.get(name, "no such file")
        found = sha256(root / name) if name in sizes else "no file"
        if expected != found:
            remedy = "Take the suite anew." if name in listed else "Delete it, or take the suite anew."
            raise CorruptArtifact(root / name, expected, found, remedy)
    return manifest


def verify_manifest(root: Path, signer: str = "") -> Manifest:
    """Verifies the signature of a suite's manifest, and that it lists each testbed once, with spec and sealed truth.

    Args:
        root: folder of the suite.
        signer: verify key that must have signed it; the manifest's own if "".

    Raises:
        InvalidInput: no manifest, or not one of this shape.
        CorruptArtifact: signed by someone else, or changed since.
    """
    manifest: Manifest = load_yaml(root / MANIFEST, Manifest)
    if signer and signer != manifest.signer:
        raise CorruptArtifact(root / MANIFEST, f"signed by {signer}", f"signed by {manifest.signer}", "Do not use it.")
    try:
        VerifyKey(bytes.fromhex(manifest.signer)).verify(manifest.message(), bytes.fromhex(manifest.signature))
    except (BadSignatureError, ValueError):
        raise CorruptArtifact(root / MANIFEST, "its signature", "another content", "Take the suite anew.") from None
    aliases = [entry.alias for entry in manifest.testbeds]
    for entry in manifest.testbeds:
        if aliases.count(entry.alias) > 1:
            raise InvalidInput(f"{root / MANIFEST}: lists {entry.alias} twice. Ask who made it for a sound one.")
        own = (f"testbeds/{entry.alias}/", f"answers/{entry.alias}/")
        needed = {f"{own[0]}{SPEC}", f"{own[1]}{SEALED}"}
        odd = sorted(name for name in entry.files if not name.startswith(own)) + sorted(needed - entry.files.keys())
        if odd:
            raise InvalidInput(
                f"{root / MANIFEST}: {entry.alias} wants {' and '.join(sorted(needed))}, and no files but its own; "
                f"see {odd[0]!r}. Ask who made it for a sound one."
            )
    return manifest


def suite_rows(suite: Suite, manifest: Manifest) -> list[dict[str, Any]]:
    """Lists a signed suite's testbeds; with their roles only where the key is here.

    Raises:
        CorruptArtifact: a truth is not what was committed to, as far as the key is here to tell.
    """
    key = find_key(suite.name)
    rows: list[dict[str, Any]] = []
    for entry in manifest.testbeds:
        row: dict[str, Any] = {"suite": f"{manifest.name}@{manifest.version}", "alias": entry.alias, "role": "sealed"}
        if key:
            row["role"] = unseal(suite.answers / entry.alias / SEALED, key, entry.commitment).truth.role
        rows.append(row)
    return rows
