"""Has a person label claims, blind: the truth's text and a finding, and nothing of what a grader said of it.

Claims come in an order that depends on labeller and claim alone, and so at random: whatever was labelled when a session
ends is a random part of all, and the next session goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from assay._util.hashing import digest_of
from assay._util.strict_yaml import read_yaml
from assay._util.yaml_models import load_yaml
from assay.core.report import Report
from assay.errors import InvalidInput, UnknownId
from assay.grading.judge.jobs import JudgedTruths
from assay.grading.judge.labels import ClaimBeside, LabelFile, LabelledClaim, read_labelled
from assay.grading.judge.verdicts import LABELS, Label
from assay.studies.grades import Grading, report_of
from assay.studies.ledger import Ledger
from assay.studies.study import existing_ledger
from assay.testbeds.texts import ToldTruth, texts_alone

KEYS: dict[str, Label] = {"t": "true", "h": "half-true", "f": "false", "v": "vague"}
UNDO, QUIT = "u", "q"
_OR = "\nor: "  # between the texts of a truth with several behaviours


def claims_of_ledger(out: Path) -> dict[str, ClaimBeside]:
    """Lists what a sweep's audits of organisms claim first, each claim once: run key → claim.

    Raises:
        InvalidInput: no ledger there.
    """
    truths = JudgedTruths.of(Grading.now().cases, texts_alone()).own
    found: dict[str, ClaimBeside] = {}
    with Ledger.open(existing_ledger(out)) as ledger:
        for row in ledger.audits():
            report = report_of(row)
            if isinstance(report, Report) and report.findings and row.alias in truths and truths[row.alias].behaviours:
                first = report.findings[0]
                found[row.run_key] = beside(truths[row.alias], first.claim, first.trigger or "")
    return found


def beside(told: ToldTruth, claim: str, trigger: str) -> ClaimBeside:
    """Sets a claim beside all that a truth tells."""
    text = _OR.join(behaviour.text for behaviour in told.behaviours)
    return ClaimBeside(truth=text, claim=claim, trigger=trigger, family=told.truth.family)


def claims_of_file(path: Path) -> list[ClaimBeside]:
    """Lists the claims of a labelled file without their labels."""
    claims, _ = read_labelled(path)
    return [ClaimBeside(**one.model_dump(include=set(ClaimBeside.model_fields))) for one in claims]


class Labelling:
    """One person's labels of some claims, written after each.

    Args:
        path: file of the labels; begun if it is not there.
        labeller: the name that the person gives.
        claims: to label; those that say the same are one.

    Raises:
        InvalidInput: the file is another person's, or none of labels.
    """

    def __init__(self, path: Path, labeller: str, claims: Iterable[ClaimBeside]) -> None:
        self._path, self._labeller = path, labeller
        self._labels: list[LabelledClaim] = []
        if path.exists():
            file: LabelFile = load_yaml(path, LabelFile)
            if file.labeller != labeller:
                raise InvalidInput(f"{path}: labelled by {file.labeller!r}, not {labeller!r}. Give each a file.")
            self._labels = list(file.labels)
        distinct = {one.item: one for one in claims}
        self._order = sorted(distinct.values(), key=lambda one: digest_of([labeller, one.item]))

    @property
    def waiting(self) -> list[ClaimBeside]:
        """Returns what is to be labelled yet, in its order."""
        done = {one.item for one in self._labels}
        return [one for one in self._order if one.item not in done]

    @property
    def done(self) -> int:
        """Returns how many of the claims are labelled."""
        return len(self._order) - len(self.waiting)

    @property
    def total(self) -> int:
        """Returns how many claims there are."""
        return len(self._order)

    def label(self, one: ClaimBeside, label: Label) -> None:
        """Labels a claim, and writes the file."""
        self._labels.append(LabelledClaim(**one.model_dump(), label=label))
        self._write()

    def undo(self) -> bool:
        """Takes the last label of these claims back; False where there is none."""
        known = {one.item for one in self._order}
        for place in reversed(range(len(self._labels))):
            if self._labels[place].item in known:
                del self._labels[place]
                self._write()
                return True
        return False

    def take(self, labels: Mapping[str, Label]) -> int:
        """Takes labels that were made elsewhere: item → label. Returns how many were of claims that waited.

        Raises:
            UnknownId: an item that is none of these claims; nothing is taken then.
        """
        known = {one.item: one for one in self._order}
        for item in labels:
            if item not in known:
                raise UnknownId("item", item, known)
        waiting = [one for one in self.waiting if one.item in labels]
        self._labels += [LabelledClaim(**one.model_dump(), label=labels[one.item]) for one in waiting]
        self._write()
        return len(waiting)

    def _write(self) -> None:
        LabelFile(labeller=self._labeller, labels=self._labels).write(self._path)


def read_labels(path: Path) -> dict[str, Label]:
    """Reads labels made elsewhere, a mapping of item → label.

    Raises:
        InvalidInput: of another shape; names the item.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InvalidInput(f"{path}: wants a mapping, ITEM: LABEL on each line.")
    found: dict[str, Label] = {}
    for item, label in data.items():
        known = [one for one in LABELS if one == str(label).lower()]  # `true` and `false` are read as what YAML has
        if not known:
            raise InvalidInput(f"{path}: {item}: {label!r} is no label. Allowed: {', '.join(LABELS)}.")
        found[str(item)] = known[0]
    return found


def session(labelling: Labelling, ask: Callable[[str], str], show: Callable[[str], None]) -> None:
    """Goes through what waits, until nothing does or the person stops.

    Args:
        labelling: whose claims and labels.
        ask: asks for a key; raises EOFError where nobody is there any more.
        show: shows a text.
    """
    keys = "[t]rue  [h]alf-true  [f]alse  [v]ague  [u]ndo  [q]uit: "
    while waiting := labelling.waiting:
        one = waiting[0]
        show(shown(one, labelling.done + 1, labelling.total))
        try:
            key = ask(keys).strip().casefold()[:1]
        except EOFError:
            return
        if key == QUIT:
            return
        if key == UNDO:
            show("taken back" if labelling.undo() else "nothing to take back")
        elif key in KEYS:
            labelling.label(one, KEYS[key])
        else:
            show(f"{key!r} is none of {', '.join([*KEYS, UNDO, QUIT])}")


def shown(one: ClaimBeside, place: int, total: int) -> str:
    """Writes a claim as its labeller sees it."""
    trigger = f"\n  when:    {one.trigger}" if one.trigger else ""
    return f"\n{place} of {total}\n  hidden:  {one.truth}\n\n  finding: {one.claim}{trigger}\n"


def labels_by_item(paths: Sequence[Path]) -> dict[str, Label]:
    """Reads label files, item → label; where several people labelled an item, the first file's counts."""
    found: dict[str, Label] = {}
    for path in paths:
        for one in read_labelled(path)[0]:
            found.setdefault(one.item, one.label)
    return found
