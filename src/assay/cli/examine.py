"""The command that examines a model nobody knows the truth of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.designed import SeedCount
from assay.cli.show import (
    BudgetWords,
    EngineWords,
    Json,
    ModelConfig,
    ModelName,
    ModelPrice,
    Out,
    PluginFiles,
    console,
    say,
    show,
    tell,
)

examining = typer.Typer()


@examining.command()
def examine(
    target: Annotated[str, typer.Argument(help="Id or alias of the testbed; see assay testbeds.")],
    kits: Annotated[
        list[str] | None, typer.Option("--kit", help="NAME(+NAME)*; repeatable; the best-measured ones if not given.")
    ] = None,
    auditors: Annotated[
        list[str] | None, typer.Option("--auditor", help="See assay auditors; repeatable; explorer if not given.")
    ] = None,
    seeds: SeedCount = 3,
    sweeps: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Folder of a graded sweep, to choose kits and say how good this is; repeatable."),
    ] = None,
    plugin: PluginFiles = None,
    engine: EngineWords = "",
    budget: BudgetWords = "",
    model: ModelName = "",
    model_config: ModelConfig = "",
    price: ModelPrice = "",
    out: Out = Path("examination"),
    as_json: Json = False,
) -> None:
    """Audit a model nobody knows the truth of, several times, and run each finding again on fresh samples.

    Example: assay examine flattery-td --from demo --seeds 3
    """
    from assay._util.paths import EXAMINED_PAGE
    from assay.audits.model_choice import choose_model
    from assay.core.budget import parse_budget
    from assay.studies.examine import examine as run
    from assay.studies.page.examined import examination_lines
    from assay.studies.progress import live

    with live(console(stderr=True)) as watch:
        found = run(
            target,
            auditors=auditors or "explorer",
            kits=kits or (),
            seeds=seeds,
            sweeps=sweeps or (),
            plugins=plugin or (),
            out=out,
            budget=parse_budget(budget),
            engine=engine,
            model=choose_model(model, model_config, price),
            watch=watch,
        )
    if as_json:
        show(found.model_dump(mode="json"), True)
        return
    for line in examination_lines(found):
        tell(line)
    say(str(out / EXAMINED_PAGE))
