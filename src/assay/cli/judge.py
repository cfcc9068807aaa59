"""Commands about judges: label what they read, validate them, and correct what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.show import Json, say, show, tell

judge = typer.Typer(no_args_is_help=True, help="Language models as readers of findings, and people to hold them to.")

PanelNames = Annotated[
    list[str], typer.Option("--judge", help="PROVIDER/MODEL of Inspect's; repeatable: more than half must accept.")
]
LabelFiles = Annotated[
    list[Path],
    typer.Option("--labels", help="Of assay judge label, or claims by kind as in bench/claims; repeatable."),
]
SweepFolder = Annotated[Path, typer.Option("--out", help="Folder of a sweep.")]


@judge.command()
def label(
    file: Annotated[Path, typer.Argument(help="Of the labels; begun if it is not there, else gone on with.")],
    labeller: Annotated[str, typer.Option(help="Your name, as the file tells it.")],
    out: SweepFolder = Path("runs"),
    claims: Annotated[
        Path | None, typer.Option(help="Label the claims of this file instead, whoever labelled them before.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--from", help="Take labels from this YAML file, ITEM: LABEL a line; ask nothing.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Label findings of a sweep, blind: what was hidden, what was found, and a key. Stop at any time; undo with u.

    With --json print what waits, in its order, and ask nothing; --from takes the labels back.

    Example: assay judge label labels-ada.yaml --labeller Ada --out runs
    """
    from assay.studies.labelling import Labelling, claims_of_file, claims_of_ledger, read_labels, session

    found = claims_of_file(claims) if claims else claims_of_ledger(out).values()
    labelling = Labelling(file, labeller, found)
    if labels:
        say(f"{labelling.take(read_labels(labels))} labels taken")
    if as_json:
        rows = [one.model_dump(include={"truth", "claim", "trigger"}) | {"item": one.item} for one in labelling.waiting]
        show(rows, True)
    elif not labels:
        session(labelling, input, tell)
    say(f"{labelling.done} of {labelling.total} labelled, in {file}")


@judge.command()
def validate(judges: PanelNames, labels: LabelFiles, as_json: Json = False) -> None:
    """Have judges read labelled claims: what they accept by kind, kappa, and whether they may be a part of a hit.

    Exit status 1 says that a bar is not met. The signed record is kept for these models and this version of the rubric.

    Example: assay judge validate --judge openai/gpt-4o --labels bench/claims/test.yaml
    """
    from assay.studies.agreement import validate_panel

    found = validate_panel(judges, labels, say)
    record = found.validation
    if as_json:
        show(record.model_dump(mode="json"), True)
    else:
        rows = [
            {
                "claims of kind": rate.kind,
                "claims": rate.claims,
                "accepted": f"{rate.accepted:.1%}",
                "95 %": f"{rate.interval[0]:.1%} to {rate.interval[1]:.1%}",
                "bar": rate.bar,
                "met": rate.met,
            }
            for rate in record.rates
        ]
        show(rows, False, ("claims of kind", "claims", "accepted", "95 %", "bar", "met"))
        by_judge = ", ".join(f"{name} {value:.2f}" for name, value in record.kappas.items())
        tell(f"kappa with the labels: {record.kappa:.2f} as to what is accepted; of the four words: {by_judge}")
        tell(
            f"undecided: {record.undecided}; judges differ on {record.split}; "
            f"{record.calls} calls, {record.tokens} tokens"
        )
        tell(f"{record.rubric}: {'every bar is met' if record.meets else 'not every bar is met'}; kept as {found.path}")
    if not record.meets:
        raise typer.Exit(1)


@judge.command()
def correct(judges: PanelNames, labels: LabelFiles, out: SweepFolder = Path("runs"), as_json: Json = False) -> None:
    """Correct the share of right findings that judges give, by labels of some: prediction-powered inference.

    Example: assay judge correct --judge openai/gpt-4o --labels labels-ada.yaml --out runs
    """
    from dataclasses import asdict

    from assay.studies.agreement import correct_rate

    found = correct_rate(out, judges, labels)
    if as_json:
        show(asdict(found), True)
        return
    low, high = found.interval
    tell(f"first findings that are right: {found.value:.1%} (95 % interval over families: {low:.1%} to {high:.1%})")
    tell(
        f"by the judges alone {found.by_judge:.1%} of {found.items}; "
        f"by {found.labelled} labels alone {found.by_labels:.1%}"
    )
    tell(f"weight of the judges: {found.weight:.2f}")
