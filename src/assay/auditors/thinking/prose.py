"""What a language model is told, as files of prose: `prompts/*.md` beside the code of whoever tells it."""

from __future__ import annotations

from pathlib import Path

from assay._util.text_files import read_text


def prompt(folder: Path, name: str, **parts: str) -> str:
    """Reads a prompt and puts parts in the place of their names in braces.

    Args:
        folder: of the package that tells it.
        name: of its file under `prompts`.
        parts: name in braces → what stands there.
    """
    text = read_text(folder / "prompts" / f"{name}.md").strip()
    for key, part in parts.items():  # not by `format`: prompts show JSON
        text = text.replace("{" + key + "}", part)
    return text
