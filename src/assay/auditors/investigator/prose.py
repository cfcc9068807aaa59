"""The investigator's strategies, as files of prose: one a variant in `variants/*.md`."""

from __future__ import annotations

from pathlib import Path

from assay._util.text_files import read_text

_HERE = Path(__file__).parent


def variants() -> list[str]:
    """Lists the variants: the names of their files."""
    return sorted(path.stem for path in (_HERE / "variants").glob("*.md"))


def strategy(variant: str) -> str:
    """Reads how a variant works."""
    return read_text(_HERE / "variants" / f"{variant}.md").strip()
