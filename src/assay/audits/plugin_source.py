"""The content of a plug-in: one digest over its file and the helper modules it imports from beside it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from assay.errors import InvalidInput, PluginError

_BEYOND = frozenset({"assay._util.ngrams"})  # of Assay outside a tool's own folder, what makes a tool's numbers


def plugin_digest(path: Path) -> str:
    """SHA-256 over a Python file and, recursively, the modules it imports from its own folder.

    Imports are read from the source, also those inside functions; modules imported by a computed name are not seen.

    Raises:
        InvalidInput: no such file.
        PluginError: a file of them is not Python.
    """
    path = path.resolve()
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file.")
    folder, seen, waiting = path.parent, set[Path](), [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _imported(file, folder)
    root = _root(folder)
    digest = hashlib.sha256()
    for file in sorted(seen):
        digest.update(f"{file.relative_to(root)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _root(folder: Path) -> Path:
    """The folder that plain imports are relative to: the first one up that is no package."""
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    """Files of the modules a file imports, as far as they belong to the plug-in."""
    try:
        tree = ast.parse(file.read_bytes(), filename=str(file))
    except SyntaxError as error:
        raise PluginError(f"{file}:{error.lineno}: {error.msg}") from None
    root = _root(folder)
    for name in _names(tree, file, root):
        found = _locate(root, name)
        if found and (found.is_relative_to(folder) or name in _BEYOND):
            yield found


def _names(tree: ast.AST, file: Path, root: Path) -> Iterator[str]:
    """Dotted names of all that is imported; of `from a import b`, both `a` and `a.b`, since b may be a module."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            before = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*before, *(node.module or "").split(".")]).strip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _locate(root: Path, name: str) -> Path | None:
    stem = root.joinpath(*name.split("."))
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if candidate.is_file():
            return candidate.resolve()
    return None
