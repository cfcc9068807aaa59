"""A sweep's results as files: summary.json and report.html, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.studies.page.html import page


def write_results(summary: Mapping[str, Any], out: Path) -> tuple[Path, Path]:
    """Write summary and page.

    Returns:
        Their paths, the page's last.
    """
    files = {"summary.json": json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "report.html": page(summary)}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        scratch = out / f".{name}.partial"
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(out / name)
    return out / "summary.json", out / "report.html"
