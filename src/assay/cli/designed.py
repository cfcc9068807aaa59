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

Kits = Annotated[
    list[str] | None,
    typer.Option("--kit", help="NAME(+NAME)*; ~NAME is a placebo; repeatable; one at least, or --plan."),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="YAML file with these options under their names; those given here go before it."),
]
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

# Where a plan file's name is not the option's, or another option says the same.
_ON_THE_LINE = {"seeds": ("seeds", "seed"), "seed": ("seeds", "seed"), "model_options": ("model_config",)}


def designed(command: Callable[[Design, bool], None]) -> Callable[..., None]:
    """Makes a command of a function that takes a design, and whether to print JSON."""

    def run(
        context: typer.Context,
        kit: Kits = None,
        plan: PlanFile = None,
        testbed: Testbeds = None,
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
        from assay.studies.plan_file import PlannedOptions, open_plan_file

        words = PlannedOptions(
            kit=tuple(kit or ()),
            testbed=tuple(testbed or ()),
            auditor=auditor,
            seeds=seeds,
            seed=tuple(seed or ()),
            plugin=tuple(plugin or ()),
            judge=tuple(judge or ()),
            engine=engine,
            game=game,
            budget=budget,
            model=model,
            model_options=model_config,
            price=price,
            auxiliary=auxiliary,
            primary=primary,
        )
        if plan:
            filed = open_plan_file(plan)
            untyped = {name for name in filed.model_fields_set if not _typed(context, name)}
            words = words.model_copy(update={name: getattr(filed, name) for name in untyped})
        command(words.design(out), as_json)

    # Not by functools.wraps: typer would then read the options off the function inside.
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _typed(context: typer.Context, name: str) -> bool:
    """Tells whether an option stands on the command line, or another that would be lost beside it."""
    sources = (context.get_parameter_source(option) for option in _ON_THE_LINE.get(name, (name,)))
    return any(source is not None and source.name != "DEFAULT" for source in sources)
