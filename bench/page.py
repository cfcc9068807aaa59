"""Whether the page of ten thousand audits opens at once, stays small, and opens an audit when it is asked for.

    python bench/page.py [--json] [--quick] [--save]

The audits are made up (`tests/pages.py`); the page is written as `assay report` writes it, and opened from the disk in
a Chromium without a network (`tests/browser.py`). Opened is when its last chart is drawn. Beside the seconds on the
clock stand those that the page's own thread computed, since a machine may be busy with other things. What it is held
against is the same page of a hundred audits: how much more ten thousand cost. `--quick` is two thousand audits.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contract import ROOT, finish, options, say

sys.path.insert(0, str(ROOT))
from tests.browser import Tab, browser
from tests.pages import study

AUDITS, FEW = 10_000, 100
SECONDS, MEGABYTES, DETAIL_SECONDS = 3.0, 10.0, 1.0
RUNS = 3
KITS = {"prior-only": 0.0, "chat": 0.2, "chat+search": 0.9, "chat+~search": 0.2, "chat+fuzz": 0.4}


def main() -> None:
    """Prints the claims."""
    chosen = options(__doc__)
    audits = AUDITS // 5 if chosen.quick else AUDITS
    with tempfile.TemporaryDirectory() as folder:
        few, many = _written(Path(folder) / "few", FEW), _written(Path(folder) / "many", audits)
        small, large = _opened(few), _opened(many)
    say(f"{audits} audits: {large}; {FEW} audits: {small}")
    claims = [
        _claim("page-opens", large["seconds"], "s", SECONDS, f"{small['seconds']:.2f} s with {FEW} audits"),
        _claim("page-opens-computed", large["computed"], "s", SECONDS, f"{small['computed']:.2f} s with {FEW} audits"),
        _claim(
            "page-weighs", large["bytes"] / 1e6, "MB", MEGABYTES, f"{small['bytes'] / 1e6:.2f} MB with {FEW} audits"
        ),
        _claim("audit-opens", large["detail"], "s", DETAIL_SECONDS, f"{small['detail']:.2f} s with {FEW} audits"),
    ]
    finish("page", claims, chosen, audits=audits)


def _written(out: Path, audits: int) -> Path:
    """Writes a page of so many audits, of four seeds and five kits."""
    beds = audits // (4 * len(KITS))
    return study(out, beds - beds // 5, beds // 5, KITS, 4).page()


def _opened(page: Path) -> dict[str, float]:
    """Opens a page and an audit of it several times; the medians."""
    runs: list[dict[str, float]] = []
    for _ in range(RUNS):
        with browser() as chromium:
            tab = chromium.tab()
            tab.look()
            tab.call("Performance.enable", timeDomain="threadTicks")
            seconds = tab.open(page.as_uri())
            runs.append({"seconds": seconds, "computed": _computed(tab), "detail": _detail(tab)})
    middle = {name: sorted(run[name] for run in runs)[RUNS // 2] for name in runs[0]}
    return middle | {"bytes": float(page.stat().st_size)}


def _detail(tab: Tab) -> float:
    """Opens the first audit; returns the seconds until it is shown."""
    started = time.perf_counter()
    tab.evaluate("document.querySelector('#table-grid .organism td').click()")
    tab.wait("document.querySelector('#audit .body').dataset.shown")
    return time.perf_counter() - started


def _computed(tab: Tab) -> float:
    """Reads the processor time of the page's main thread."""
    metrics = tab.call("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def _claim(name: str, value: float, unit: str, target: float, against: str) -> dict[str, Any]:
    return {
        "id": name,
        "value": round(value, 3),
        "unit": unit,
        "target": f"<= {target:g}",
        "met": value <= target,
        "against": against,
        "runs": RUNS,
    }


if __name__ == "__main__":
    main()
