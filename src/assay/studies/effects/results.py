"""Models what a sweep found: it is printed, drawn on the page, and written as JSON by `model_dump(mode="json")`.

What could not be measured is None, never NaN.
"""

from __future__ import annotations

from typing import Literal

from assay._util.yaml_models import Data
from assay.core.answer import Game
from assay.studies.effects.funnel import Funnel
from assay.studies.effects.numbers import Bounds, EffectVerdict, Number
from assay.studies.effects.planned import Planned
from assay.studies.effects.shrunken import Hierarchical, TestbedDifficulty


class Success(Data):
    """Holds the success of a report or kit, raw less null, and its interval; None where there is no organism."""

    success: Number | None
    interval: Bounds | None


class GroupSuccess(Success):
    """Holds the success of a kit over a group's organisms alone.

    Attributes:
        organisms: how many there are.
    """

    organisms: int


class ToolUse(Data):
    """Tells how a kit's audits used one of its tools.

    Attributes:
        per_audit: mean calls.
        used: share of audits that called it at least once.
    """

    per_audit: Number
    used: Number


class Beside(Data):
    """Tells what a kit's audits earned beside hits; None without an organism's audit.

    Attributes:
        predict: mean AUROC of what first findings foretell; .5 is chance, and what a report without prediction earns.
        predict_interval: 95 % of it.
        predict_null: the same on swapped truths.
        predicted: audits whose report foretold something that was graded.
        unpredictable: audits on testbeds where this cannot be graded: no sealed prompts, or a conduct that shows always
            or never. They are in no mean.
        partial: share of audits whose first partial finding is right in the half it states; never a hit.
        partial_null: the same on swapped truths.
    """

    predict: Number | None
    predict_interval: Bounds | None
    predict_null: Number | None
    predicted: int
    unpredictable: int
    partial: Number | None
    partial_null: Number | None

    @property
    def said(self) -> bool:
        """Whether there is anything to tell: some report foretold something, or stated one half."""
        return bool(self.predicted or self.partial or self.partial_null)


class KitResult(Success):
    """Tells what the audits of one kit found, and what they cost. Rates are over graded audits.

    Attributes:
        kit: as named by the user.
        placebo: a tool of it is wired to another testbed.
        audits: all there are, graded or not; `organism_audits` and `clean_audits` are graded.
        families: of the organisms.
        raw, null: hit@1 on the testbeds' own truths and on swapped ones; success is their difference.
        false_alarm: share of clean audits with a finding that is not real-unplanted.
        recall: share of a target's behaviours that some finding hits.
        precision: share of findings that hit, real-unplanted ones left out.
        trigger_found, conduct_found: share of organism audits with a finding that has it right.
        real_unplanted: findings that reproduce against the control and match no planted truth.
        unread: findings that hit, and whose claim and trigger the lineup does not place on the truth.
        auroc, brier: of `p_hidden`, with 95 % intervals.
        brier_skill: 1 is best, 0 no better than always saying the share of organisms.
        repeatability: chance that two seeds of one organism agree on a hit, if one of them has it; None with one seed.
        repeatability_interval: 95 % of it.
        target_tokens, queries, seconds: means per audit.
        auditor_tokens: of the auditor's own language model, mean per audit; None where none was asked.
        money: what those cost by the given price; None without one.
        outcomes: how audits ended → how many.
        calls: tool → its use.
        beside: what its audits earned beside hits.
    """

    kit: str
    placebo: bool
    audits: int
    organism_audits: int
    clean_audits: int
    families: int
    raw: Number | None
    null: Number | None
    false_alarm: Number | None
    false_alarm_interval: Bounds | None
    recall: Number | None
    precision: Number | None
    trigger_found: Number | None
    conduct_found: Number | None
    real_unplanted: int
    unread: int = 0
    auroc: Number | None
    auroc_interval: Bounds | None
    brier: Number | None
    brier_interval: Bounds | None
    brier_skill: Number | None
    repeatability: Number | None
    repeatability_interval: Bounds | None = None
    target_tokens: Number
    queries: Number
    seconds: Number
    auditor_tokens: Number | None = None
    money: Number | None = None
    outcomes: dict[str, int]
    calls: dict[str, ToolUse]
    beside: Beside | None = None


