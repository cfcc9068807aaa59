"""Keeps static values as files, and finds those that are on file for a tool's page."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from assay._util.atomic import write_json
from assay._util.paths import home
from assay._util.strict_json import read_json
from assay.errors import InvalidInput
from assay.studies.static.results import StaticValue

STATIC_VALUE, STATIC_CHART = "static-value.json", "static-value.svg"  # in the folder of results
_REPOSITORY = Path(__file__).parents[4]  # where Assay runs from a checkout


def scores_folder() -> Path:
    """Returns the folder that scores go to if no other is named, and where a tool's page looks for them."""
    return home() / "tool-scores"


def results_of_benchmarks() -> Path | None:
    """Returns the folder of a checkout's kept results; None of an installed package."""
    folder = _REPOSITORY / "bench" / "results"
    return folder if folder.is_dir() else None


def keep(value: StaticValue, out: Path) -> tuple[Path, Path]:
    """Writes values and chart into a folder; returns their paths.

    Raises:
        NotWritten: there is no room, or no permission.
    """
    from assay.studies.static.chart import draw

    write_json(out / STATIC_VALUE, value.model_dump(mode="json"))
    draw(value, out / STATIC_CHART)
    return out / STATIC_VALUE, out / STATIC_CHART


def values_on_file() -> list[tuple[Path, StaticValue]]:
    """Reads the static values that are kept here, the newest first; what cannot be read is passed over."""
    places = [scores_folder() / STATIC_VALUE]
    if kept := results_of_benchmarks():
        places += sorted(kept.glob("static-value*.json"), reverse=True)
    found: list[tuple[Path, StaticValue]] = []
    for path in places:
        try:
            found.append((path, StaticValue.model_validate(read_json(path))))
        except (InvalidInput, ValidationError):
            continue
    return sorted(found, key=lambda one: one[1].date, reverse=True)
