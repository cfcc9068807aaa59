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

import functools
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeVar

from assay._util.entry_points import find, offered
from assay._util.lazy import LazyMapping
from assay.auditors.pooled import pool
from assay.audits.bridges.agents import auditor_of, kind_of
from assay.audits.plugin_file import Plugin, load_plugin, plugin_failure
from assay.audits.plugin_source import PluginSource, installed_source
from assay.core.auditor import Auditor
from assay.core.auditor_name import pooled
from assay.core.tool import Tool
from assay.errors import PluginError, UnknownId

__all__ = [
    "Kind",
    "auditors",
    "collect_auditors",
    "collect_tools",
    "entry_point",
    "get_auditor",
    "get_tool",
    "load_plugin",
    "refuse_taken",
    "tools",
]

Kind = Literal["tool", "auditor"]
_GROUPS: Mapping[Kind, str] = {"tool": "assay.tools", "auditor": "assay.auditors"}

Thing = TypeVar("Thing", Tool, Auditor)


def tools() -> list[str]:
    """Lists the names of the installed tools, without importing them."""
    return offered(_GROUPS["tool"])


def auditors() -> list[str]:
    """Lists the names of the installed auditors, without importing them."""
    return offered(_GROUPS["auditor"])


def get_tool(name: str) -> Tool:
    """Loads one installed tool.

    Raises:
        UnknownId: no package offers it.
        PluginError: two packages do, or the one that does cannot be loaded.
    """
    return _get("tool", name, Tool)


def get_auditor(name: str, plugins: Iterable[Path] = ()) -> Auditor:
    """Loads one auditor, of a plug-in file or installed.

    Args:
        name: `explorer`, say; `pooled:3:explorer` pools three reports of it.
        plugins: files that may define it.

    Raises:
        UnknownId: neither a file nor a package offers it.
        PluginError: two do, or the one that does cannot be loaded.
    """
    known = collect_auditors(plugins)
    if several := pooled(name):
        return pool(get_auditor(several.name, plugins), several.reports, name)
    if name not in known:
        raise UnknownId("auditor", name, known)
    return known[name]


def collect_tools(plugins: Iterable[Path] = ()) -> Mapping[str, Tool]:
    """Gathers the installed tools and those of plug-in files, by name. An installed one is loaded when it is asked for.

    Raises:
        PluginError: a name is defined twice; tells by whom.
    """
    found = [(tool, plugin.source) for plugin in _each(plugins) for tool in plugin.tools]
    return _collect("tool", Tool, found)


def collect_auditors(plugins: Iterable[Path] = ()) -> Mapping[str, Auditor]:
    """Gathers the installed auditors and those of plug-in files, by name; as `collect_tools`."""
    found = [(auditor, plugin.source) for plugin in _each(plugins) for auditor in plugin.auditors]
    return _collect("auditor", Auditor, found)


def entry_point(kind: Kind, name: str) -> metadata.EntryPoint:
    """Finds what an installed package offers, without importing it. Raises as `get_tool`."""
    return find(_GROUPS[kind], kind, name)


def refuse_taken(kind: Kind, defined: Iterable[tuple[str, PluginSource]]) -> None:
    """Refuses a name that two define: what is measured is never replaced in silence.

    Args:
        kind: of the names.
        defined: each name with the plug-in file that defines it.

    Raises:
        PluginError: two files have a name, or a file and an installed package; tells which.
    """
    owners = {entry.name: f"the installed {entry.value}" for entry in metadata.entry_points(group=_GROUPS[kind])}
    for name, source in defined:
        if name in owners:
            raise PluginError(
                f"{kind} {name!r} is defined by {source.path} and by {owners[name]}: "
                f"a plug-in may replace nothing. Rename the one in {source.name}."
            )
        owners[name] = str(source.path)


def _each(plugins: Iterable[Path]) -> list[Plugin]:
    """Loads plug-in files; one that is given twice is one."""
    return [load_plugin(path) for path in dict.fromkeys(path.resolve() for path in plugins)]


def _collect(kind: Kind, expected: type[Thing], found: Sequence[tuple[Thing, PluginSource]]) -> Mapping[str, Thing]:
    refuse_taken(kind, [(thing.name, source) for thing, source in found])
    makers = {name: functools.partial(_get, kind, name, expected) for name in offered(_GROUPS[kind])}
    return LazyMapping(makers, {thing.name: thing for thing, _ in found})


def _get(kind: Kind, name: str, expected: type[Thing]) -> Thing:
    entry = entry_point(kind, name)
    value = entry.value
    try:
        loaded = entry.load()
    except Exception as error:
        # Said with the line of the package's own code that failed, as of a plug-in file.
        found = importlib.util.find_spec(entry.module.partition(".")[0])
        where = Path(found.origin) if found and found.origin else Path(entry.module)
        raise PluginError(f"{kind} {name!r} ({value}) cannot be loaded: {plugin_failure(error, where)}") from error
    if expected is Auditor and kind_of(loaded):
        loaded = auditor_of(name, loaded, installed_source(entry).digest)
    if not isinstance(loaded, expected):
        raise PluginError(f"{kind} {name!r} ({value}) is a {type(loaded).__name__}; it must be a {expected.__name__}.")
    return loaded
