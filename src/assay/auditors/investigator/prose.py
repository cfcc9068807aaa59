"""What the investigator is told, as files of prose: `prompts/*.md` and one strategy a variant in `variants/*.md`."""

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


def prompt(name: str, **parts: str) -> str:
    """Reads a prompt and puts parts in the place of their names in braces."""
    text = read_text(_HERE / "prompts" / f"{name}.md").strip()
    for key, part in parts.items():  # not by `format`: prompts show JSON
        text = text.replace("{" + key + "}", part)
    return text
