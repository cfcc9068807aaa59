"""A sweep's results as files: summary.json and report.html, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay._util.atomic import write_json, write_text
from assay.studies.page.html import page

SUMMARY, PAGE = "summary.json", "report.html"  # in a sweep's folder


def write_results(summary: Mapping[str, Any], out: Path) -> tuple[Path, Path]:
    """Write summary and page.

    Returns:
        Their paths, the page's last.
    """
    drawn = page(summary)
    data, html = out / SUMMARY, out / PAGE
    write_json(data, summary)
    write_text(html, drawn)
    return data, html
