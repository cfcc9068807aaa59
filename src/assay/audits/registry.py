"""Tools and auditors by name, found lazily through entry points; built-ins use the hook that outsiders use.

A package offers a tool in its `pyproject.toml`:

    [project.entry-points."assay.tools"]
    my_tool = "my_package.my_module:my_tool"

A single file is loaded with `load_plugin(path)`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from assay.audits.plugin_source import plugin_digest
from assay.core.auditor import Auditor
from assay.core.tool import Tool
from assay.errors import AssayError, InvalidInput, PluginError, UnknownId

__all__ = [
    "auditors",
    "get_auditor",
    "get_tool",
    "load_plugin",
    "plugin_digest",
    "plugin_failure",
    "source_file",
    "tool_digest",
    "tools",
]

_TOOLS, _AUDITORS = "assay.tools", "assay.auditors"
_PREFIX = "_assay_plugin_"

Thing = TypeVar("Thing", Tool, Auditor)


def tools() -> list[str]:
    """Names of the installed tools, without importing them."""
    return _names(_TOOLS)


def auditors() -> list[str]:
    """Names of the installed auditors, without importing them."""
    return _names(_AUDITORS)


def get_tool(name: str) -> Tool:
    """One installed tool.

    Raises:
        UnknownId: no package offers it.
        PluginError: two packages do, or the one that does cannot be loaded.
    """
    return _get(_TOOLS, "tool", name, Tool)


def get_auditor(name: str) -> Auditor:
    """One installed auditor; raises as `get_tool`."""
    return _get(_AUDITORS, "auditor", name, Auditor)


def load_plugin(path: Path) -> list[Tool]:
    """The tools a Python file defines at module level, in its order.

    The file may import helper modules from its own folder by their plain names. Nothing is installed, and a file that
    fails leaves no module behind.

    Raises:
        InvalidInput: no such Python file.
        PluginError: it cannot be imported or defines no tool; names file, line and reason.
    """
    path = path.resolve()
    if not path.is_file() or path.suffix != ".py":
        raise InvalidInput(f"{path}: not a Python file; a plug-in is a .py file that defines tools with @tool.")
    module = _import(path)
    found = {id(value): value for value in vars(module).values() if isinstance(value, Tool)}
    mine = [tool for tool in found.values() if source_file(tool).is_relative_to(path.parent)]
    if not mine:
        raise PluginError(f"{path}: defines no tool. Decorate an async function with @tool(needs={{…}}).")
    return mine


def source_file(tool: Tool) -> Path:
    """The file a tool's function is written in."""
    return Path(inspect.unwrap(tool.function).__code__.co_filename).resolve()


def tool_digest(tool: Tool) -> str:
    """SHA-256 over all of a tool's own source: its file and the helper modules beside it."""
    return plugin_digest(source_file(tool))


def plugin_failure(error: BaseException, source: Path) -> PluginError:
    """What went wrong in a plug-in's code, with the line in its own folder that came last.

    Args:
        error: what was raised.
        source: the plug-in's file.
    """
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        near = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(source.parent)]
        place = f"{near[-1].filename}:{near[-1].lineno}" if near else str(source)
    kind = "" if isinstance(error, AssayError) else f"{type(error).__name__}: "
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return PluginError(f"{place}: {kind}{reason}")


def _names(group: str) -> list[str]:
    return sorted({entry.name for entry in metadata.entry_points(group=group)})


def _get(group: str, kind: str, name: str, expected: type[Thing]) -> Thing:
    entries = [entry for entry in metadata.entry_points(group=group) if entry.name == name]
    offers = {entry.value: entry for entry in entries}  # the same package may be listed twice on the path
    if not offers:
        raise UnknownId(kind, name, _names(group))
    if len(offers) > 1:
        raise PluginError(
            f"{kind} {name!r} is offered twice: {', '.join(sorted(offers))}. Uninstall one of the packages."
        )
    [(value, entry)] = offers.items()
    try:
        loaded = entry.load()
    except Exception as error:
        found = importlib.util.find_spec(entry.module.partition(".")[0])
        where = Path(found.origin) if found and found.origin else Path(entry.module)
        raise PluginError(f"{kind} {name!r} ({value}) cannot be loaded: {plugin_failure(error, where)}") from error
    if not isinstance(loaded, expected):
        raise PluginError(f"{kind} {name!r} ({value}) is a {type(loaded).__name__}; it must be a {expected.__name__}.")
    return loaded


def _import(path: Path) -> ModuleType:
    """Run a file as a module of a private name, with its folder first on the path."""
    name = _PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    with _siblings_first(path.parent):
        sys.modules[name] = module  # dataclasses and pickle look a class's module up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise plugin_failure(error, path) from error
    return module


@contextlib.contextmanager
def _siblings_first(folder: Path) -> Iterator[None]:
    """While a plug-in is imported, plain names mean the modules beside it, not another plug-in's of that name.

    Afterwards a name that was taken before means what it meant, and the folder stays last on the path, so that a
    helper imported inside a function is found too.
    """
    names = {entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
    names -= sys.stdlib_module_names | {"assay"}
    hidden = {
        key: module
        for key, module in sys.modules.items()
        if key.partition(".")[0] in names and not _within(module, folder)
    }
    for key in hidden:
        del sys.modules[key]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        sys.modules.update(hidden)


def _within(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)
