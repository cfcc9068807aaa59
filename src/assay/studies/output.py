"""Writes a sweep's results as files, summary.json and report.html, each whole or not at all."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from assay._util.atomic import new_file
from assay._util.paths import PAGE, SUMMARY
from assay.errors import InvalidInput, NotWritten
from assay.studies.effects.results import Summary
from assay.studies.page.html import page


def write_results(summary: Summary, out: Path) -> tuple[Path, Path]:
    """Writes summary and page: both, or neither.

    Returns:
        Their paths, the page's last.

    Raises:
        InvalidInput: they cannot be written; says what is kept and what to do.
    """
    drawn = page(summary)  # first: where drawing fails, neither file is touched, and the two never disagree
    data, html = out / SUMMARY, out / PAGE
    told = json.dumps(summary.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        with new_file(html) as page_scratch, new_file(data) as data_scratch:
            data_scratch.write_text(told + "\n", encoding="utf-8")
            page_scratch.write_text(drawn, encoding="utf-8")
    except NotWritten as error:
        raise InvalidInput(
            f"{error} Audits and grades are kept in the ledger: make room, and write both files with assay report "
            f"--out {shlex.quote(str(out))}"
        ) from None
    return data, html
