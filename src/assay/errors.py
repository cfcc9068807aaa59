"""Every error Assay raises on purpose, one flat tree, one class per boundary crossed.

    AssayError
    ├── AccessDenied      a tool called the target beyond the access its testbed grants
    ├── BudgetExceeded    an audit spent what it was given
    ├── UnknownId         a name that no registry, suite or ledger holds
    ├── InvalidInput      a file or option the user wrote that cannot be used as it is
    │   └── NotWritten    a file or folder that cannot be written: no room, or no permission
    ├── PluginError       a plug-in file that cannot be loaded, or breaks the contract
    ├── CorruptArtifact   a stored file whose digest is not the recorded one
    ├── BackendFailed     a model server or API that does not answer, or answers with a fault of its own
    └── ReportInvalid     a report outside the limits of the contract

The message says what was given, what is allowed and what to do; the CLI prints it and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class AssayError(Exception):
    """Base of all errors meant for a person to read."""


class AccessDenied(AssayError):
    """A call needs access the testbed does not grant."""


class BudgetExceeded(AssayError):
    """The audit's budget is used up."""


class InvalidInput(AssayError):
    """A file or option cannot be used as given."""


class NotWritten(InvalidInput):
    """A file or folder cannot be written where it was to go."""

    def __init__(self, path: Path, error: OSError, done: str = "written") -> None:
        super().__init__(f"{path} cannot be {done}: {error.strerror or error}.")


class PluginError(AssayError):
    """A plug-in cannot be loaded or breaks the contract."""


class BackendFailed(AssayError):
    """A model that lives elsewhere could not be asked; the same request may succeed later."""


class ReportInvalid(AssayError):
    """A report is outside the limits of the contract."""


class UnknownId(AssayError):
    """A name nothing here holds; the message offers the closest ones."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        close = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
        close += [name for name in names if given and given in name and name not in close][:3]
        hint = f"; close to it: {', '.join(close)}" if close else ""
        shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
        super().__init__(f"unknown {kind} {given!r}{hint}. Known: {shown or 'none'}.")
        self.close = close


class CorruptArtifact(AssayError):
    """A stored file is not the one that was recorded."""

    def __init__(self, path: Path | str, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"{path}: expected SHA-256 {expected}, found {found}. {remedy}")
        self.expected, self.found = expected, found
