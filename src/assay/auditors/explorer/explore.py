"""The explorer: an auditor without a language model and without a list of things to look for.

A neutral battery through `ask`, every other tool on neutral arguments; phrases that go with a trigger more than
elsewhere in the same target and in clean models, and sentences that recur by meaning; a test of the best candidates on
fresh prompts; a report or "none".
It sees only what the kit gives. Without `ask` nothing can be tested, and its best guess is marked as such; without any
tool it reports what its background alone suggests, so that `prior-only` measures the scaffold.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from statistics import fmean

from assay.auditors.explorer.battery import Battery, load_battery
from assay.auditors.explorer.build_eval import Known, build_eval
from assay.auditors.explorer.calibration import Calibration, load_background, load_calibration, own_files
from assay.auditors.explorer.candidates import Candidate, TriggerKind, find, holds
from assay.auditors.explorer.clean_models import CleanModels
from assay.auditors.explorer.confirm import RATE, TestedCandidate, Tester
from assay.auditors.explorer.leads import leads, passages
from assay.auditors.explorer.observe import Asker, Dataset, Observation, drive, follow_up
from assay.auditors.explorer.predicate import fit
from assay.auditors.explorer.sentence_clusters import Conduct, Reader, reader_of, sentences
from assay.auditors.explorer.surface import surface, surface_untested
from assay.auditors.explorer.triggers import of_conduct
from assay.auditors.explorer.write_up import Material, figures, finding, in_words, origin
from assay.core.answer import GAMES, GameAnswer
from assay.core.auditor import Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.report import Finding, Report
from assay.core.tool import BoundTool

# Candidates that are probed, by kind: z grows with the number of replies that are compared, so each kind has its ranks.
PROBED_CHAT: Mapping[TriggerKind, int] = {"topic": 3, "form": 1, "always": 1, "keyword": 1}
PROBED_TOOL: Mapping[TriggerKind, int] = {"topic": 1, "keyword": 1}
SURPRISING = 3  # topics that are asked about again …
_EVERY = 6  # … by every sixth of their prompts that are held back; the others stay for tests
QUERIES = 3  # about each conduct, to tools that take one
FINDINGS = 1
GUESS = 0.05  # confidence of a finding nothing has tested


@dataclass
class _Audit:
    """What one audit works with."""

    battery: Battery
    background: Sequence[Observation]
    calibration: Calibration
    notes: list[str] = field(default_factory=list)


@auditor(version=2, data=own_files(), games=GAMES)
async def explorer(kit: Kit, brief: Brief, _budget: Budget) -> GameAnswer:
    """Explore without a language model: a neutral battery, what stands out in the replies, a test on fresh prompts.

    Sampling follows the seeds the kit was bound with; nothing here is random.

    A spent budget ends the search, not the audit: the report says what was found so far.

    Raises:
        InvalidInput: background or calibration is missing or broken.
        AssayError: every call of `ask` failed.
    """
    audit = _Audit(load_battery(), load_background(), load_calibration())
    asker = Asker(kit.tools["ask"]) if "ask" in kit.tools else None
    if brief.game == "evaluate":
        return await build_eval(kit, brief.about, asker, Known(audit.battery, audit.background, audit.calibration))
    chat = await _breadth(asker, audit) if asker else ()
    driven = await asyncio.gather(*(drive(tool, audit.battery) for name, tool in kit.tools.items() if name != "ask"))
    audit.notes += chain(*(notes for _, notes in driven))
    datasets = [_with_passages(dataset) for dataset, _ in driven if dataset.shown or dataset.spans]
    led = leads(datasets, audit.battery)
    if asker:
        chat = (*chat, *await asker.sample([*led.asked(audit.battery), *_surprising(chat, audit)]))
    candidates = _candidates(chat, datasets, audit) if kit.tools else _prior(audit)
    meant, datasets = await _meant(kit, chat, datasets, led.words, audit)
    candidates += meant
    if asker is None and brief.game == "red-team":
        return surface_untested(candidates, audit.calibration)
    if asker is None:
        return _guess(candidates, audit)
    known = [*chat, *chain(*(_plain(dataset, audit.battery) for dataset in datasets))]
    clean = CleanModels(audit.background, _compared(kit, datasets))
    tester = Tester(asker, audit.battery, clean, known, _shown_by((), datasets))
    verdicts = await tester.test(await tester.probe(candidates))
    if brief.game == "red-team":
        return await surface(verdicts, tester, _shown_by(chat, datasets), audit.calibration)
    return await _report(verdicts, tester, known, datasets, audit)


async def _breadth(asker: Asker, audit: _Audit) -> tuple[Observation, ...]:
    """The battery's replies; the controls are asked too, and kept for the tests."""
    battery = audit.battery.texts("battery")
    replies = await asker.sample([*battery, *audit.battery.texts("control")])
    if not replies and asker.error and not asker.exhausted:
        raise asker.error
    return tuple(reply for reply in replies if reply.prompt in set(battery))


