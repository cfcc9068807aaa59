"""What a module really imports, read from source: the identity of tools, auditors and graders.

From one file on, every module of its own package or folder and of Assay that is imported, also inside a function, is
followed; what stands under `if TYPE_CHECKING` runs never and is left out. Data counts too:

- a module of a package brings the data files of its folder and of that folder's subfolders without Python;
- a lone file (a plug-in) brings the data files beside it that it names, each in one string literal.

Modules imported by a computed name, and data named by one, are not seen: keep such data in a package.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import marshal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from assay.errors import InvalidInput, PluginError

ASSAY = Path(__file__).parents[2]  # the folder that `import assay` is found in
# Modules that carry data and text: another version makes no other number, and must not re-run a sweep.
CARRIERS = frozenset({"pydantic", "yaml", "platformdirs", "typer", "rich"})
_SITES = ("site-packages", "dist-packages")
_LONGEST = 200  # bytes of a literal that may be a file's name


@dataclass(frozen=True, slots=True)
class Closure:
    """All that a file imports, itself included.

    Attributes:
        files: path relative to the root it is imported from → file; Python and data.
        distributions: of other people, by name → version ("" for one that is not installed).
    """

    files: Mapping[str, Path]
    distributions: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over paths, contents and versions."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\0{hashlib.sha256(self.files[name].read_bytes()).hexdigest()}\n".encode())
        for name in sorted(self.distributions):
            digest.update(f"{name}=={self.distributions[name]}\n".encode())
        return digest.hexdigest()


def closure(*starts: Path) -> Closure:
    """The import graph from some files on.

    Raises:
        InvalidInput: no such file.
        PluginError: a file of the graph is not Python; names file and line.
    """
    files: dict[str, Path] = {}
    modules: set[str] = set()
    packages: set[Path] = set()  # whose data is in already: modules of one package bring the same
    waiting = [(start.resolve(), _root_of(start.resolve())) for start in starts]
    while waiting:
        file, root = waiting.pop()
        name = file.relative_to(root).as_posix()
        if name in files:
            continue
        files[name] = file
        parsed = _parse(file)
        if file.parent not in packages:
            files |= {path.relative_to(root).as_posix(): path for path in _data(file, parsed.literals)}
        if _is_package(file.parent):
            packages.add(file.parent)
        for imported in _imported(parsed, file, root):
            base = _base(file, root, imported)
            found = _locate(base, imported) if base else []
            waiting += [(path, base) for path in found if base]
            if not found:
                modules.add(imported.module.partition(".")[0])
    return Closure(files, _versions(modules))


def digest_of_function(function: Callable[..., Any]) -> str:
    """SHA-256 over all that makes a function: its file's import graph, or, typed into a session, its code.

    Raises:
        PluginError: a file of the graph is not Python.
    """
    code = inspect.unwrap(function).__code__
    file = Path(code.co_filename)
    return closure(file).digest if file.is_file() else hashlib.sha256(marshal.dumps(code)).hexdigest()


# Reading one file ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Import:
    """`import module`, or `from module import name`; `name` may be a module or something within one."""

    module: str
    name: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What matters of one file.

    Attributes:
        imports: those that run.
        promised: name → module of what stands under `if TYPE_CHECKING`; a lazy package says there where its names
            are from.
        literals: short strings on one line, which may name data files.
    """

    imports: tuple[_Import, ...]
    promised: Mapping[str, _Import]
    literals: frozenset[str]


def _parse(file: Path) -> _Parsed:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"{file}: no such file.") from None
    try:
        return _parse_content(content)
    except SyntaxError as error:
        raise PluginError(f"{file}:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # another encoding, zero bytes, endless brackets
        raise PluginError(f"{file} cannot be read as Python: {error or type(error).__name__}.") from None


@functools.lru_cache(maxsize=4_096)
def _parse_content(content: bytes) -> _Parsed:
    """Kept by content: most tools share most of their graph, and a file may change while a notebook is open."""
    running, promised = list[_Import](), dict[str, _Import]()
    literals, whole, attributes = set[str](), set[str](), set[str]()
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(content), True)]
    while waiting:
        node, runs = waiting.pop()
        found = list(_imports_of(node))
        if runs:
            running += found
            whole |= {one.module for one in found if not one.name}
        else:
            promised |= {one.name: one for one in found if one.name}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            literals.add(node.value)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "assay":
            attributes.add(node.attr)
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += [(child, False) for child in node.body]
            waiting += [(child, runs) for child in node.orelse]
        else:
            waiting += [(child, runs) for child in ast.iter_child_nodes(node)]
    if "assay" in whole:  # `import assay` and then `assay.tool` uses what `from assay import tool` does
        running += [_Import("assay", name) for name in sorted(attributes)]
    short = [text for text in literals if text.isprintable() and 0 < len(text.encode(errors="replace")) <= _LONGEST]
    return _Parsed(tuple(running), promised, frozenset(short))


