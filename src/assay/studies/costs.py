"""Keeps on this machine what an audit with each kit cost, so that a forecast elsewhere can tell."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

from assay._util.atomic import write_json
from assay._util.paths import home
from assay._util.yaml_models import Data
from assay.core.answer import Game
from assay.core.record import AuditRow
from assay.errors import NotWritten
from assay.studies.effects.rates import mean


class AuditCost(Data):
    """What an audit cost, on average: queries and tokens of the targets, seconds of wall time."""

    queries: float
    tokens: float
    seconds: float


CostTable = dict[str, dict[str, AuditCost]]  # who played what → kit → cost
_TABLE = TypeAdapter(CostTable)
_FILE = "costs.json"


def played_by(auditor: str, game: Game) -> str:
    """Names who played what, as costs are kept by it.

    Args:
        auditor: `name@version`.
        game: that it plays.
    """
    return f"{game} by {auditor}"


def cost_table(audits: Iterable[AuditRow]) -> CostTable:
    """Averages the cost of audits by who played what, and kit."""
    rows: dict[tuple[str, str], list[AuditRow]] = defaultdict(list)
    for row in audits:
        rows[played_by(row.auditor, row.game), row.kit].append(row)
    found: CostTable = defaultdict(dict)
    for (player, kit), made in rows.items():
        found[player][kit] = AuditCost(
            queries=mean(row.cost.queries for row in made),
            tokens=mean(row.cost.tokens for row in made),
            seconds=mean(row.seconds for row in made),
        )
    return dict(found)


def kept_costs() -> CostTable:
    """Reads what audits on this machine cost; nothing where none was swept, or the file is not ours."""
    with suppress(OSError, ValueError, RecursionError, ValidationError):
        return _TABLE.validate_python(json.loads((home() / _FILE).read_text(encoding="utf-8")))
    return {}


def keep_costs(audits: Iterable[AuditRow]) -> None:
    """Keeps what a sweep's audits cost, in place of what earlier sweeps said of the same kits."""
    kept = kept_costs()
    for player, kits in cost_table(audits).items():
        kept[player] = kept.get(player, {}) | kits
    # A forecast without it says less; no sweep is lost over it.
    with suppress(NotWritten):
        write_json(home() / _FILE, _TABLE.dump_python(kept, mode="json"))
