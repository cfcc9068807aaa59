"""Loads a plug-in file, in a process that may run any code: one that audits, describes or checks; never the desk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from assay._util.hashing import digest_of, sha256
from assay.audits.bridges.agents import auditor_of, kind_of
from assay.audits.plugin_source import MOST_BYTES, PluginSource, file_source
from assay.core.auditor import AUDITOR_NAME, Auditor
from assay.core.tool import Tool
from assay.errors import AssayError, InvalidInput, PluginError, told

_PREFIX = "_assay_plugin_"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Holds what a plug-in file defines at module level, in its order."""

    source: PluginSource
    tools: tuple[Tool, ...]
    auditors: tuple[Auditor, ...]


def load_plugin(path: Path) -> Plugin:
    """Loads the tools and auditors that a Python file defines at module level.

    The file may import helper modules from its own folder by their plain names. Nothing is installed, and a file that
    fails leaves no module behind. A file that is loaded again unchanged is not run again.

    Raises:
        InvalidInput: no such Python file, or a folder with more in it than can be counted.
        PluginError: it cannot be imported, defines nothing, or one name twice; names file, line and reason.
    """
    return _load(file_source(path))


@functools.lru_cache(maxsize=64)
def _load(source: PluginSource) -> Plugin:
    """Runs a file once for each content: an edited file, or another of its folder, is run anew."""
    assert source.path is not None
    path, name = source.path, _PREFIX + hashlib.sha256(str(source.path).encode()).hexdigest()[:12]
    module = _import(name, path)
    # By identity: a thing bound to two names is one thing. What a file merely imports from elsewhere is not its own.
    foreign = _things_of_others(path.parent)
    mine: dict[int, Tool | Auditor] = {}
    for key, value in list(vars(module).items()):
        if issubclass(type(value), Tool | Auditor) and id(value) not in foreign:
            mine[id(value)] = _plain(f"{path}: {key}", value, source)
        elif kind_of(value) and getattr(value, "__module__", "") == name:
            mine[id(value)] = auditor_of(key, value, source.digest)
    if not mine:
        raise PluginError(
            f"{path}: defines no tool and no auditor. Decorate an async function with @tool(needs={{…}}) or @auditor; "
            f"an @agent or @solver of Inspect's is an auditor too."
        )
    plugin = Plugin(
        source,
        tuple(thing for thing in mine.values() if isinstance(thing, Tool)),
        tuple(thing for thing in mine.values() if isinstance(thing, Auditor)),
    )
    for kind, names in (("tool", [t.name for t in plugin.tools]), ("auditor", [a.name for a in plugin.auditors])):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise PluginError(f"{path}: defines {kind} {min(twice)!r} twice. Rename one of the two.")
    return plugin


def _things_of_others(folder: Path) -> set[int]:
    """Finds the tools and auditors that modules from elsewhere hold.

    Not asked of the code, since a function may say that it is of another file.
    """
    found: set[int] = set()
    for module in list(sys.modules.values()):
        if not _within(module, folder):
            held = getattr(module, "__dict__", {})
            found |= {id(value) for value in list(held.values()) if issubclass(type(value), Tool | Auditor)}
    return found


def _plain(where: str, thing: Tool | Auditor, source: PluginSource) -> Tool | Auditor:
    """Copies what a plug-in defines, with the digest of what was loaded in place of what it says of itself."""
    allowed = AUDITOR_NAME if isinstance(thing, Auditor) else r"[^\W\d]\w*"
    if type(thing) not in (Tool, Auditor) or type(thing.name) is not str or not re.fullmatch(allowed, thing.name):
        raise PluginError(f"{where} is not what @tool or @auditor makes of an async function. Use them as they are.")
    if isinstance(thing, Tool):
        return replace(thing, digest=source.digest)
    return replace(thing, digest=auditor_digest(source, thing.data))


def auditor_digest(source: PluginSource, data: tuple[Path, ...]) -> str:
    """Digests an auditor of a plug-in: its source, and the files from elsewhere that it declares (`data=`).

    Raises:
        InvalidInput: a declared file that is not there, or larger than can be counted.
    """
    for path in data:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise InvalidInput(
                f"{source.name}: data={path}: there is no such file, or it has more than {MOST_BYTES // 2**20:,} MiB."
            )
    return digest_of([source.digest, *map(sha256, data)]) if data else source.digest


def source_file(thing: Tool | Auditor) -> Path:
    """Finds the file that the function of a tool or an auditor says it is written in; for words, not for identity."""
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


# Importing ----------------------------------------------------------------------------------------------------------


class _FromSource(SourceFileLoader):
    """Compiles what the digest counts; compiled Python beside it may be of another source, and is not read."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _import(name: str, path: Path) -> ModuleType:
    """Runs a file as a module of a private name, with its folder first on the path."""
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _siblings_first(path.parent):
        sys.modules[name] = module  # dataclasses and pickle look a class's module up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a script that ends itself must not end a sweep
            sys.modules.pop(name, None)
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
    # They would answer to the plain names in place of this plug-in's own helpers; so would these, as they were before
    # an edit.
    hidden = {key: module for key, module in sys.modules.items() if key.partition(".")[0] in names}
    for key in hidden:
        del sys.modules[key]
    _compile_within(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        sys.modules.update({key: module for key, module in hidden.items() if not _within(module, folder)})


_from_source: set[Path] = set()  # folders of plug-ins


def _compile_within(folder: Path) -> None:
    """Has every module of a folder, and of the folders in it, loaded from its source."""
    _from_source.add(folder)
    if _find_in_source not in sys.path_hooks:
        sys.path_hooks.insert(0, _find_in_source)
    for entry in list(sys.path_importer_cache):
        if _of_a_plugin(entry):
            del sys.path_importer_cache[entry]


def _find_in_source(entry: str) -> FileFinder:
    """Finds modules in the folders of plug-ins; a hook of `sys.path_hooks`."""
    if not _of_a_plugin(entry):
        raise ImportError  # says that others are to find what is there
    return FileFinder(entry, (_FromSource, SOURCE_SUFFIXES), (ExtensionFileLoader, EXTENSION_SUFFIXES))


def _of_a_plugin(entry: str) -> bool:
    path = Path(entry).resolve()
    # Installed packages may lie in an environment within the folder; theirs is too much to compile each time.
    return not path.is_relative_to(sys.prefix) and any(path.is_relative_to(folder) for folder in _from_source)


def _within(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve().is_relative_to(folder)
