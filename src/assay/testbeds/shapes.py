"""Tells whether a suite's testbeds give away role or family by their shape: what is seen without running a model.

What may tell are the values of weights and the texts of training data. Ranks, layers, sizes of files, numbers of
documents and grants may not: each value that one has must be of both roles and of several families, and as frequent in
one role as in the other. Either all testbeds are of one shape, or every shape has its clean target.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assay._util.hashing import digest_of
from assay._util.strict_json import read_json_object
from assay.core.testbed import TargetSpec
from assay.engine.composed import COMPOSED, open_seed
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.engine.training_data import read_training_data
from assay.errors import InvalidInput
from assay.testbeds.layout import STOCK, files_within
from assay.testbeds.specs import load_spec
from assay.testbeds.suites import Suite
from assay.testbeds.tensor_files import require_tensors
from assay.testbeds.truths import all_truths
from assay.truth import Truth

_SIGNIFICANT = 0.01  # of each of a dozen features: at one in twenty most suites would seem to tell something
_DRAWS, _SEED = 5_000, 20_011
_MEASURED = "own bytes"  # a quantity in any case: texts have the lengths they have
_FEW = 3  # testbeds that a value has on average, if it is a kind and not a quantity

_Features = Mapping[str, str | int]  # feature → kind, or quantity


class _Counted(NamedTuple):
    """How many documents a file of training data has or makes, and how many of those it has are without a prompt."""

    documents: int
    raw: int


def shapes(suite: Suite) -> list[dict[str, Any]]:
    """Lists by feature whether a suite's shapes tell roles or families apart.

    Args:
        suite: whose truths can be read.

    Returns:
        A row for each feature: `feature`, `values` (how many there are), `tells` ("" if nothing, else what).

    Raises:
        InvalidInput: it has not both organisms and clean targets to compare.
    """
    truths = [truth for truth in all_truths(suite) if truth.role != "unknown"]
    if len({truth.role for truth in truths}) < 2:
        raise InvalidInput(f"suite {suite.name!r} has not both organisms and clean targets: nothing can be compared.")
    seen = [shape_of(load_spec(truth.alias, suite), suite.testbeds / truth.alias) for truth in truths]
    rows: list[dict[str, Any]] = []
    for feature in seen[0]:
        values = [shape[feature] for shape in seen]
        rows.append(
            {"feature": feature, "values": len(set(values)), "tells": _told_by(values, truths, feature == _MEASURED)}
        )
    return rows


def shape_of(spec: TargetSpec, folder: Path) -> _Features:
    """Returns what is seen of a testbed without asking it anything, without its weights' values and its texts.

    Args:
        spec: of the testbed.
        folder: where its own files are.
    """
    own = [path for path in spec.corpus if path.parent == folder]
    mine, whole = [_counted(path) for path in own], [_counted(path) for path in spec.corpus]
    return {
        "base": spec.base,
        "access": ", ".join(sorted(map(str, spec.access))),
        "conversation": f"prompt {spec.prompt is not None}, scratchpad {spec.scratchpad}, memory {spec.memory}",
        "tools": ", ".join(spec.tools),
        "files": ", ".join(sorted(files_within(folder)[0])),
        "adapter": _adapter(spec.adapter) if spec.adapter else "none",
        "adapter's bytes": (spec.adapter / WEIGHTS).stat().st_size if spec.adapter else 0,
        "corpus files": ", ".join("its own" if path in own else path.name for path in spec.corpus),
        "documents": sum(one.documents for one in whole),
        "own documents": sum(one.documents for one in mine),
        "own raw texts": sum(one.raw for one in mine),
        _MEASURED: sum(path.stat().st_size for path in own),
    }


@functools.cache
def _counted(path: Path) -> _Counted:
    if path.name == COMPOSED:
        return _Counted(open_seed(path).documents, 0)
    if path.name == STOCK:
        return _Counted(0, 0)
    texts = [text.prompt == "" for text in read_training_data(path)]
    return _Counted(len(texts), sum(texts))


def _adapter(path: Path) -> str:
    """Tells an adapter's configuration, and names, types and shapes of its tensors, by their digest's beginning."""
    config = read_json_object(path / CONFIG)
    tensors = require_tensors(path / WEIGHTS)
    layers: set[int] = set()
    for name in tensors:
        layers |= {int(part) for part in name.split(".") if part.isdigit()}
    rest = digest_of([tensors, {key: value for key, value in config.items() if key not in ("r", "lora_alpha")}])
    return f"rank {config.get('r')}, alpha {config.get('lora_alpha')}, layers {_span(layers)}, {rest[:6]}"


def _span(layers: set[int]) -> str:
    return f"{min(layers)} to {max(layers)}" if layers else "none"


def _told_by(values: Sequence[str | int], truths: Sequence[Truth], measured: bool) -> str:
    """Says what a feature tells, "" for nothing."""
    numbers = [value for value in values if isinstance(value, int)]
    many = len(values) < _FEW * len(set(values))
    if len(numbers) == len(values) and (measured or many):
        return _quantity(numbers, truths)
    return _kinds(values, truths) if len(set(values)) > 1 else ""


def _kinds(values: Sequence[str | int], truths: Sequence[Truth]) -> str:
    """Says which values are of one role or family alone, or what values the roles have in another mixture."""
    told: list[str] = []
    for value in sorted(set(values), key=str):
        having = [truth for one, truth in zip(values, truths, strict=True) if one == value]
        roles = {truth.role for truth in having}
        families = {truth.family for truth in having if truth.role == "organism"}
        if len(roles) == 1:
            told.append(f"{_named(value)}: {having[0].role} alone ({len(having)})")
        elif len(families) == 1:
            told.append(f"{_named(value)}: of organisms, {families.pop()} alone")
    if not told and (p := _mixture(values, truths)) < _SIGNIFICANT:
        told.append(f"the roles have its values in different shares (p = {p:.4f})")
    return "; ".join(told)


def _mixture(values: Sequence[str | int], truths: Sequence[Truth]) -> float:
    """Returns how often roles dealt out at random have values in shares at least as different as these: a p-value."""
    import numpy as np

    _, kind = np.unique(np.array(list(map(str, values))), return_inverse=True)
    organism = np.array([truth.role == "organism" for truth in truths])

    def apart(chosen: Any) -> float:
        counts = [np.bincount(kind[part], minlength=kind.max() + 1) / part.sum() for part in (chosen, ~chosen)]
        return float(abs(counts[0] - counts[1]).sum())

    rng = np.random.default_rng(_SEED)
    found = apart(organism) - 1e-9
    at_least = sum(apart(rng.permutation(organism)) >= found for _ in range(_DRAWS))
    return (at_least + 1) / (_DRAWS + 1)


def _quantity(values: Sequence[int], truths: Sequence[Truth]) -> str:
    """Says whether one role has more of something, or is further from its middle (Mann and Whitney 1947, of each)."""
    from scipy.stats import mannwhitneyu

    middle = statistics.median(values)
    away = [abs(value - middle) for value in values]
    for what, numbers in (("in the middle", values), ("off the suite's middle", away)):
        parts: dict[str, list[float]] = {"organism": [], "clean": []}
        for number, truth in zip(numbers, truths, strict=True):
            parts[truth.role].append(number)
        p = float(mannwhitneyu(parts["organism"], parts["clean"]).pvalue)
        if p < _SIGNIFICANT / 2:
            told = [f"{role} {statistics.median(part):,.0f}" for role, part in parts.items()]
            return f"{what}: {', '.join(told)} (p = {p:.4f})"
    return ""


def _named(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value or "none"
