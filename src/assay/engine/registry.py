"""Finds engines by name, through the entry points `assay.engines`; built-ins use the hook that outsiders use."""

from __future__ import annotations

from assay._util.entry_points import load, offered
from assay.core.engine import Engine, EngineSettings, EngineSpec
from assay.errors import AssayError, PluginError

GROUP = "assay.engines"


def engines() -> list[str]:
    """Lists the names of the installed engines, without importing them."""
    return offered(GROUP)


def make_engine(words: EngineSpec, settings: EngineSettings) -> Engine:
    """Makes the engine some words name. It loads nothing heavy before a target is opened.

    Raises:
        UnknownId: no package offers an engine of that name.
        InvalidInput: the engine can do nothing with its arguments.
        PluginError: it cannot be loaded or made, or is no engine.
    """
    factory = load(GROUP, "engine", words.name)
    try:
        made: Engine = factory(words.arguments, settings)
    except AssayError:
        raise
    except Exception as error:
        raise PluginError(
            f"engine {words.name!r} cannot be made of {words.arguments!r}: {type(error).__name__}: {error}. "
            f"Its factory is called with the arguments and EngineSettings."
        ) from error
    wanted = ("open", "identity", "machine", "close")
    missing = [method for method in wanted if not callable(getattr(made, method, None))]
    if missing:
        raise PluginError(f"engine {words.name!r} has no {', '.join(missing)}; see assay.core.engine.Engine.")
    return made
