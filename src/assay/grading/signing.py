"""Signs what the grading process finds, so that nobody else's row passes for a grade.

The grading process alone opens the signing key (Ed25519, under `ASSAY_HOME/keys`). Beside it, in a folder of their own,
lie the public keys of graders that are believed: this machine's, and those of other machines that a person put there.
Whoever reads grades needs no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from assay._util.atomic import write_text
from assay._util.hashing import digest_of
from assay.core.answer import GameAnswer
from assay.core.record import GradeRow
from assay.errors import InvalidInput
from assay.grading.constant import SignedConstant
from assay.testbeds.seal import keys_folder, read_key, write_key

NONCE = r"^([0-9a-f]{32})?$"  # what a nonce looks like; "" is none yet


def new_nonce() -> str:
    """Draws what a grade's samples are seeded by: 128 bits that nobody can know before."""
    return secrets.token_hex(16)


def seed_of(nonce: str) -> int:
    """Returns the seed that a nonce is."""
    return int(nonce, 16)


def report_digest(report: GameAnswer) -> str:
    """Digests what a report says; spaces between its JSON's parts say nothing."""
    return digest_of(report.model_dump(mode="json"))


def signing_key_path() -> Path:
    """Returns where the signing key is kept: a folder that nothing but the grading process has to open."""
    return keys_folder() / "grading" / "signing.key"


def public_keys_folder() -> Path:
    """Returns where public keys of graders are kept, one `NAME.pub` each."""
    return keys_folder() / "graders"


class Signer:
    """Signs grades. For the grading process alone.

    Args:
        key: private.
    """

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @classmethod
    def here(cls) -> Self:
        """Opens this machine's key, or makes it, and publishes the public half.

        Raises:
            InvalidInput: the key is broken, or cannot be read or written.
        """
        path = signing_key_path()
        if not path.exists():
            write_key(path)  # of two graders that come at once one writes; both read what is there then
        signer = cls(SigningKey(read_key(path)))
        public = bytes(signer._key.verify_key).hex()
        known = public_keys_folder() / f"{public[:16]}.pub"
        if not known.is_file():
            write_text(known, public + "\n")
        return signer

    def grade(self, row: GradeRow, alias: str, report: str) -> GradeRow:
        """Signs a row, which has its nonce, as the grade of this report about this testbed.

        Args:
            row: unsigned.
            alias: of the testbed.
            report: digest of the report.
        """
        return replace(row, signature=self._sign(_grade_statement(row, alias, report)))

    def constant(self, found: SignedConstant) -> SignedConstant:
        """Signs a best constant."""
        return replace(found, signature=self._sign(_constant_statement(found)))

    def validation(self, said: Mapping[str, Any]) -> str:
        """Returns the signature of what a validation of judges says."""
        return self._sign(_validation_statement(said))

    def _sign(self, statement: bytes) -> str:
        return self._key.sign(statement).signature.hex()


class KnownGraders:
    """Tells grades from what others wrote in their place.

    Args:
        keys: public ones of the graders that are believed.
    """

    def __init__(self, keys: Iterable[VerifyKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def here(cls) -> Self:
        """Reads the public keys of this machine; there is none before the first grade.

        Raises:
            InvalidInput: one of them is broken, or cannot be read.
        """
        return cls(map(_public_key, sorted(public_keys_folder().glob("*.pub"))))

    def made_grade(self, row: GradeRow, alias: str, report: str) -> bool:
        """Tells whether one of them signed this row as the grade of this report about this testbed."""
        try:
            statement = _grade_statement(row, alias, report)
        except (TypeError, ValueError):
            return False  # a database takes values of any type, and none of ours has no JSON
        return self._signed(statement, row.signature)

    def made_constant(self, found: SignedConstant) -> bool:
        """Tells whether one of them signed this best constant."""
        return self._signed(_constant_statement(found), found.signature)

    def made_validation(self, said: Mapping[str, Any], signature: str) -> bool:
        """Tells whether one of them signed what a validation of judges says."""
        return self._signed(_validation_statement(said), signature)

    def _signed(self, statement: bytes, signature: Any) -> bool:
        try:
            given = bytes.fromhex(signature)
        except (TypeError, ValueError):
            return False
        return any(_verified(key, statement, given) for key in self._keys)


def _verified(key: VerifyKey, statement: bytes, signature: bytes) -> bool:
    try:
        key.verify(statement, signature)
    except (BadSignatureError, ValueError):  # the latter of another length
        return False
    return True


def _public_key(path: Path) -> VerifyKey:
    try:
        return VerifyKey(bytes.fromhex(path.read_text(encoding="utf-8").strip()))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise InvalidInput(
            f"{path}: not a grader's public key (64 hexadecimal digits). Delete it; this machine's own is written anew "
            f"at the next grading."
        ) from None


# What is signed begins with what it is, so that no signature can be moved from one kind to the other.
def _grade_statement(row: GradeRow, alias: str, report: str) -> bytes:
    said = asdict(row)
    del said["signature"]
    return _statement("assay grade 1", said, alias, report)


def _constant_statement(found: SignedConstant) -> bytes:
    said = asdict(found)
    del said["signature"]
    return _statement("assay best-constant 1", said)


def _validation_statement(said: Mapping[str, Any]) -> bytes:
    return _statement("assay judge validation 1", dict(said))


def _statement(*parts: Any) -> bytes:
    return digest_of(parts).encode()
