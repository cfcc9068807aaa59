"""Every number made with plug-in code says so, wherever it is shown."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from assay.studies.api import Audit
from assay.studies.page.caveats import caveats
from assay.studies.page.html import page
from assay.studies.page.terminal import terminal
from assay.studies.study import Study

SAID = "Plug-in code was trusted: mine.py@0123456789ab, other.py@ba9876543210."


def printed(shown: object, width: int) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(shown)
    return " ".join(capture.get().split())


@pytest.mark.attacks
def test_numbers_made_with_a_plugin_say_so(rows: SimpleNamespace, tmp_path: Path) -> None:
    audits, grades = rows.sweep({"chat": [1.0] * 8})
    labels = ("mine.py@0123456789ab",), ("mine.py@0123456789ab", "other.py@ba9876543210")
    marked = [replace(audit, plugins=labels[index % 2]) for index, audit in enumerate(audits)]
    summary = rows.summary((marked, grades))
    assert summary.model_dump(mode="json")["plugins"] == ["mine.py@0123456789ab", "other.py@ba9876543210"]
    assert SAID in page(summary) and SAID in printed(terminal(summary), 200)
    assert all(word in printed(terminal(summary), 40) for word in SAID.split())
    study = Study(tmp_path, "plan", summary, tuple(marked), tuple(grades), {})
    assert SAID in str(study).replace("\n", " ") and SAID in repr(study) and SAID in study._repr_html_()
    assert set(study.audits.plugins) == set(labels)
    assert SAID in str(Audit(replace(marked[1], report="")))

    plain = rows.summary((audits, grades))
    assert caveats(plain) == [] and plain.plugins == ()
    for shown in (page(plain), printed(terminal(plain), 200), str(Audit(replace(audits[0], report="")))):
        assert "was trusted" not in shown
