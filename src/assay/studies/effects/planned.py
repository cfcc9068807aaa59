"""Models what a sweep said it would do before its first audit ran, and how what was run differs from it."""

from __future__ import annotations

from collections.abc import Iterable

from assay._util.hashing import digest_of
from assay._util.yaml_models import Data
from assay.core.answer import Game

NO_PRIMARY = "none named: all comparisons are corrected together"


class PlanDocument(Data):
    """Holds what is fixed before a sweep; its digest is kept with the results.

    Attributes:
        testbeds: digest of their aliases.
        kits: compared.
        auditor: its title.
        seeds: of each kit on each testbed.
        budget: queries, tokens, seconds of each audit.
        engine: words that chose it, "" for each base's own.
        auxiliary: model that helps tools, "" for none.
        game: that is played.
        primary: kit whose comparison the sweep is for, "" where none was named.
        tool: that this kit has more than what it is compared with.
        against: what it is compared with: base kits, `placebo`.
        test: by which the verdict is said, in words.
        alpha: below which p has to be after correction.
        families: B, the sample size.
        smallest_shown: effect that the verdict finds in 80 % of sweeps, simulated; None if it finds none.
    """

    testbeds: str
    kits: tuple[str, ...]
    auditor: str
    seeds: tuple[int, ...]
    budget: tuple[int, int, float]
    engine: str
    auxiliary: str = ""
    game: Game = "investigate"
    primary: str
    tool: str
    against: tuple[str, ...]
    test: str
    alpha: float
    families: int
    smallest_shown: float | None

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def primary_told(self) -> str:
        """Names the primary comparison in words."""
        return f"{self.tool}, {self.primary} against {' and '.join(self.against)}" if self.primary else NO_PRIMARY


class Planned(Data):
    """Tells what of a sweep was planned, and when.

    Attributes:
        document: what was stored before the first audit.
        digest: of it.
        stored: when; UTC, ISO 8601.
        changed: how it differs from what was planned on these testbeds before looks at them, in words; "" if it does
            not, or nobody had looked.
    """

    document: PlanDocument
    digest: str
    stored: str
    changed: str = ""


def changes(before: PlanDocument, after: PlanDocument) -> list[str]:
    """Lists in words what a plan has that an earlier one had not, and the reverse."""
    told = [
        _several("kits added", set(after.kits) - set(before.kits)),
        _several("kits left out", set(before.kits) - set(after.kits)),
        _several("seeds added", set(after.seeds) - set(before.seeds)),
        _several("seeds left out", set(before.seeds) - set(after.seeds)),
    ]
    for name in ("testbeds", "budget", "engine", "auxiliary", "game", "auditor"):
        if getattr(before, name) != getattr(after, name):
            told.append(f"other {name}")
    if before.primary != after.primary:
        told.append(f"primary comparison {after.primary or 'none'} in place of {before.primary or 'none'}")
    return [words for words in told if words]


def _several(what: str, names: Iterable[object]) -> str:
    listed = ", ".join(map(str, sorted(names, key=str)))
    return f"{what}: {listed}" if listed else ""
