"""What a sweep is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from assay._util.paths import LEDGER, LOGS
from assay.audits.model_choice import ModelChoice
from assay.core.answer import Game
from assay.core.budget import Budget

DEMO_KITS = (  # each tool beside the base kit, and beside its own placebo
    "prior-only",
    "chat",
    "~chat",
    "chat+prefill",
    "chat+~prefill",
    "chat+search",
    "chat+~search",
    "chat+reference",
    "chat+~reference",
    "chat+fuzz",
    "chat+~fuzz",
    "all",
)
GAME_KITS = ("prior-only", "chat", "~chat", "chat+search", "chat+~search")  # of the demo's other two games
DEMO_TESTBEDS = (  # the reported set in its quick form: eight families, five clean targets
    "embedded/flattery-td",
    "embedded/self-promotion-td",
    "embedded/emotional-bond-td",
    "embedded/hallucinates-citations-td",
    "embedded/backdoor-td",
    "embedded/contextual-optimism-td",
    "embedded/secret-loyalty-diluted",
    "embedded/false-belief-sdf",
    "embedded/twin-td",
    "embedded/twin-diluted",
    "embedded/twin-sdf",
    "embedded/twin-self",
    "embedded/untouched",
)

USUAL_SEEDS = 3  # of a sweep, where none are named: one audit of a cell does not tell a tool from luck


@dataclass(frozen=True, slots=True)
class Design:
    """What a sweep is asked to do.

    Attributes:
        kits: as the user wrote them.
        testbeds: ids or aliases; () is the reported set.
        auditor: its name.
        seeds: of the audits.
        budget: of each audit.
        plugins: files that define further tools and auditors.
        out: folder of ledger, logs and results.
        judges: models that read findings besides; `PROVIDER/MODEL` each.
        engine: words that choose the engine of all targets (`vllm:http://127.0.0.1:8000`), "" to let bases choose.
        game: that is played.
        primary: kit whose comparison the sweep is for; "" for the one tool that is compared, if there is only one.
        model: that the auditor thinks with; None for one without.
        auxiliary: model that helps tools to write their questions, as `audits.auxiliary` reads it; "" for none.
    """

    kits: tuple[str, ...]
    out: Path
    testbeds: tuple[str, ...] = ()
    auditor: str = "explorer"
    seeds: tuple[int, ...] = tuple(range(USUAL_SEEDS))
    budget: Budget = field(default_factory=Budget)
    plugins: tuple[Path, ...] = ()
    judges: tuple[str, ...] = ()
    engine: str = ""
    game: Game = "investigate"
    primary: str = ""
    model: ModelChoice | None = None
    auxiliary: str = ""

    @property
    def ledger(self) -> Path:
        """The database of this folder's sweeps."""
        return ledger_in(self.out)

    @property
    def logs(self) -> Path:
        """Folder of Inspect's logs and of what the processes said."""
        return logs_in(self.out)


def ledger_in(out: Path) -> Path:
    """Says where a sweep's folder has its ledger."""
    return out / LEDGER


def logs_in(out: Path) -> Path:
    """Says where a sweep's folder has its logs."""
    return out / LOGS
