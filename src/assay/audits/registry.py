"""Finds tools and auditors by name, lazily, through entry points; built-ins use the hook that outsiders use.

A package offers them in its `pyproject.toml`:

    [project.entry-points."assay.tools"]
    my_tool = "my_package.my_module:my_tool"

    [project.entry-points."assay.auditors"]
    my_auditor = "my_package.my_module:my_auditor"

A single file is loaded with `load_plugin(path)`. No name may be offered twice: what is measured is never replaced in
silence.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from assay._util.entry_points import find, offered
from assay._util.import_graph import closure
from assay.core.auditor import Auditor
from assay.core.tool import Tool
from assay.errors import AssayError, InvalidInput, PluginError, UnknownId, told

__all__ = [
    "Plugin",
    "auditors",
    "collect_auditors",
    "collect_tools",
    "get_auditor",
    "get_tool",
    "load_plugin",
    "plugin_failure",
    "source_file",
    "tools",
]

_TOOLS, _AUDITORS = "assay.tools", "assay.auditors"
_PREFIX = "_assay_plugin_"

Thing = TypeVar("Thing", Tool, Auditor)


@dataclass(frozen=True, slots=True)
class Plugin:
    """Holds what a plug-in file defines at module level, in its order."""

    path: Path
    tools: tuple[Tool, ...]
    auditors: tuple[Auditor, ...]


def tools() -> list[str]:
    """Lists the names of the installed tools, without importing them."""
    return offered(_TOOLS)


def auditors() -> list[str]:
    """Lists the names of the installed auditors, without importing them."""
    return offered(_AUDITORS)


def get_tool(name: str) -> Tool:
    """Loads one installed tool.

    Raises:
        UnknownId: no package offers it.
        PluginError: two packages do, or the one that does cannot be loaded.
    """
    return _get(_TOOLS, "tool", name, Tool)


def get_auditor(name: str, plugins: Iterable[Path] = ()) -> Auditor:
    """Loads one auditor, of a plug-in file or installed.

    Args:
        name: `explorer`, say.
        plugins: files that may define it.

    Raises:
        UnknownId: neither a file nor a package offers it.
        PluginError: two do, or the one that does cannot be loaded.
    """
    defined = _of_plugins(plugins, "auditor")
    if name not in defined and name not in auditors():
        raise UnknownId("auditor", name, [*defined, *auditors()])
    return defined[name] if name in defined else _get(_AUDITORS, "auditor", name, Auditor)


def collect_tools(plugins: Iterable[Path] = ()) -> dict[str, Tool]:
    """Loads the installed tools and those of plug-in files, by name.

    Raises:
        PluginError: a name is defined twice; tells by whom.
    """
    return {name: get_tool(name) for name in tools()} | _of_plugins(plugins, "tool")


def collect_auditors(plugins: Iterable[Path] = ()) -> dict[str, Auditor]:
    """Loads the installed auditors and those of plug-in files, by name; raises as `collect_tools`."""
    return {name: get_auditor(name) for name in auditors()} | _of_plugins(plugins, "auditor")


def load_plugin(path: Path) -> Plugin:
    """Loads the tools and auditors that a Python file defines at module level.

    The file may import helper modules from its own folder by their plain names. Nothing is installed, and a file that
    fails leaves no module behind. A file that is loaded again unchanged is not run again.

    Raises:
        InvalidInput: no such Python file.
        PluginError: it cannot be imported, defines nothing, or one name twice; names file, line and reason.
    """
    path = path.resolve()
    if not path.is_file() or path.suffix != ".py":
        raise InvalidInput(
            f"{path}: not a Python file; a plug-in is a .py file with tools (@tool) or auditors (@auditor)."
        )
    return _load(path, closure(path).digest)


@functools.lru_cache(maxsize=64)
def _load(path: Path, _digest: str) -> Plugin:
    """Runs a file once for each content: an edited file, or helper module of it, is run anew."""
    # By identity: a thing bound to two names is one thing. What a file merely imports from elsewhere is not its own.
    things = {id(value): value for value in vars(_import(path)).values() if isinstance(value, Tool | Auditor)}
    mine = [thing for thing in things.values() if source_file(thing).is_relative_to(path.parent)]
    plugin = Plugin(
        path,
        tuple(thing for thing in mine if isinstance(thing, Tool)),
        tuple(thing for thing in mine if isinstance(thing, Auditor)),
    )
    if not mine:
        raise PluginError(
            f"{path}: defines no tool and no auditor. Decorate an async function with @tool(needs={{…}}) or @auditor."
        )
    for kind, names in (("tool", [t.name for t in plugin.tools]), ("auditor", [a.name for a in plugin.auditors])):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise PluginError(f"{path}: defines {kind} {min(twice)!r} twice. Rename one of the two.")
    return plugin


def _of_plugins(plugins: Iterable[Path], kind: Literal["tool", "auditor"]) -> dict[str, Any]:
    """Loads what plug-in files define of one kind, by name; nobody else may offer such a name."""
    group = _TOOLS if kind == "tool" else _AUDITORS
    owners = {entry.name: f"the installed {entry.value}" for entry in metadata.entry_points(group=group)}
    found: dict[str, Any] = {}
    for path in dict.fromkeys(path.resolve() for path in plugins):
        plugin = load_plugin(path)
        for thing in plugin.tools if kind == "tool" else plugin.auditors:
            if thing.name in owners:
                raise PluginError(
                    f"{kind} {thing.name!r} is defined by {path} and by {owners[thing.name]}: "
                    f"a plug-in may replace nothing. Rename the one in {path.name}."
                )
            owners[thing.name], found[thing.name] = str(path), thing
    return found


def source_file(thing: Tool | Auditor) -> Path:
    """Finds the file that the function of a tool or an auditor is written in."""
    return Path(inspect.unwrap(thing.function).__code__.co_filename).resolve()


def plugin_failure(error: BaseException, source: Path) -> PluginError:
    """Says what went wrong in a plug-in's code, with the line in its own folder that came last.

    Args:
        error: what was raised.
        source: the plug-in's file.
    """
    # A syntax error has no frame in the file that holds it; anything else is placed at the last line the author wrote.
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        near = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(source.parent)]
        place = f"{near[-1].filename}:{near[-1].lineno}" if near else str(source)
    reason = str(error) if isinstance(error, AssayError) else told(error)
    if isinstance(error, SyntaxError):
        reason = f"SyntaxError: {error.msg}"
    return PluginError(f"{place}: {reason}")


def _get(group: str, kind: str, name: str, expected: type[Thing]) -> Thing:
    entry = find(group, kind, name)
    value = entry.value
    try:
        loaded = entry.load()
    except Exception as error:
        # Said with the line of the package's own code that failed, as of a plug-in file.
        found = importlib.util.find_spec(entry.module.partition(".")[0])
        where = Path(found.origin) if found and found.origin else Path(entry.module)
        raise PluginError(f"{kind} {name!r} ({value}) cannot be loaded: {plugin_failure(error, where)}") from error
    if not isinstance(loaded, expected):
        raise PluginError(f"{kind} {name!r} ({value}) is a {type(loaded).__name__}; it must be a {expected.__name__}.")
    return loaded


def _import(path: Path) -> ModuleType:
    """Runs a file as a module of a private name, with its folder first on the path."""
    name = _PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    with _siblings_first(path.parent):
        sys.modules[name] = module  # dataclasses and pickle look a class's module up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a script that ends itself must not end a sweep
            del sys.modules[name]
            raise plugin_failure(error, path) from error
    return module


@contextlib.contextmanager
def _siblings_first(folder: Path) -> Iterator[None]:
    """Lets plain names mean the modules beside a plug-in while it is imported, not another plug-in's.

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
    # They would answer to the plain names in place of this plug-in's own helpers; afterwards they are put back.
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
