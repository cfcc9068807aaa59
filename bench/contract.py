"""What every benchmark here prints and keeps: `{"claims": [...], "machine": {...}}`, progress apart."""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from assay._util.openmp import bound_spinning
from assay.engine.machine import this_machine

AS_GIVEN = dict(os.environ)  # before Assay sets anything: for peers, whose threads wait as they would without it
if multiprocessing.parent_process() is None:
    bound_spinning()  # here, since benchmarks import this before torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def say(text: str) -> None:
    """Progress, where it does not disturb the JSON."""
    print(text, file=sys.stderr, flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of the options that all benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("--quick", action="store_true", help="within a minute: fewer and shorter runs, not all claims")
    parser.add_argument("--save", action="store_true", help="keep the result under bench/results")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser


def options(description: str | None) -> argparse.Namespace:
    """The options of a benchmark that takes no others."""
    return parser(description).parse_args()


def machine(threads: int) -> dict[str, Any]:
    """What the engine computes with here, as it says beside every number; nothing that names the machine."""
    return {
        **asdict(this_machine()),
        "cores": os.cpu_count(),
        "threads": threads,
        "transformers": metadata.version("transformers"),
        "date": datetime.date.today().isoformat(),
    }


def finish(name: str, claims: list[dict[str, Any]], chosen: argparse.Namespace, **more: Any) -> None:
    """Print the claims; keep them if asked to."""
    result = {"claims": claims, "machine": machine(chosen.threads), **more}
    if chosen.save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}-{result['machine']['date']}.json").write_text(json.dumps(result, indent=1) + "\n")
    if chosen.json:
        print(json.dumps(result))
    else:
        for claim in claims:
            print("{id}: {value} {unit} (target {target}, met: {met}), against {against}".format(**claim))