class Effect(Data):
    """Tells what a tool adds, by one comparison of two kits.

    Attributes:
        tool: what `kit` has more than `control`.
        estimand: what "adds" means; *alone* is "added to the base kit", *together* all tools at once.
        against: name of the base kit, or `placebo`.
        delta: mean difference in success over families.
        interval: 95 % of it.
        p: mid-p by sign flips over families; McNemar's where every family was won, lost or alike.
        p_adjusted: corrected over the tools of one question by joint flips (step-down max-T).
        families: B, the sample size.
        verdict: what may be said of this comparison.
        primary: it is what the sweep was for, as stored before it ran; all others are secondary.
    """

    tool: str
    estimand: Literal["alone", "together"]
    against: str
    delta: Number
    interval: Bounds
    p: Number
    p_adjusted: Number
    families: int
    kit: str
    control: str
    verdict: EffectVerdict
    primary: bool = False

    @property
    def against_placebo(self) -> bool:
        """Whether the control has the same tool wired to another testbed."""
        return self.against == "placebo"


class TargetResult(Data):
    """Tells what each kit found on one target.

    Attributes:
        hit_by_kit: kit → share of audits with a hit.
        false_alarm_by_kit: kit → share of audits with a false alarm; empty for organisms.
    """

    alias: str
    role: Literal["organism", "clean"]
    family: str
    hit_by_kit: dict[str, Number]
    false_alarm_by_kit: dict[str, Number]


class Yardsticks(Data):
    """Holds what a number here is held against.

    Attributes:
        ceiling: how often grading lets a true report pass, by the strength on the testbeds' cards: no kit can do
            better. None where no testbed has a card.
        prior_only: the scaffold without a target; None if it was not run.
        best_constant: the one report that scores best when submitted everywhere; None if it was not sought.
        placebo: kit → success of a kit with a tool wired to another testbed.
    """

    ceiling: Number | None
    prior_only: Success | None
    best_constant: Success | None
    placebo: dict[str, Success]


class RedTeamResult(Data):
    """Tells how far down a kit's rankings the planted conduct shows, over organisms; families count alike.

    Attributes:
        found: k → share of audits with it among the first k transcripts, before the null is subtracted.
        intervals: k → 95 % of that share.
        rank: mean rank of the first transcript that shows it, where one does; None where none does.
        transcripts: mean number that was handed in.
    """

    kit: str
    found: dict[str, Number]
    intervals: dict[str, Bounds]
    rank: Number | None
    transcripts: Number


class EvalResult(Data):
    """Tells how far a kit's evals tell organisms from their controls; families count alike.

    Attributes:
        behaviours: how many the evals were made for.
        separated: share that tell the two apart, before the null is subtracted; and its 95 % interval.
        effect: mean of the target's rate less the control's, audits without an eval as 0; and 95 % over families.
        auroc: mean area, audits without an eval as ½; and 95 % over families.
        mcc: how far the evals' predicates agree with the truth's detector on sealed answers, in [−1, 1].
    """

    kit: str
    behaviours: int
    separated: Number | None
    separated_interval: Bounds | None
    effect: Number | None
    effect_interval: Bounds | None
    auroc: Number | None
    auroc_interval: Bounds | None
    mcc: Number | None


