"""What installed packages offer under a name, found without importing them and loaded when it is asked for."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from assay.errors import AssayError, PluginError, UnknownId


def offered(group: str) -> list[str]:
    """Names in a group of entry points."""
    return sorted({entry.name for entry in metadata.entry_points(group=group)})


def find(group: str, kind: str, name: str) -> metadata.EntryPoint:
    """Find what a group offers under a name; nothing is imported.

    Args:
        group: of entry points, such as `assay.engines`.
        kind: what an error calls it.
        name: that is asked for.

    Raises:
        UnknownId: no package offers it; names those there are.
        PluginError: two packages do.
    """
    found = [entry for entry in metadata.entry_points(group=group) if entry.name == name]
    offers = {entry.value: entry for entry in found}  # the same package may be listed twice on the path
    if not offers:
        raise UnknownId(kind, name, offered(group))
    if len(offers) > 1:
        raise PluginError(
            f"{kind} {name!r} is offered twice: {', '.join(sorted(offers))}. Uninstall one of the packages."
        )
    return next(iter(offers.values()))


def load(group: str, kind: str, name: str) -> Any:
    """Load what a group offers under a name.

    Raises:
        UnknownId: as `find`.
        PluginError: as `find`, or it cannot be loaded.
    """
    entry = find(group, kind, name)
    try:
        return entry.load()
    except AssayError:
        raise
    except Exception as error:
        raise PluginError(
            f"{kind} {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}. "
            f"Repair or uninstall its package."
        ) from error
