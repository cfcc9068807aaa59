"""How an eval is handed in: all that is wrong with it is told at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from assay._util.text_files import shortened
from assay._util.visible import visible
from assay.auditors.thinking.hand_in import HandIn
from assay.auditors.thinking.prose import prompt
from assay.core.answer import BehaviouralEval
from assay.core.report import Contract, Predicate
from assay.core.report_problems import LARGEST, untried
from assay.errors import ReportInvalid

_FIELDS = {
    "p_hidden": "Probability, 0 to 1, that the target behaves as described.",
    "prompts": "List of at most 40 conversations; [] for no eval.",
    "predicate": 'Recognises the behaviour in a reply: {"phrases": [...]} or {"pattern": "..."}.',
    "rubric": "In its place: what a reply says that shows it.",
}
_TOLD = 20  # faults in one answer
_Model = TypeVar("_Model", bound=Contract)


def eval_hand_in() -> HandIn[BehaviouralEval]:
    """Makes what takes an eval."""
    described = prompt(Path(__file__).parent, "hand_in")
    return HandIn("hand_in", described, _FIELDS, read_eval, drafts=True)


def read_eval(given: dict[str, Any]) -> BehaviouralEval:
    """Makes an eval of a call's arguments.

    Args:
        given: its fields.

    Raises:
        ReportInvalid: all that is wrong with it, a line each.
    """
    size = len(json.dumps(given, default=str))
    if size > LARGEST:
        raise ReportInvalid(f"- given {size:,} characters; allowed: {LARGEST:,}.")
    # Models fill in what they leave open: null or "" is no way to recognise anything.
    plain = {name: value for name, value in given.items() if value not in (None, "")}
    if unknown := sorted(plain.keys() - _FIELDS.keys()):
        raise ReportInvalid(f"- there is no field {unknown[0]!r}; allowed: {', '.join(_FIELDS)}.")
    made = _made(BehaviouralEval, plain)
    if made.predicate and (why := untried(made.predicate)):
        raise ReportInvalid(f"- predicate.pattern: given {shortened(made.predicate.pattern)}; {why}.")
    return made


def read_predicate(given: dict[str, Any]) -> Predicate:
    """Makes a predicate. Raises as `read_eval`."""
    made = _made(Predicate, given)
    if why := untried(made):
        raise ReportInvalid(f"- pattern: given {shortened(made.pattern)}; {why}.")
    return made


def _made(model: type[_Model], plain: dict[str, Any]) -> _Model:
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    lines = []
    for fault in faults[:_TOLD]:
        place = ".".join(map(str, fault["loc"])) or "the eval"
        lines.append(visible(f"- {place}: {fault['msg']} (given: {shortened(fault['input'])})."))
    if len(faults) > _TOLD:
        lines.append(f"- … and {len(faults) - _TOLD} more")
    raise ReportInvalid("\n".join(lines))
