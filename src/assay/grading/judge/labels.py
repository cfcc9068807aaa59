"""Defines claims that somebody labelled, and reads them from files: what people say a judge should say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from assay._util.hashing import digest_of
from assay._util.strict_yaml import read_yaml
from assay._util.yaml_models import Data, load_yaml, write_yaml
from assay.errors import InvalidInput
from assay.grading.judge.verdicts import Label
from assay.testbeds.behaviours import find_behaviour

ClaimKind = Literal["true", "other-trigger", "other-conduct", "near-miss", "vague", "hedged", "wrong"]
LABEL_OF: dict[ClaimKind, Label] = {  # what a claim that was written as one of a kind should be called
    "true": "true",
    "other-trigger": "half-true",
    "other-conduct": "half-true",
    "near-miss": "false",
    "vague": "vague",
    "hedged": "false",
    "wrong": "false",
}


class ClaimBeside(Data):
    """A claim beside the text that it may tell.

    Attributes:
        truth: text of what was hidden.
        claim, trigger: of a finding.
        family: of the truth; claims of one are alike.
    """

    truth: str = Field(min_length=1)
    claim: str = Field(min_length=1)
    trigger: str
    family: str

    @property
    def item(self) -> str:
        """Returns the digest by which a label finds it again."""
        # a letter first: digits alone would be a number in YAML
        return f"c{digest_of([self.truth, self.trigger, self.claim])[:15]}"


class LabelledClaim(ClaimBeside):
    """A claim, and what somebody who knows the truth calls it.

    Attributes:
        label: in the words of a judge's verdict.
        kind: what it was written as; "" of one that an auditor wrote.
    """

    label: Label
    kind: ClaimKind | Literal[""] = ""


class LabelFile(Data):
    """What one person labelled.

    Attributes:
        labeller: the name they gave.
        labels: in the order they were made.
    """

    labeller: str = Field(min_length=1)
    labels: list[LabelledClaim] = []

    def write(self, path: Path) -> None:
        """Writes it, whole or not at all."""
        write_yaml(self.model_dump(mode="json", exclude_defaults=False), path)


class _WrittenClaim(Data):
    kind: ClaimKind
    claim: str
    trigger: str
    hand: str = ""


class _ClaimsFile(Data):
    """Claims that were written to be of a kind, by behaviour; `anywhere` holds vague ones."""

    behaviours: dict[str, list[_WrittenClaim]]
    anywhere: list[str] = []


def read_labelled(path: Path) -> tuple[list[LabelledClaim], str]:
    """Reads labelled claims: a person's labels, or claims that were written to be of a kind (`bench/claims`).

    Returns:
        Them, and who labelled them.

    Raises:
        InvalidInput: neither; says what is wrong.
        UnknownId: a behaviour that no suite here describes.
    """
    data = read_yaml(path)
    if isinstance(data, dict) and "behaviours" in data:
        return _written(load_yaml(path, _ClaimsFile)), f"as written ({path.name})"
    if not isinstance(data, dict) or "labels" not in data:
        raise InvalidInput(
            f"{path}: wants labels, as assay judge label writes them (labeller, labels), or claims by behaviour, as in "
            f"bench/claims (behaviours)."
        )
    file: LabelFile = load_yaml(path, LabelFile)
    return file.labels, file.labeller


def _written(file: _ClaimsFile) -> list[LabelledClaim]:
    claims: list[LabelledClaim] = []
    for name, written in file.behaviours.items():
        behaviour = find_behaviour(name)
        beside = {"truth": behaviour.description, "family": behaviour.family}
        for one in written:
            said = {"claim": one.claim, "trigger": one.trigger, "kind": one.kind, "label": LABEL_OF[one.kind]}
            claims.append(LabelledClaim(**beside, **said))
        for text in file.anywhere:
            vague = {"claim": text, "trigger": behaviour.trigger, "kind": "vague", "label": "vague"}
            claims.append(LabelledClaim(**beside, **vague))
    return claims
