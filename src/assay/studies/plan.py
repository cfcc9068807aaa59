"""Makes cells of names, each with its run key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, product

from assay._util.hashing import digest_of
from assay.audits.auxiliary import auxiliary_spec
from assay.audits.cell import Cell, Job, cell_key, plan_id
from assay.audits.described import AuditorInfo
from assay.audits.kits import KitPlan, parse_kit
from assay.audits.model_choice import ModelChoice
from assay.audits.plugin_source import PluginSource
from assay.audits.prepared import target_digest
from assay.core.answer import Game
from assay.core.auditor import auditor_title
from assay.core.auditor_name import named_auditor
from assay.core.model_meter import require_price
from assay.core.testbed import INSPECT, TargetSpec
from assay.engine.targets import Targets
from assay.errors import InvalidInput
from assay.studies.descriptions import descriptions
from assay.studies.design import Design
from assay.studies.donors import donor_of
from assay.studies.effects.summary import PRIOR_ONLY
from assay.studies.grades import Grading
from assay.studies.local_models import with_weights
from assay.studies.offers import Offers, find_offers
from assay.testbeds.specs import aliases, load_spec
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import all_truths, find_alias
from assay.truth import REMOVED


@dataclass(frozen=True, slots=True)
class Plan:
    """Holds a design whose names are all resolved.

    Attributes:
        design: what was asked.
        stages: kit → its cells, in the design's order.
        targets: alias → what audits may know of each testbed.
        donors: alias → the same, of those that placebos are wired to.
        auditor: that plays.
        plugins: code from outside that the sweep trusts.
        needed: kit → the plug-in files that its tools and the auditor are from.
        grading: what can be graded.
        primary: kit that was named as primary, by its canonical name; "" where none was.
        model: that the auditor thinks with.
        auxiliary: that helps tools.
    """

    design: Design
    stages: Mapping[str, tuple[Cell, ...]]
    targets: Mapping[str, TargetSpec]
    donors: Mapping[str, TargetSpec]
    auditor: AuditorInfo
    plugins: tuple[PluginSource, ...]
    needed: Mapping[str, tuple[PluginSource, ...]]
    grading: Grading
    primary: str = ""
    model: ModelChoice | None = None
    auxiliary: TargetSpec | None = None

    @property
    def title(self) -> str:
        """Who earns the numbers: auditor and language model."""
        who = self.auditor
        return auditor_title(who.name, who.version, who.llm, self.model.name if self.model else "")

    @property
    def asked(self) -> tuple[str, ...]:
        """Models behind APIs that the audits ask: those of targets, and the auditor's."""
        words = [self.design.engine or spec.base for spec in (*self.targets.values(), *self.donors.values())]
        words += [self.auxiliary.base] if self.auxiliary else []
        names = [text.removeprefix(INSPECT) for text in words if text.startswith(INSPECT)]
        names += ["vllm/" for text in words if text.startswith("vllm:")]
        return tuple(dict.fromkeys([*names, *([self.model.name] if self.model else [])]))

    @property
    def cells(self) -> list[Cell]:
        """All cells, in the design's order."""
        return list(chain.from_iterable(self.stages.values()))

    @property
    def id(self) -> str:
        """Short name of the set of cells."""
        return plan_id(self.cells)

    @property
    def run_keys(self) -> list[str]:
        """Of all cells, in the design's order."""
        return [cell.run_key for cell in self.cells]

    @property
    def trusted(self) -> tuple[str, ...]:
        """What each number of the sweep says of the plug-ins."""
        return tuple(plugin.label for plugin in self.plugins)

    def job(self, cells: Sequence[Cell]) -> Job:
        """Gathers all that a process needs to audit some of the cells."""
        # No more targets than these cells need: what a process is not told it cannot mix up or give away.
        named = {cell.alias for cell in cells} | {cell.donor for cell in cells if cell.donor}
        known = {**self.donors, **self.targets}
        return Job(
            cells=list(cells),
            targets={alias: known[alias] for alias in sorted(named)},
            auditor=self.auditor.name,
            budget=self.design.budget,
            plugins=list(dict.fromkeys(chain.from_iterable(self.needed[cell.kit] for cell in cells))),
            plan=self.id,
            engine=self.design.engine,
            trusted=self.trusted,
            model=self.model,
            auxiliary=self.auxiliary,
        )


