"""Writes a sweep's results as files: summary.json, report.html and what it opens, each whole or not at all."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from assay._util.atomic import new_file
from assay._util.paths import PAGE, SUMMARY
from assay.errors import InvalidInput, NotWritten
from assay.studies.details import AuditDetails
from assay.studies.effects.results import Summary
from assay.studies.page.html import page
from assay.studies.page.static_beside import static_beside


def write_results(summary: Summary, out: Path, details: AuditDetails | None = None) -> tuple[Path, Path]:
    """Writes summary and page: both, or neither.

    Args:
        summary: as made by `summarise`.
        out: the folder.
        details: of the audits that the page is to open; None for a page of its own.

    Returns:
        Their paths, the page's last.

    Raises:
        InvalidInput: they cannot be written; says what is kept and what to do.
    """
    data, html = out / SUMMARY, out / PAGE
    told = json.dumps(summary.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        # First: where writing or drawing fails, neither file is touched, and the two never disagree.
        listed = details.write() if details else []
        drawn = page(summary, listed, static_beside(summary))
        with new_file(html) as page_scratch, new_file(data) as data_scratch:
            data_scratch.write_text(told + "\n", encoding="utf-8")
            page_scratch.write_text(drawn, encoding="utf-8")
    except NotWritten as error:
        raise InvalidInput(
            f"{error} Audits and grades are kept in the ledger: make room, and write both files with assay report "
            f"--out {shlex.quote(str(out))}"
        ) from None
    if details:
        details.tidy(listed)
    return data, html
