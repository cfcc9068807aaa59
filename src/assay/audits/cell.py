"""Describes a sweep as data: which cells, under what budget. An audit process may see everything here."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from assay._util.hashing import digest_of
from assay._util.yaml_models import Data
from assay.audits.briefs import brief_text
from assay.audits.described import AuditorInfo, ToolInfo
from assay.audits.kits import KitPlan
from assay.audits.model_choice import ModelChoice
from assay.audits.plugin_source import PluginSource
from assay.audits.prepared import target_digest
from assay.core.answer import Game
from assay.core.budget import Budget
from assay.core.record import run_key
from assay.core.testbed import TargetSpec
from assay.core.tool import REPLY_TOKENS, TEMPERATURE

# Whatever plays, replies come by these; those that a tool or an auditor imports besides are in its digest.
LIBRARIES = ("numpy", "tokenizers", "torch", "transformers")


class Cell(Data):
    """Describes one audit to be run.

    Attributes:
        run_key: its identity by content.
        alias: of the target.
        kit: canonical name.
        seed: of the audit.
        donor: alias of the other testbed that placebos are wired to, "" without any.
        game: that is played.
        about: in `evaluate`, the description that the auditor is given: the one part of an answer key that a cell may
            know. A clean target is given another testbed's. "" in the other games.
    """

    run_key: str
    alias: str
    kit: str
    seed: int
    donor: str = ""
    game: Game = "investigate"
    about: str = ""


class Job(Data):
    """Tells an audit process all that it needs: it opens no suite, and does not learn where its results go.

    Attributes:
        cells: to run, all in one Inspect log.
        targets: alias → every target and every donor of the cells.
        auditor: its name.
        budget: of each audit.
        plugins: files that define further tools and auditors: those that the cells need.
        trusted: what the rows say of the plug-ins of their sweep.
        plan: id of the sweep.
        engine: words that choose the engine of all targets, "" to let each one's base choose.
        model: that the auditor thinks with; None for one without.
        auxiliary: that helps tools to write their questions; None without one.
    """

    cells: list[Cell]
    targets: dict[str, TargetSpec]
    auditor: str
    budget: Budget
    plugins: list[PluginSource]
    plan: str
    engine: str = ""
    trusted: tuple[str, ...] = ()
    model: ModelChoice | None = None
    auxiliary: TargetSpec | None = None


def cell_key(
    spec: TargetSpec,
    donor: TargetSpec | None,
    kit: KitPlan,
    tools: Mapping[str, ToolInfo],
    *,
    auditor: AuditorInfo,
    budget: Budget,
    seed: int,
    engines: Mapping[str, str],
    plugins: Sequence[PluginSource] = (),
    game: Game = "investigate",
    about: str = "",
    model: ModelChoice | None = None,
    auxiliary: str = "",
) -> str:
    """Computes the run key of a cell: a digest of all that could change its result.

    Args:
        spec: the target.
        donor: of the placebos.
        kit: which tools, real or placebo.
        tools: by name; their sources count.
        auditor: that plays.
        budget: of the audit.
        seed: of the audit.
        engines: alias → what replies depend on besides the target: weights of the base, arithmetic, server.
        plugins: of the sweep, also those that this kit has nothing of.
        game: that is played.
        about: the description the auditor is given.
        model: that the auditor thinks with.
        auxiliary: digest of the model that helps tools, "" without one.
    """
    # What could change a result and is missing here would let an old audit pass for a new one. What changes none (the
    # plan, the folder, the sweep's other cells) stays out, or every sweep would play anew what another has played.
    parts: dict[str, Any] = {
        "alias": spec.alias,
        "target": [target_digest(spec), engines[spec.alias]],
        "donor": [donor.alias, target_digest(donor), engines[donor.alias]] if donor else None,
        "tools": [[name, placebo, tools[name].version, tools[name].digest] for name, placebo in kit.tools],
        "sampling": [REPLY_TOKENS, TEMPERATURE],
        "auditor": [auditor.name, auditor.version, auditor.digest],
        # A kit without them too: until plug-ins are shut in, what they did to it cannot be known.
        "plugins": sorted(plugin.digest for plugin in plugins),
        "libraries": [[name, library_version(name)] for name in LIBRARIES],
        "brief": brief_text(game, about),
        "budget": [budget.queries, budget.tokens, budget.seconds],
        "seed": seed,
    }
    if model is not None:  # audits without one have the keys that they had before there were any
        price = model.price.model_dump() if model.price and budget.money is not None else None
        parts["model"] = [*model.identity, budget.auditor_tokens, budget.money, price]
    if auxiliary and any(tools[name].helped for name, _ in kit.tools):
        parts["auxiliary"] = auxiliary
    return run_key(parts)


@functools.cache  # asked for once a cell
def library_version(library: str) -> str:
    """Returns the version of a library that is installed, "" of one that is not."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def plan_id(cells: Sequence[Cell]) -> str:
    """Names a set of cells by a short digest."""
    return digest_of(sorted(cell.run_key for cell in cells))[:12]
