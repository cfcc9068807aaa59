"""What every benchmark here prints and keeps: `{"claims": [...], "machine": {...}}`, progress apart."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def say(text: str) -> None:
    """Progress, where it does not disturb the JSON."""
    print(text, file=sys.stderr, flush=True)


def options(description: str | None) -> argparse.Namespace:
    """The options all benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("--quick", action="store_true", help="within a minute: fewer and shorter runs, not all claims")
    parser.add_argument("--save", action="store_true", help="keep the result under bench/results")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def machine(threads: int) -> dict[str, Any]:
    """The processor and torch; nothing that names the machine."""
    import torch
    import transformers

    cpuinfo = Path("/proc/cpuinfo")
    fields = dict(
        line.replace("\t", "").split(":", 1)
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.is_file() else [])
        if ":" in line
    )
    flags = set(fields.get("flags", "").split())
    return {
        "cpu": fields.get("model name", "unknown").strip(),
        "cores": os.cpu_count(),
        "threads": threads,
        "flags": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8"}),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
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
