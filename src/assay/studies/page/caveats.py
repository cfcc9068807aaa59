"""Says what every number of a sweep has to be read with, in the same words wherever numbers are shown."""

from __future__ import annotations

from collections.abc import Sequence

from assay.studies.effects.results import Summary
from assay.studies.effects.verdict import disagreement


def caveats(summary: Summary) -> list[str]:
    """Writes a sweep's caveats, a sentence or two each; none for a first sweep without plug-ins whose tests agree."""
    said: list[str] = []
    if summary.plugins:
        said.append(trusted(summary.plugins))
    if summary.planned and summary.planned.changed:
        said.append(summary.planned.changed)
    if summary.earlier_looks:
        what = "look at graded audits" if summary.earlier_looks == 1 else "looks at graded audits"
        said.append(
            f"This ledger has {summary.earlier_looks} earlier {what} of these testbeds. What is chosen after several "
            f"looks seems better than it is; no p value here allows for that."
        )
    if parted := disagreement(summary.effects, summary.hierarchical):
        said.append(parted)
    return said


def trusted(plugins: Sequence[str]) -> str:
    """Says that a number was made with plug-ins."""
    return f"Plug-in code was trusted: {', '.join(plugins)}."
