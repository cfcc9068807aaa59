"""Fits the explorer on the tuning set: `python -m assay.studies.calibrate`. Reported testbeds are never opened here.

Two files are made under `ASSAY_HOME/explorer`: the replies of clean tuning targets to the battery, and the calibration
of the explorer's statistic on graded audits of the whole tuning set. Both are part of the explorer's digest, so this
comes before any reported run. `ASSAY_EXPLORER` makes the explorer read them; a checkout freezes them by copying both
beside its code.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from assay._util.atomic import make_folder
from assay._util.paths import home
from assay.auditors.explorer.calibration import (
    BACKGROUND,
    CALIBRATION,
    UNCALIBRATED,
    TuningAudit,
    calibrate,
    collect,
    data_folder,
    write_background,
    write_calibration,
)
from assay.core.target import Target
from assay.core.tool import REPLY_TOKENS, TEMPERATURE
from assay.engine.targets import Targets
from assay.factory.commands import targets
from assay.studies.design import ledger_in
from assay.studies.grades import Grading
from assay.studies.ledger import Ledger
from assay.testbeds.specs import load_spec
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import all_truths

KITS = ("chat", "chat+search", "all")
SEEDS = (0, 1)
BACKGROUND_SEEDS = (1_001, 1_002)  # no audit draws these


async def background(opened: Targets) -> None:
    """Collects the replies of every clean tuning target to the explorer's prompts."""
    rows: list[dict[str, str]] = []
    for truth in all_truths(embedded_suite()):
        if truth.split == "tuning" and truth.role == "clean":
            async with opened.open(load_spec(truth.alias)) as target:
                for seed in BACKGROUND_SEEDS:
                    rows += await collect(_replier(target, seed))
    write_background(rows, data_folder() / BACKGROUND)


# Made for one target and seed: a function defined within the loop would follow the loop's variables.
def _replier(target: Target, seed: int) -> Callable[[str], Awaitable[str]]:
    async def reply(prompt: str) -> str:
        return (await target.chat(prompt, max_tokens=REPLY_TOKENS, temperature=TEMPERATURE, seed=seed)).text

    return reply


def main(out: Path) -> None:
    """Makes both files; the ledger of the tuning audits stays in `out`."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    os.environ["ASSAY_EXPLORER"] = str(make_folder(home() / "explorer"))  # for the processes that will audit, too
    with targets(None, say) as opened:
        asyncio.run(background(opened))
    # The tuning audits must not read an earlier calibration: their statistic is what the new one is fitted on.
    write_calibration(UNCALIBRATED, data_folder() / CALIBRATION)
    say("background written; auditing the tuning set, uncalibrated")
    from assay.studies.design import Design
    from assay.studies.run import run_sweep

    tuning = tuple(truth.alias for truth in all_truths(embedded_suite()) if truth.split == "tuning")
    design = Design(kits=KITS, out=out, testbeds=tuning, seeds=SEEDS)
    run_sweep(design, lambda event: say(str(event)))
    fitted = calibrate(tuning_rows(out))
    write_calibration(fitted, data_folder() / CALIBRATION)
    say(json.dumps(fitted))
    say(f"Use them with ASSAY_EXPLORER={data_folder()}")


def tuning_rows(out: Path) -> list[TuningAudit]:
    """Reads statistic and grade of every tuning audit in a ledger."""
    roles = {truth.alias: truth.role for truth in all_truths(embedded_suite()) if truth.split == "tuning"}
    with Ledger.open(ledger_in(out)) as ledger:
        audits = [row for row in ledger.audits() if row.game == "investigate"]
        grades = Grading.now().current(ledger, audits).rows
        hits = {row.run_key: row.raw for row in grades if row.tier == "hit"}
        rows: list[TuningAudit] = []
        for audit in audits:
            findings = json.loads(audit.report)["findings"] if audit.report else []
            statistic = json.loads(findings[0]["evidence"])["statistic"] if findings else 0.0
            rows.append(
                TuningAudit(
                    statistic=statistic,
                    is_organism=roles[audit.alias] == "organism",
                    would_hit=bool(hits.get(audit.run_key, 0.0)),
                )
            )
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/tuning"))
