"""Writes a sweep's results as files, summary.json and report.html, each whole or not at all."""

from __future__ import annotations

from pathlib import Path

from assay._util.atomic import write_json, write_text
from assay._util.paths import PAGE, SUMMARY
from assay.studies.effects.results import Summary
from assay.studies.page.html import page


def write_results(summary: Summary, out: Path) -> tuple[Path, Path]:
    """Writes summary and page.

    Returns:
        Their paths, the page's last.
    """
    drawn = page(summary)  # first: where drawing fails, neither file is touched, and the two never disagree
    data, html = out / SUMMARY, out / PAGE
    write_json(data, summary.model_dump(mode="json"))
    write_text(html, drawn)
    return data, html