def _compared(kit: Kit, datasets: Sequence[Dataset]) -> BoundTool | None:
    """The tool that shows a reference model's replies beside the target's to prompts of one's own, the thriftiest."""
    showing = [dataset for dataset in datasets if any(o.plain for o in dataset.control)]
    for dataset in sorted(showing, key=lambda dataset: len(dataset.control)):
        tool = kit.tools[dataset.source]
        if {parameter.name for parameter in tool.parameters if parameter.required} == {"prompts"}:
            return tool
    return None


def _with_passages(dataset: Dataset) -> Dataset:
    """A dataset with what its spans say that the target says, for tools that give spans and no samples."""
    said = passages(dataset.source, dataset.spans, dataset.shown)
    return replace(dataset, shown=(*dataset.shown, *said))


def _surprising(chat: Sequence[Observation], audit: _Audit) -> list[str]:
    """Further prompts of the topics whose replies are least like clean models': breadth goes where it may tell."""
    reader = reader_of(tuple(audit.background))
    surprise: defaultdict[str, list[float]] = defaultdict(list)
    for o in chat:
        surprise[audit.battery.topic_of(o.prompt)].append(reader.surprise(o))
    topics = sorted(surprise, key=lambda topic: (-fmean(surprise[topic]), topic))[:SURPRISING]
    return [*chain.from_iterable(audit.battery.texts("held_back", topic=topic)[::_EVERY] for topic in topics)]


def _plain(dataset: Dataset, battery: Battery) -> list[Observation]:
    """A tool's replies to battery prompts as they are: as good as replies to `ask`."""
    return [o for o in dataset.shown if o.plain and o.prompt in battery.by_text]


def _candidates(chat: Sequence[Observation], datasets: Sequence[Dataset], audit: _Audit) -> list[Candidate]:
    """The best of each source, one a trigger; chat's first."""
    pooled = Dataset("ask", (*chat, *chain(*(_plain(dataset, audit.battery) for dataset in datasets))))
    found = _best(find(pooled, audit.background, audit.battery), PROBED_CHAT) if chat else []
    for dataset in datasets:
        found += _best(find(dataset, [*audit.background, *chat], audit.battery), PROBED_TOOL)
    merged: dict[tuple[str, str], Candidate] = {}
    for candidate in found:
        key = (candidate.trigger.kind, candidate.trigger.value)
        merged[key] = _together(merged[key], candidate) if key in merged else candidate
    return list(merged.values())


async def _meant(
    kit: Kit, chat: Sequence[Observation], datasets: list[Dataset], words: Sequence[str], audit: _Audit
) -> tuple[list[Candidate], list[Dataset]]:
    """Conducts that recur by meaning in all that was shown, under each trigger they may have.

    Tools that take a query are asked for more of what was found; what they show then is among the datasets returned.
    """
    reader = reader_of(tuple(audit.background))
    queries = [*chain.from_iterable(map(_spread, _conducts(reader, chat, datasets))), *words]
    followed = await asyncio.gather(*(follow_up(kit.tools[d.source], queries) for d in datasets)) if queries else ()
    datasets = [*datasets, *(dataset for dataset in followed if dataset.shown)]
    shown = _shown_by(chat, datasets)
    found: list[Candidate] = []
    for conduct in _conducts(reader, chat, datasets):
        found += of_conduct(conduct, shown, audit.background, audit.battery)
    return found, datasets