def make_plan(design: Design, played_by: AuditorInfo | None = None) -> Plan:
    """Resolves names, and gives every cell its run key.

    Args:
        design: what was asked.
        played_by: an auditor that nobody here offers, such as an agent that is served; the design's if None.

    Raises:
        UnknownId: a kit, tool, testbed or auditor that is not there.
        InvalidInput: nothing to run, nothing to wire a placebo to, or a base that the engine cannot find.
        PluginError: a plug-in or an engine that cannot be loaded.
    """
    file, name = named_auditor(design.auditor)
    offers = find_offers([*design.plugins, *([file] if file else [])])
    kits = _kits(design, offers)
    targets = {alias: load_spec(alias) for alias in _testbeds(design.testbeds)}
    grading = Grading.now()
    donors = _donors(kits.values(), targets, grading)
    others = {spec.alias: spec for spec in donors.values()}
    auditor = played_by or _player(offers, name, design.game)
    model = _model(design, auditor)
    sources = {kit.name: _sources(kit, auditor, offers) for kit in kits.values()}
    plugins = tuple(dict.fromkeys([*offers.files, *chain.from_iterable(sources.values())]))
    engines = _engines(design, {**others, **targets})
    auxiliary = auxiliary_spec(design.auxiliary)
    helped_by = _identity(auxiliary) if auxiliary else ""
    told = {alias: descriptions(alias, grading.cases, design.game) for alias in targets}

    def cell(kit: KitPlan, spec: TargetSpec, seed: int, about: str) -> Cell:
        donor = donors[spec.alias] if kit.placebo else None
        key = cell_key(
            spec,
            donor,
            kit,
            offers.tools,
            auditor=auditor,
            plugins=plugins,
            budget=design.budget,
            seed=seed,
            engines=engines,
            game=design.game,
            about=about,
            model=model,
            auxiliary=helped_by,
        )
        wired = donor.alias if donor else ""
        return Cell(run_key=key, alias=spec.alias, kit=kit.name, seed=seed, donor=wired, game=design.game, about=about)

    stages: dict[str, tuple[Cell, ...]] = {}
    for kit in kits.values():
        made: list[Cell] = []
        for spec, seed in product(targets.values(), design.seeds):
            made += [cell(kit, spec, seed, about) for about in told[spec.alias]]
        stages[kit.name] = tuple(made)
    needed: dict[str, tuple[PluginSource, ...]] = {}
    for kit_name, found in sources.items():
        needed[kit_name] = tuple(source for source in found if source.path)
    primary = parse_kit(design.primary, offers.tools).name if design.primary else ""
    return Plan(design, stages, targets, others, auditor, plugins, needed, grading, primary, model, auxiliary)


def _kits(design: Design, offers: Offers) -> dict[str, KitPlan]:
    """Reads the kits of a design; one written twice, or in another order of its tools, is one kit.

    Raises:
        InvalidInput: there is nothing to run.
    """
    kits: dict[str, KitPlan] = {}
    # An eval made of the description alone is what any other has to beat.
    for text in (*design.kits, *((PRIOR_ONLY,) if design.kits and design.game == "evaluate" else ())):
        kit = parse_kit(text, offers.tools)
        kits[kit.name] = kit
    if not kits or not design.seeds:
        raise InvalidInput("a sweep needs at least one kit and one seed.")
    return kits


def _donors(kits: Iterable[KitPlan], targets: Mapping[str, TargetSpec], grading: Grading) -> dict[str, TargetSpec]:
    """Finds the testbed of each target's placebos, by the target's alias; none where no kit has one."""
    if not any(kit.placebo for kit in kits):
        return {}
    return {alias: donor_of(spec, grading.cases) for alias, spec in targets.items()}


def _engines(design: Design, specs: Mapping[str, TargetSpec]) -> dict[str, str]:
    """Says what each target's replies depend on besides its spec."""
    # No weights are loaded for it: an engine tells that before it is started.
    with closing(Targets(engine=design.engine)) as opener:
        return {alias: opener.identity(spec) for alias, spec in specs.items()}


def _identity(auxiliary: TargetSpec) -> str:
    """Names what an auxiliary model's answers depend on. It is not on the engine that was chosen for the targets."""
    with closing(Targets()) as opener:
        return digest_of([target_digest(auxiliary), opener.identity(auxiliary)])


def _model(design: Design, auditor: AuditorInfo) -> ModelChoice | None:
    """Finds the language model that audits are to be given.

    Raises:
        InvalidInput: the auditor takes one and none is named, or the reverse; or money is limited and has no price.
    """
    model = design.model
    if auditor.takes_model and model is None:
        raise InvalidInput(
            f"auditor {auditor.name} thinks with a language model: name it with --model PROVIDER/NAME "
            f"(openai/gpt-…, anthropic/claude-…, assay/base:smollm2-135m-instruct)."
        )
    if model is not None and not auditor.takes_model:
        raise InvalidInput(f"auditor {auditor.name} takes no language model: leave --model {model.name} out.")
    require_price(design.budget.money, model.price if model else None)
    return with_weights(model) if model else None


def _player(offers: Offers, name: str, game: Game) -> AuditorInfo:
    """Finds the auditor of a design.

    Raises:
        UnknownId: nobody offers it.
        InvalidInput: it does not play the game, or lacks a package.
    """
    auditor = offers.auditor(name)
    if auditor.missing:
        raise InvalidInput(f"auditor {auditor.name} {auditor.missing}.")
    if game not in auditor.games:
        raise InvalidInput(
            f"auditor {auditor.name} does not play {game!r}; it plays {', '.join(auditor.games)}. "
            f"`assay auditors` lists who plays what."
        )
    return auditor


def _sources(kit: KitPlan, auditor: AuditorInfo, offers: Offers) -> tuple[PluginSource, ...]:
    """Lists the plug-ins that an audit with a kit takes part of."""
    found = [auditor.plugin, *(offers.tools[name].plugin for name, _ in kit.tools)]
    return tuple(dict.fromkeys(plugin for plugin in found if plugin))


def _testbeds(names: Sequence[str]) -> list[str]:
    """Resolves the testbeds a person named, or those of the reported set, to aliases."""
    if names:
        return list(dict.fromkeys(map(find_alias, names)))
    chosen = [truth.alias for truth in all_truths(embedded_suite()) if truth.split == "reported"]
    if not chosen:
        raise InvalidInput("the reported set is empty: build its testbeds, or name others.")
    return chosen


def require_controls(plan: Plan) -> None:
    """Refuses a sweep that could not be graded, before it spends anything.

    Raises:
        InvalidInput: the control of a testbed is not built.
    """
    there = {"base", REMOVED, *aliases()}
    truths = [plan.grading.truth(alias) for alias in plan.targets if alias in plan.grading.cases]
    if missing := [truth.id for truth in truths if truth.control.alias not in there]:
        raise InvalidInput(f"without a control nothing can be graded, and it is not built for: {', '.join(missing)}.")
