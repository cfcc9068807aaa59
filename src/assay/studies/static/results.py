"""Models what `assay tools score` finds: for each tool whether the evidence is in its output, beside its controls."""

from __future__ import annotations

from assay._util.yaml_models import Data
from assay.studies.effects.numbers import Bounds, Number


class Bounded(Data):
    """Holds a number with its 95 % interval over families, and how many of them there are."""

    value: Number
    interval: Bounds
    families: int


class StaticCell(Data):
    """Tells what one tool's output held on one testbed.

    Attributes:
        tool, testbed: which; the testbed's readable id.
        role, family, method, split: of the testbed; the family is the cluster of inference.
        auroc: share of other families' behaviours that the reader ranks below the truth's; chance is .5. None of a
            clean target.
        first, chance: the truth's behaviour came first (1 or 0), and how often that happens by chance.
        twin: `auroc` of the same behaviour by what the same tool shows of the testbed's control; None without any.
        twin_first: as `first`, by the control's output.
        own_control: `auroc` by the tool's own control samples alone; None where it has none.
        named: the reader named a behaviour at all.
        calls, tokens, prepared, seconds: of the output: forward tokens of its calls, and of preparing.
        skipped: why the tool cannot be used on the testbed, "" if it can.
        failed: why it broke off, "" if it did not.
    """

    tool: str
    testbed: str
    role: str
    family: str
    method: str
    split: str
    auroc: Number | None = None
    first: Number | None = None
    chance: Number | None = None
    twin: Number | None = None
    twin_first: Number | None = None
    own_control: Number | None = None
    named: bool = False
    calls: int = 0
    tokens: int = 0
    prepared: int = 0
    seconds: Number = 0.0
    skipped: str = ""
    failed: str = ""


class ByMethod(Data):
    """Tells a tool's static value on the organisms of one kind of recipe.

    Attributes:
        method: the kind.
        organisms: of that kind that the tool was used on.
        auroc, twin: means over them; `twin` None where no control's output was read.
        first: share of them whose behaviour came first.
    """

    method: str
    organisms: int
    auroc: Number
    twin: Number | None
    first: Number


class AgentEffect(Data):
    """Repeats what a sweep found that the tool adds to an agent's success; `against` a base kit, or its placebo."""

    against: str
    delta: Number
    interval: Bounds
    families: int
    verdict: str


class ToolValue(Data):
    """Tells the static value of one tool.

    Attributes:
        tool, needs, weight, source, version, digest: as the tool says of itself.
        organisms, clean: testbeds whose output was read.
        skipped: testbeds on which it cannot be used; `reasons` says why.
        failed: testbeds on which it broke off; `faults` says why.
        auroc: of the truth's rank, over families; None without organisms.
        twin: the same by the output on the controls, and `difference` the mean of the paired differences.
        own_control: the same by the tool's own control samples.
        first: share of organisms whose behaviour came first, `chance` how often it would by chance; `twin_first` by the
            output on the controls.
        named, named_clean: share of organisms, and of clean targets, on whose output the reader names a behaviour.
        by_method: for each kind of recipe.
        tokens, prepared, seconds: mean a testbed: forward tokens of the calls, those of preparing, wall time of the
            calls.
        agent: what a sweep found, where one was given.
    """

    tool: str
    needs: tuple[str, ...]
    weight: str
    source: str
    version: int
    digest: str
    organisms: int
    clean: int
    skipped: int
    reasons: tuple[str, ...] = ()
    failed: int
    faults: tuple[str, ...] = ()
    auroc: Bounded | None = None
    twin: Bounded | None = None
    difference: Bounded | None = None
    own_control: Bounded | None = None
    first: Bounded | None = None
    twin_first: Bounded | None = None
    chance: Number | None = None
    named: Bounded | None = None
    named_clean: Bounded | None = None
    by_method: tuple[ByMethod, ...] = ()
    tokens: Number | None = None
    prepared: Number | None = None
    seconds: Number | None = None
    agent: tuple[AgentEffect, ...] = ()


class StaticValue(Data):
    """Holds the static value of some tools over some testbeds.

    Attributes:
        reader, reader_digest: that read the outputs.
        pool: organisms whose behaviours were ranked.
        calls, tokens: the budget of each tool on each testbed.
        seed: of the calls.
        date, machine: of the outputs.
        plugins: that were trusted.
        study: folder of the sweep whose effects stand beside, "" for none.
        tools: the most telling first.
        cells: everything they are made of.
    """

    reader: str
    reader_digest: str
    pool: int
    calls: int
    tokens: int
    seed: int
    date: str
    machine: str
    plugins: tuple[str, ...] = ()
    study: str = ""
    tools: tuple[ToolValue, ...]
    cells: tuple[StaticCell, ...]
