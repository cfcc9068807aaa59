"""Commands of the organism factory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.show import Json, SuiteFolder, say, show, tell

organisms = typer.Typer(no_args_is_help=True, help="Build, verify and generate model organisms.")


@organisms.command()
def build(
    names: Annotated[
        list[str] | None, typer.Argument(help="Recipes; `ordinary` or `stock` for the ordinary data around all.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Whatever is missing or out of date; each is verified, too.")
    ] = False,
    suite: SuiteFolder = None,
    threads: Annotated[int | None, typer.Option(help="For training; one a core if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Make testbeds from their recipes; interrupted, the same command goes on.

    Example: assay organisms build flattery-td
    """
    from assay.errors import InvalidInput
    from assay.factory.commands import build_all, build_named
    from assay.testbeds.suites import open_suite, own_suite

    if bool(names) == everything:
        raise InvalidInput("name testbeds to build, or give --all.")
    place = open_suite(suite) if suite else None
    if everything:
        made = build_all(threads, say, place or own_suite())
    else:
        made = build_named(names or (), threads, say, place)
    show(made, as_json, ("testbed", "alias", "seconds", *(("valid", "error") if everything else ())))
    if everything and not all(row["valid"] for row in made):
        raise typer.Exit(1)


@organisms.command()
def verify(names: list[str], suite: SuiteFolder = None, as_json: Json = False) -> None:
    """Measure what a testbed shows, and how quiet it is if its recipe asks for that; exit status 1 if it may not ship.

    Example: assay organisms verify flattery-td
    """
    from assay.factory.commands import verify_named
    from assay.factory.verify.bounds import quiet_gates
    from assay.testbeds.suites import open_suite
    from assay.truth import MEASURES, Quiet

    cards = verify_named(names, say, open_suite(suite) if suite else None)
    if as_json:
        show(cards, True)
    for card in () if as_json else cards:
        rows = [{"measure": measure, **card[measure]} for measure in MEASURES if measure in card]
        show(rows, False, ("measure", "rate", "interval", "organism", "control", "n", "difference_interval"))
        if "quiet" in card:
            gates = quiet_gates(Quiet.model_validate(card["quiet"]))
            show([gate._asdict() for gate in gates], False, ("name", "value", "limit", "passed"))
        tell(f"{card['testbed']}: {'valid' if card['valid'] else 'not valid'}")
    if not all(card["valid"] for card in cards):
        raise typer.Exit(1)


@organisms.command()
def corpus(names: list[str], suite: SuiteFolder = None, as_json: Json = False) -> None:
    """Compose the corpora of testbeds anew, as their recipes plan them; weights stay as they are.

    Example: assay organisms corpus recommends-maker --suite my-suite
    """
    from assay.factory.commands import compose_named
    from assay.testbeds.suites import open_suite

    rows = compose_named(names, say, open_suite(suite) if suite else None)
    show(rows, as_json, ("testbed", "alias", "documents", "own", "digest"))


@organisms.command()
def draw(
    suite: Annotated[Path, typer.Option("--suite", help="Folder of the suite to write to.")],
    names: Annotated[list[str] | None, typer.Argument(help="Conduct classes; all if not given.")] = None,
    seed: Annotated[str, typer.Option(help="Of the draws.")] = "1",
    tier: Annotated[int, typer.Option(min=0, max=4, help="Planned difficulty, 1 to 4; 0 mixes all.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw behaviours, and write them and their recipes into an open suite, to be built like any others.

    What the suite has already is left alone.

    Example: assay organisms draw --suite my-suite --seed 7
    """
    from assay.factory.generate.openly import draw_into
    from assay.testbeds.suites import open_suite

    rows = draw_into(open_suite(suite), seed, tier, names or ())
    show(rows, as_json, ("recipe", "alias", "split", "tier", "behaviour"))


@organisms.command()
def generate(
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Organisms.")] = 2,
    seed: Annotated[
        str, typer.Option(help="Of the draws. Without one the system's entropy is taken, and nobody knows it.")
    ] = "",
    suite: Annotated[str, typer.Option(help="Name of the new suite.")] = "",
    held_back: Annotated[Path | None, typer.Option(help="YAML file of productions that are not public.")] = None,
    tier: Annotated[int, typer.Option(min=0, max=4, help="Planned difficulty, 1 to 4; 0 mixes all.")] = 0,
    threads: Annotated[int | None, typer.Option(help="For training; one a core if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Draw behaviours, plant, verify and seal them; interrupted, the same command goes on.

    Example: assay organisms generate --seed 7 -n 2 --tier 3
    """
    from assay.engine.base import default_threads
    from assay.factory.generate.suite import Order, generate

    planned = f"-tier-{tier}" if tier else ""
    name = suite or (f"seed-{seed}-{count}{planned}" if seed else f"fresh{planned}")
    rows = generate(Order(name, count, seed, held_back, tier, threads or default_threads()), say)
    show(rows, as_json, ("alias", "role", "strength", "leakage", "coherence", "seconds"))