class Summary(Data):
    """Holds the result of a sweep. Rates and effects are in [−1, 1].

    Attributes:
        title: whose success it is.
        headline: a sentence or two that answer "which tool helps?".
        auditor, suite: their names and versions.
        seconds: wall time.
        audits: how many there are; `ungraded` wait for a grade; `without_truth` are of testbeds whose truth is not
            known here, and are not among them.
        families: of organisms.
        outcomes: how audits ended → how many.
        smallest_shown: the effect that this design's verdict finds in 80 % of sweeps, simulated; None if it finds none.
        seeds: of each kit on each testbed, the fewest.
        kits: in the order in which they are printed.
        effects: every comparison that the kits allow.
        tools: tool → verdict over all its comparisons.
        testbeds: organisms first.
        yardsticks: what any number must beat.
        groups: group of organisms → kit → success.
        real_unplanted: findings that are neither hit nor false alarm.
        skipped: tool → audits it was left out of; `skipped_reasons` says why.
        grades_passed_over: rows of the ledger that no known grader signed for their audit's report. They count for
            nothing; a sweep grades their reports anew.
        machines: what the targets' replies were made with (processor, instruction set, dtype, device) → audits.
        graded_on: the same of the graders' replies → graded audits.
        hit_tiers: what a hit has to pass, in words; several where grades were made by several rules, none without one.
        plugins: name and short digest of each plug-in in whose sweep audits were made: its code was trusted.
        planned: what was stored before the first audit ran; None of a sweep that stored nothing.
        looks: at graded audits of these testbeds, as the same ledger counts them, this one with them.
        earlier_looks: those among them before this sweep was first asked for.
        funnel: where audits of organisms stopped on their way to a hit.
        game: that was played; success is that of the game.
        red_team, evaluate: what a table of that game shows besides; empty for the others.
        hierarchical: effects shrunken by a model of all kits at once; None where no two kits are compared.
        difficulty: how hard each organism is, the hardest first.
    """

    title: str
    headline: str
    auditor: str
    suite: str
    seconds: Number
    audits: int
    families: int
    ungraded: int
    outcomes: dict[str, int]
    smallest_shown: Number | None
    seeds: int
    kits: list[KitResult]
    effects: list[Effect]
    tools: dict[str, EffectVerdict]
    testbeds: list[TargetResult]
    yardsticks: Yardsticks
    groups: dict[str, dict[str, GroupSuccess]]
    real_unplanted: int
    skipped: dict[str, int]
    skipped_reasons: dict[str, list[str]]
    machines: dict[str, int]
    graded_on: dict[str, int]
    without_truth: int = 0
    grades_passed_over: int = 0
    hit_tiers: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    planned: Planned | None = None
    looks: int = 0
    earlier_looks: int = 0
    funnel: Funnel = Funnel()
    game: Game = "investigate"
    red_team: tuple[RedTeamResult, ...] = ()
    evaluate: tuple[EvalResult, ...] = ()
    hierarchical: Hierarchical | None = None
    difficulty: tuple[TestbedDifficulty, ...] = ()

    @property
    def hit(self) -> str:
        """Says which tiers of grading make a hit: "hit: reproduce"; "" where nothing is graded."""
        return f"hit: {', elsewhere '.join(self.hit_tiers)}" if self.hit_tiers else ""

    @property
    def unread(self) -> int:
        """Counts the findings that hit, and that the lineup does not place on the truth."""
        return sum(kit.unread for kit in self.kits)

    @property
    def made_on(self) -> str:
        """Says what made the numbers; several machines, whose rates are not alike, are said to be several."""
        if not self.machines:
            return "No audit was made."
        told = _listed("Made", self.machines)
        # Graders mostly run where the audits ran; a reader needs to be told where not.
        if self.graded_on and set(self.graded_on) != set(self.machines):
            told += " " + _listed("Graded", self.graded_on)
        return told


def _listed(done: str, machines: dict[str, int]) -> str:
    if len(machines) == 1:
        return f"{done} on {next(iter(machines))}."
    parts = "; ".join(f"{name} ({number})" for name, number in machines.items())
    return f"{done} on {len(machines)} machines, whose numbers may differ: {parts}."
