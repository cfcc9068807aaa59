"""Plan files: a sweep's options, kept in YAML under the names that the command line has for them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from assay._util.yaml_models import Data, load_yaml
from assay.audits.model_choice import choose_model
from assay.core.answer import Game
from assay.core.budget import parse_budget
from assay.errors import InvalidInput
from assay.studies.design import USUAL_SEEDS, Design


class PlannedOptions(Data):
    """Holds the options of a sweep, as `assay sweep --help` explains them.

    Attributes:
        kit, testbed, plugin, judge: lists; a plug-in's file is named from where the command is run.
        seed: seeds in place of 0, 1, … below `seeds`.
        model_options: `--model-config` on the command line.
    """

    kit: tuple[str, ...] = ()
    testbed: tuple[str, ...] = ()
    auditor: str = "explorer"
    seeds: int = Field(ge=1, default=USUAL_SEEDS)
    seed: tuple[int, ...] = ()
    plugin: tuple[Path, ...] = ()
    judge: tuple[str, ...] = ()
    engine: str = ""
    game: Game = "investigate"
    budget: str = ""
    model: str = ""
    model_options: str = ""
    price: str = ""
    auxiliary: str = ""
    primary: str = ""

    def design(self, out: Path) -> Design:
        """Makes a design of them, whose ledger lies in a folder.

        Raises:
            InvalidInput: no kit is named, or words of the budget or the model cannot be read.
        """
        if not self.kit:
            raise InvalidInput("no kit: give --kit NAME, more than once to compare, or --plan FILE that names some.")
        return Design(
            kits=self.kit,
            out=out,
            testbeds=self.testbed,
            auditor=self.auditor,
            seeds=tuple(self.seed or range(self.seeds)),
            plugins=self.plugin,
            judges=self.judge,
            engine=self.engine,
            game=self.game,
            budget=parse_budget(self.budget),
            model=choose_model(self.model, self.model_options, self.price),
            auxiliary=self.auxiliary,
            primary=self.primary,
        )


def open_plan_file(path: Path) -> PlannedOptions:
    """Reads a plan file.

    Raises:
        InvalidInput: it cannot be read, or has other fields.
    """
    options: PlannedOptions = load_yaml(path, PlannedOptions)
    return options
