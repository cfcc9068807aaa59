"""Makes aliases: names under which audits know testbeds, and which tell nothing of them."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import secrets
from pathlib import Path

from assay.core.testbed import ALIAS
from assay.testbeds.seal import key_path, read_key, write_key

_KEY = "_aliases"  # no suite can be called so


def is_alias(name: str) -> bool:
    """Tells whether a name has the form of the aliases made here."""
    return re.fullmatch(ALIAS, name) is not None


def random_alias() -> str:
    """Draws an alias for a testbed that is registered: `tb-` and eight hex digits."""
    return f"tb-{secrets.token_hex(4)}"


def keyed_alias(name: str) -> str:
    """Returns the alias that a testbed has on this installation, the same each time.

    It depends on a secret that lies with the keys: whoever has the list of names cannot find out which one an alias
    stands for.

    Args:
        name: full id.

    Raises:
        NotWritten: there is no secret yet, and it cannot be kept.
    """
    return f"tb-{hmac.new(_secret(key_path(_KEY)), name.encode(), hashlib.sha256).hexdigest()[:8]}"


def guessable_alias(name: str) -> str:
    """Returns the alias that earlier versions gave: a digest of the name, which anybody can compute."""
    return f"tb-{hashlib.sha256(f'assay/elsewhere/1|{name}'.encode()).hexdigest()[:8]}"


@functools.cache
def _secret(path: Path) -> bytes:
    """Reads the secret of aliases, drawn at random the first time."""
    if not path.is_file():
        write_key(path)
    return read_key(path)
