"""The options that make a design, written once for all commands that take one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.show import (
    AuditorName,
    Auxiliary,
    BudgetWords,
    EngineWords,
    GameName,
    Json,
    Judges,
    ModelConfig,
    ModelName,
    ModelPrice,
    Out,
    PluginFiles,
)
from assay.studies.design import USUAL_SEEDS

if TYPE_CHECKING:
    from assay.studies.design import Design

Kits = Annotated[list[str], typer.Option("--kit", help="NAME(+NAME)*; ~NAME is a placebo; repeatable.")]
Testbeds = Annotated[
    list[str] | None, typer.Option("--testbed", help="Id or alias; repeatable; the reported set if none.")
]
SeedCount = Annotated[int, typer.Option("--seeds", min=1, help="How many audits of each cell: seeds 0, 1, …")]
SeedList = Annotated[
    list[int] | None, typer.Option("--seed", help="This seed and no other; repeatable; in place of --seeds.")
]
Primary = Annotated[
    str,
    typer.Option("--primary", help="Kit that the sweep is for, stored before it runs; the one tool if there is one."),
]


def designed(command: Callable[[Design, bool], None]) -> Callable[..., None]:
    """Makes a command of a function that takes a design, and whether to print JSON."""

    def run(
        kits: Kits,
        testbeds: Testbeds = None,
        auditor: AuditorName = "explorer",
        seeds: SeedCount = USUAL_SEEDS,
        seed: SeedList = None,
        plugin: PluginFiles = None,
        judge: Judges = None,
        engine: EngineWords = "",
        game: GameName = "investigate",
        budget: BudgetWords = "",
        model: ModelName = "",
        model_config: ModelConfig = "",
        price: ModelPrice = "",
        auxiliary: Auxiliary = "",
        primary: Primary = "",
        out: Out = Path("runs"),
        as_json: Json = False,
    ) -> None:
        from assay.audits.model_choice import choose_model
        from assay.core.budget import parse_budget
        from assay.studies.design import Design

        design = Design(
            kits=tuple(kits),
            out=out,
            testbeds=tuple(testbeds or ()),
            auditor=auditor,
            seeds=tuple(seed or range(seeds)),
            plugins=tuple(plugin or ()),
            judges=tuple(judge or ()),
            engine=engine,
            game=game,
            budget=parse_budget(budget),
            model=choose_model(model, model_config, price),
            auxiliary=auxiliary,
            primary=primary,
        )
        command(design, as_json)

    # Not by functools.wraps: typer would then read the options off the function inside.
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