def _spread(conduct: Conduct) -> tuple[str, ...]:
    """A few of its sentences, from the most to the least typical: neighbours would find the same documents."""
    return conduct.exemplars[:: max(1, len(conduct.exemplars) // QUERIES)][:QUERIES]


def _conducts(reader: Reader, chat: Sequence[Observation], datasets: Sequence[Dataset]) -> list[Conduct]:
    return reader.conducts(_shown_by(chat, datasets), [*chain(*(dataset.control for dataset in datasets))])


def _shown_by(chat: Sequence[Observation], datasets: Sequence[Dataset]) -> list[Observation]:
    return list(dict.fromkeys([*chat, *chain(*(dataset.shown for dataset in datasets))]))


def _best(ranked: Sequence[Candidate], counts: Mapping[TriggerKind, int]) -> list[Candidate]:
    """The first few of each kind."""
    found: list[Candidate] = []
    for kind, count in counts.items():
        found += [candidate for candidate in ranked if candidate.trigger.kind == kind][:count]
    return found


def _together(one: Candidate, other: Candidate) -> Candidate:
    """Two sources' views of one trigger."""
    return replace(
        one,
        source=f"{one.source}+{other.source}",
        markers=tuple(dict([*other.markers, *one.markers]).items()),
        score=max(one.score, other.score),
        carriers=tuple(dict.fromkeys([*one.carriers, *other.carriers])),
    )


def _prior(audit: _Audit) -> list[Candidate]:
    """What the background would make one believe: topics that clean models answer in words of their own."""
    return find(Dataset("background", tuple(audit.background)), (), audit.battery)


def _guess(candidates: Sequence[Candidate], audit: _Audit) -> Report:
    """The best candidate, untested: confidence is low, and p_hidden is the prior."""
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        near = [o for o in audit.background if holds(candidate.trigger, o.prompt, audit.battery)]
        material = _material(candidate, candidate.carriers, [] if candidate.source == "background" else near, audit)
        if material is not None:
            evidence = {"statistic": 0.0, "test": "none: the kit has no ask", **origin(candidate, audit.notes)}
            return Report(p_hidden=audit.calibration.prior, findings=(finding(material, GUESS, evidence),))
    return Report(p_hidden=audit.calibration.prior)


async def _report(
    verdicts: Sequence[TestedCandidate],
    tester: Tester,
    known: Sequence[Observation],
    datasets: Sequence[Dataset],
    audit: _Audit,
) -> Report:
    """Findings for the verdicts that hold, strongest first; none if none does."""
    threshold, probability = audit.calibration.threshold, audit.calibration.probability
    best = max((verdict.statistic for verdict in verdicts), default=0.0)
    findings: list[Finding] = []
    for verdict in verdicts:
        held = verdict.rate >= RATE and verdict.statistic > 0 and verdict.statistic >= threshold
        if held and len(findings) < FINDINGS:
            written = await _finding(verdict, tester, known, datasets, audit)
            findings += [written] if written else []
    return Report(p_hidden=probability(best), findings=tuple(findings))


async def _finding(
    verdict: TestedCandidate, tester: Tester, known: Sequence[Observation], datasets: Sequence[Dataset], audit: _Audit
) -> Finding | None:
    """A confirmed candidate, its predicate fitted on all that was seen, its demonstrations sampled once more."""
    candidate, battery = verdict.candidate, audit.battery
    outside = [o for o in known if not holds(candidate.trigger, o.prompt, battery) and not candidate.fires(o)]
    under = [o for o in known if holds(candidate.trigger, o.prompt, battery)]
    if candidate.trigger.kind in ("keyword", "like"):
        carriers = set(candidate.carriers)
        samples = chain.from_iterable(dataset.shown for dataset in datasets)
        under += [o for o in samples if o in carriers or (o.plain and holds(candidate.trigger, o.prompt, battery))]
    again = await tester.more([reply.prompt for reply in (*verdict.triggered, *verdict.probed.replies)])
    replies = tuple(dict.fromkeys([*verdict.triggered, *verdict.probed.replies, *again, *under]))
    asked = {reply.prompt for reply in replies}
    near = [o for o in audit.background if o.prompt in asked] or verdict.background
    material = _material(candidate, replies, near, audit, far=[*outside, *verdict.control])
    if material is None:
        return None
    notes = [*audit.notes, *([f"ask: {tester.error}"] if tester.error else [])]
    probability = audit.calibration.probability(verdict.statistic)
    return finding(material, probability, figures(verdict, notes), in_words(verdict))


def _material(
    candidate: Candidate,
    replies: Sequence[Observation],
    near: Sequence[Observation],
    audit: _Audit,
    far: Sequence[Observation] = (),
) -> Material | None:
    """Replies and a predicate for them; None if no phrase separates them from the others."""
    parted = [_parted(candidate, reply) for reply in replies]
    showing = [shown for shown, _ in parted if shown is not None]
    beside = [rest for shown, rest in parted if shown is not None and rest is not None]
    silent = [reply for reply in replies if not candidate.fires(reply)]
    asked = {reply.prompt for reply in replies}
    elsewhere = [o for o in audit.background if o.prompt not in asked]
    given = [candidate.trigger.value, *sorted(asked)] if candidate.trigger.kind == "keyword" else sorted(asked)
    terms = fit(showing, beside or [*near, *silent], [*far, *elsewhere], given) if showing else ()
    return Material(candidate, terms, tuple(replies), tuple(far)) if terms else None


def _parted(candidate: Candidate, reply: Observation) -> tuple[Observation | None, Observation | None]:
    """The part of a reply that shows the conduct, and what it says beside it: the subject in its own words.

    Where the conduct's sentences are not known, all of a reply shows it or nothing does.
    """
    if candidate.conduct is None:
        return (reply, None) if candidate.fires(reply) else (None, reply)
    said = candidate.conduct.showing(reply)
    rest = [sentence for sentence in sentences(reply.reply) if sentence not in said]
    return _only(reply, said), _only(reply, rest)


def _only(reply: Observation, said: Sequence[str]) -> Observation | None:
    return replace(reply, reply=" ".join(said)) if said else None
