"""What the red-teamer is told, as files of prose: `prompts/*.md`."""

from __future__ import annotations

from pathlib import Path

from assay._util.text_files import read_text

_PROMPTS = Path(__file__).parent / "prompts"


def prompt(name: str, **parts: str) -> str:
    """Reads a prompt and puts parts in the place of their names in braces."""
    text = read_text(_PROMPTS / f"{name}.md").strip()
    for key, part in parts.items():
        text = text.replace("{" + key + "}", part)
    return text
