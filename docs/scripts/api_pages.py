"""Writes a page for each public module into docs/api, which mkdocstrings fills from docstrings.

Usage: python docs/scripts/api_pages.py
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "assay"
PAGES = ROOT / "docs" / "api"
TOP = "assay"  # the group of modules that lie in no room
# What a person who writes a tool or reads a study needs first; other rooms follow by name
FIRST = (TOP, "core", "tools", "auditors", "audits", "studies", "grading", "truth", "testbeds", "engine", "factory")
INTRODUCTION = "# API reference\n\nBuilt from docstrings. Names that begin with an underscore are left out.\n"


def public_modules() -> list[str]:
    """Return the dotted names of all modules without a private part, in the order of their paths."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = (TOP, *path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            if not path.read_text(encoding="utf-8").strip():
                continue
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts):
            names.append(".".join(parts))
    return names


def by_room(modules: list[str]) -> dict[str, list[str]]:
    """Return modules by the folder of the house they lie in, in the order of the table of contents."""
    found = defaultdict(list)
    for module in modules:
        _, *parts = module.split(".")
        found[parts[0] if parts and (PACKAGE / parts[0]).is_dir() else TOP].append(module)
    order = [*(room for room in FIRST if room in found), *sorted(found.keys() - set(FIRST))]
    return {room: found[room] for room in order}


def write(modules: list[str]) -> None:
    """Write the pages of modules and their table of contents, and nothing else into the folder.

    Args:
        modules: dotted names.
    """
    shutil.rmtree(PAGES, ignore_errors=True)
    summary, contents = ["- [API reference](index.md)"], [INTRODUCTION]
    for room, members in by_room(modules).items():
        summary.append(f"- {room}")
        contents.append(f"\n## {room}\n")
        for module in members:
            page = Path(*module.split(".")[1:] or [TOP]).with_suffix(".md")
            (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
            (PAGES / page).write_text(f"::: {module}\n", encoding="utf-8")
            summary.append(f"    - [{module.removeprefix(f'{TOP}.{room}.')}]({page.as_posix()})")
            contents.append(f"- [{module}]({page.as_posix()})")
    (PAGES / "SUMMARY.md").write_text("\n".join(summary) + "\n", encoding="utf-8")
    (PAGES / "index.md").write_text("\n".join(contents) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(public_modules())
