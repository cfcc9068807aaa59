"""Every error Assay raises on purpose, one flat tree, one class per boundary crossed.

    AssayError
    ├── AccessDenied      a tool called the target beyond the access its testbed grants
    ├── BudgetExceeded    an audit spent what it was given
    ├── UnknownId         a name that no registry, suite or ledger holds
    ├── InvalidInput      a file or option the user wrote that cannot be used as it is
    │   ├── NotWritten    a file or folder that cannot be written: no room, or no permission
    │   └── TooLong       a prompt that is longer, with its reply, than the model takes
    ├── PluginError       a plug-in file that cannot be loaded, or breaks the contract
    │   └── AuditorFailed an auditor that raised, or returned no report
    ├── NoReport          an auditor whose language model ended without a report
    ├── ModelRefused      an auditor whose language model would not go on
    ├── ModelFailed       the language model of an auditor could not be asked
    ├── CorruptArtifact   a stored file whose digest is not the recorded one
    ├── BackendFailed     a model server or API that does not answer, or answers with a fault of its own
    ├── EngineFailed      an engine that broke off: no memory, a device that is gone, a fault in its code
    └── ReportInvalid     a report outside the limits of the contract

The message says what was given, what is allowed and what to do; the CLI prints it and exits with 2. Each class says
whom its errors blame; `blamed` puts that in front. An exception of no class here is a fault of Assay's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

Blame = Literal["tool", "auditor", "model", "target", "engine", "input", "budget", "assay"]


class AssayError(Exception):
    """Base of all errors meant for a person to read.

    Attributes:
        blames: who has to change something, so that it does not happen again.
    """

    blames: ClassVar[Blame] = "assay"


class AccessDenied(AssayError):
    """A call needs access the testbed does not grant."""

    blames = "tool"


class BudgetExceeded(AssayError):
    """The audit's budget is used up."""

    blames = "budget"


class InvalidInput(AssayError):
    """A file or option cannot be used as given."""

    blames = "input"


class NotWritten(InvalidInput):
    """A file or folder cannot be written where it was to go."""

    def __init__(self, path: Path, error: OSError, done: str = "written") -> None:
        super().__init__(f"{path} cannot be {done}: {error.strerror or error}.")


class TooLong(InvalidInput):
    """A prompt that does not fit into the model with its reply.

    Attributes:
        prompt: tokens of it; None where a server does not say.
        limit: tokens the model takes, prompt and reply together; None likewise.
    """

    def __init__(self, message: str, prompt: int | None = None, limit: int | None = None) -> None:
        super().__init__(f"{message} Give a shorter prompt, or ask for a shorter reply.")
        self.prompt, self.limit = prompt, limit


class PluginError(AssayError):
    """A plug-in cannot be loaded or breaks the contract."""

    blames: ClassVar[Blame] = "tool"


class AuditorFailed(PluginError):
    """An auditor raised, or returned what is no report."""

    blames = "auditor"


class NoReport(AssayError):
    """A language model was asked for its report to the last, and gave none that can be read."""

    blames = "auditor"


class ModelRefused(AssayError):
    """A language model, or its provider's filter, refused to audit."""

    blames = "model"


class ModelFailed(AssayError):
    """The language model of an auditor does not answer, or answers with a fault, after every retry."""

    blames = "model"


class BackendFailed(AssayError):
    """A model that lives elsewhere could not be asked; the same request may succeed later."""

    blames = "target"


class EngineFailed(AssayError):
    """An engine broke off in the middle of a request, or cannot start."""

    blames = "engine"


class ReportInvalid(AssayError):
    """A report is outside the limits of the contract."""

    blames = "input"


class UnknownId(AssayError):
    """A name nothing here holds; the message offers the closest ones."""

    blames = "input"

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

    blames = "target"

    def __init__(self, path: Path | str, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"{path}: expected SHA-256 {expected}, found {found}. {remedy}")
        self.expected, self.found = expected, found


def told(error: BaseException) -> str:
    """Returns an error's kind and text, whatever its class makes of being printed."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be printed)"
    return f"{type(error).__name__}: {text}"


@contextmanager
def engine_faults() -> Iterator[None]:
    """Makes whatever an engine raises of its own inside the block an `EngineFailed`."""
    try:
        yield
    except AssayError:
        raise
    except Exception as error:
        said = told(error)
        memory = isinstance(error, MemoryError) or "out of memory" in said or "OutOfMemory" in said
        what_to_do = "Give it more memory, or ask for less at once." if memory else "Run again; if it stays, report it."
        raise EngineFailed(f"the engine broke off: {said}. {what_to_do}") from error


def blamed(error: BaseException) -> str:
    """Says whose fault an error is, of what kind, and what it says: `tool: PluginError: …`."""
    return f"{error.blames if isinstance(error, AssayError) else 'assay'}: {told(error)}"