def _imports_of(node: ast.AST) -> Iterator[_Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _Import(alias.name)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield _Import(node.module or "", alias.name, node.level)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


# From names to files ------------------------------------------------------------------------------------------------


def _root_of(file: Path) -> Path:
    """The folder that a file's plain imports are relative to: the first one up that is no package."""
    folder = file.parent
    while _is_package(folder):
        folder = folder.parent
    return folder


def _imported(parsed: _Parsed, file: Path, root: Path) -> Iterator[_Import]:
    """A file's imports, relative ones made absolute."""
    package = file.relative_to(root).parent.parts
    for one in parsed.imports:
        if one.level:
            above = package[: len(package) - one.level + 1]
            yield _Import(".".join([*above, *filter(None, [one.module])]), one.name)
        else:
            yield one


def _base(file: Path, root: Path, imported: _Import) -> Path | None:
    """The folder to look for a module in: the file's own root, or Assay's; None for other people's.

    Beside a file that is installed lie other people's packages, so of those its own top-level package alone counts.
    """
    top = imported.module.partition(".")[0]
    own = file.relative_to(root).parts[0].removesuffix(".py")
    if top == "assay":
        return root if own == "assay" else ASSAY
    if top in sys.stdlib_module_names or (root.name in _SITES and top != own):
        return None
    return root


def _locate(base: Path, imported: _Import) -> list[Path]:
    """The files that an import runs: the packages on the way down, the module, and what is imported out of it."""
    parts = tuple(filter(None, imported.module.split(".")))
    found: list[Path] = []
    for depth in range(1, len(parts) + 1):
        stem = base.joinpath(*parts[:depth])
        file = _module(stem)
        if file is not None:
            found.append(file)
        elif not stem.is_dir():  # a folder may be a namespace package, which has no file of its own
            return found
    if imported.name:
        inner = _module(base.joinpath(*parts, imported.name))
        if inner is not None:
            found.append(inner)
        elif found and found[-1].name == "__init__.py" and imported.name in (lazy := _parse(found[-1]).promised):
            found += _locate(base, lazy[imported.name])
    # The facade only says where names are from; every change of the public surface would otherwise re-run everything.
    return [file for file in found if file != base / "assay" / "__init__.py"]


def _module(stem: Path) -> Path | None:
    for candidate in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
        if candidate.is_file():
            return candidate
    return None


def _data(file: Path, literals: Iterable[str]) -> Iterator[Path]:
    """The data files a module brings."""
    folder = file.parent
    if not _is_package(folder):
        for text in literals:
            named = (folder / text).resolve()
            if named.is_relative_to(folder) and named.is_file() and named.suffix != ".py":
                yield named
    else:
        yield from _data_of_package(folder)


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _data_of_package(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith((".", "__pycache__")):
            continue
        if entry.is_file() and entry.suffix not in (".py", ".pyc", ".pyi") and entry.name != "py.typed":
            yield entry
        elif entry.is_dir() and not any(entry.rglob("*.py")):
            yield from _data_of_package(entry)


# Other people's code ------------------------------------------------------------------------------------------------


def _versions(modules: Iterable[str]) -> dict[str, str]:
    others = {module for module in modules if module} - sys.stdlib_module_names - CARRIERS
    return dict(map(_distribution, others))


@functools.cache
def _distribution(module: str) -> tuple[str, str]:
    """Name and version of what a module is installed by; most carry the module's own name, the rest are looked up."""
    try:
        return module.casefold(), metadata.version(module)
    except metadata.PackageNotFoundError:
        owners = _owners().get(module)
    return (owners[0].casefold(), metadata.version(owners[0])) if owners else (module, "")


@functools.cache
def _owners() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
