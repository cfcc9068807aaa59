"""Sums up readings of tools' outputs, tool by tool. Inference is over families, as everywhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from assay.audits.described import ToolInfo
from assay.studies.effects.intervals import LEVEL
from assay.studies.effects.means import bounded_interval, mean_interval
from assay.studies.effects.rates import by_cluster, clustered_rate, mean
from assay.studies.static.results import Bounded, ByMethod, StaticCell, ToolValue

Valued = Iterable[tuple[str, float | None]]  # (family, value), None where there is none


def tool_value(tool: ToolInfo, cells: Sequence[StaticCell]) -> ToolValue:
    """Sums up what one tool showed.

    Args:
        tool: as it says of itself.
        cells: its own, one a testbed.
    """
    used = [cell for cell in cells if cell.calls]
    organisms = [cell for cell in used if cell.auroc is not None]
    clean = [cell for cell in used if cell.role == "clean"]
    skipped = [cell.skipped for cell in cells if cell.skipped]
    failed = [cell.failed for cell in cells if cell.failed]
    return ToolValue(
        tool=tool.name,
        needs=tool.needs,
        weight=tool.weight,
        source=tool.source,
        version=tool.version,
        digest=tool.digest,
        organisms=len(organisms),
        clean=len(clean),
        skipped=len(skipped),
        reasons=tuple(sorted(set(skipped))),
        failed=len(failed),
        faults=tuple(fault for fault, _ in Counter(failed).most_common(3)),
        auroc=_area((cell.family, cell.auroc) for cell in organisms),
        twin=_area((cell.family, cell.twin) for cell in organisms),
        difference=_difference(organisms),
        own_control=_area((cell.family, cell.own_control) for cell in organisms),
        first=_rate((cell.family, cell.first) for cell in organisms),
        twin_first=_rate((cell.family, cell.twin_first) for cell in organisms),
        chance=_mean(cell.chance for cell in organisms),
        named=_rate((cell.family, float(cell.named)) for cell in organisms),
        named_clean=_rate((cell.testbed, float(cell.named)) for cell in clean),
        by_method=_by_method(organisms),
        tokens=_mean(cell.tokens for cell in used),
        prepared=_mean(cell.prepared for cell in used),
        seconds=_mean(cell.seconds for cell in used),
    )


def _known(values: Valued) -> list[tuple[str, float]]:
    return [(family, value) for family, value in values if value is not None]


def _area(values: Valued) -> Bounded | None:
    """Averages areas within families and then over them, with an interval of any mean of values in [0, 1]."""
    means = list(by_cluster(_known(values)).values())
    if not means:
        return None
    return Bounded(value=mean(means), interval=bounded_interval(means, LEVEL), families=len(means))


def _rate(values: Valued) -> Bounded | None:
    known = _known(values)
    estimate = clustered_rate(known)
    if estimate is None:
        return None
    return Bounded(value=estimate.value, interval=estimate.interval, families=len({family for family, _ in known}))


def _difference(cells: Sequence[StaticCell]) -> Bounded | None:
    """Averages how much more of the truth an organism's output holds than its control's; two families at least."""
    differences = [
        (cell.family, cell.auroc - cell.twin) for cell in cells if cell.auroc is not None and cell.twin is not None
    ]
    means = list(by_cluster(differences).values())
    if len(means) < 2:
        return None
    low, high = mean_interval(means, LEVEL)
    return Bounded(value=mean(means), interval=(max(-1.0, low), min(1.0, high)), families=len(means))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _by_method(organisms: Sequence[StaticCell]) -> tuple[ByMethod, ...]:
    groups: defaultdict[str, list[StaticCell]] = defaultdict(list)
    for cell in organisms:
        groups[cell.method].append(cell)
    found: list[ByMethod] = []
    for method, cells in sorted(groups.items()):
        areas = [cell.auroc for cell in cells if cell.auroc is not None]
        firsts = [cell.first for cell in cells if cell.first is not None]
        twin = _mean(cell.twin for cell in cells)
        found.append(ByMethod(method=method, organisms=len(cells), auroc=mean(areas), twin=twin, first=mean(firsts)))
    return tuple(found)


def by_worth(values: Iterable[ToolValue]) -> tuple[ToolValue, ...]:
    """Orders tools: by how much more their output holds than the control's, then by what it holds."""

    def worth(value: ToolValue) -> tuple[float, float, str]:
        beyond = value.difference.value if value.difference else -2.0
        return -beyond, -(value.auroc.value if value.auroc else 0.0), value.tool

    return tuple(sorted(values, key=worth))
