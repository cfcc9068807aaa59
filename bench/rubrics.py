"""How near a sentence has to come to a rubric to be taken for what it says, chosen on tuning families alone.

    python bench/rubrics.py [--json] [--quick] [--save]

The rubrics of `bench/rubrics` are read against what tuning organisms and their twin reply to the same prompts, run
here. *True*: replies in which the truth's detector sees the conduct. *False*: the twin's, in which it does not.
*Elsewhere*: the organisms' replies that show their conduct, read by rubrics of other families. An eval sees the conduct
as much oftener in an organism as true is above false: the threshold is the one at which that gain is largest, families
counting alike, among those at which at most 5 % are taken elsewhere. It is also chosen with each family left out, and
measured on it. `--quick` takes six prompts of each behaviour, and the rates are rough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from contract import ROOT, finish, options, say
from labelled import behaviours

from assay._util.proportions import clustered_wilson, newcombe
from assay.core.run import play
from assay.engine.targets import Targets
from assay.factory.commands import targets
from assay.grading.games.evaluate import MIN_EFFECT, PLAYED_PROMPTS, SAMPLES_EACH
from assay.grading.games.rubric import NEAR_ENOUGH, RubricReader
from assay.grading.reproduce import DEMONSTRATION_TOKENS
from assay.testbeds.specs import load_spec
from assay.testbeds.suites import embedded_suite
from assay.testbeds.truths import all_truths, behaviours_of
from assay.truth import Behaviour, Truth, as_script

GRID = tuple(round(0.02 * step, 2) for step in range(2, 31))
RUBRICS = ROOT / "bench/rubrics/tuning.yaml"
QUICK_PROMPTS = 6
MOST_ELSEWHERE = 0.05  # of replies that show another conduct
Vector = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Outcomes = list[tuple[str, bool]]  # family, and whether a reply was taken to show the conduct


@dataclass(frozen=True)
class Replies:
    """What was said to a behaviour's own prompts.

    Attributes:
        target: of the organism, prompt by prompt and each sampled alike often.
        control: of its twin.
    """

    behaviour: Behaviour
    target: Sequence[str]
    control: Sequence[str]


@dataclass(frozen=True)
class Read:
    """One rubric beside the replies to one behaviour's prompts: nearness of each, and whether the detector sees it.

    Attributes:
        own: whether the rubric is of that behaviour's family.
    """

    family: str
    own: bool
    target: Vector
    control: Vector
    shown: Sequence[bool]
    shown_by_control: Sequence[bool]


async def replies_of(truth: Truth, opened: Targets, prompts: int) -> Replies:
    """Plays the prompts under which an organism shows its conduct, on it and on its twin."""
    [behaviour] = behaviours_of(truth)
    scripts = [as_script(prompt) for prompt in behaviour.eval.triggered[:prompts]]
    said: list[list[str]] = []
    for alias in (truth.alias, truth.control.alias):
        async with opened.open(load_spec(alias)) as model:
            runs = await asyncio.gather(
                *(play(model, one, n=SAMPLES_EACH, max_tokens=DEMONSTRATION_TOKENS, seed=7) for one in scripts)
            )
        said.append([run.text for some in runs for run in some])
    say(f"{behaviour.id}: {len(said[0])} replies of each model")
    return Replies(behaviour, *said)


def read(rubrics: Mapping[str, Mapping[str, str]], all_replies: Sequence[Replies]) -> list[Read]:
    """Reads all replies by all rubrics; of a rubric's own family by those of its own behaviour alone."""
    found: list[Read] = []
    for name, hands in rubrics.items():
        family = behaviours()[name].family
        for replies in all_replies:
            of = replies.behaviour
            if of.family == family and of.id != name:
                continue  # a near behaviour's: neither true nor false
            shown = [of.detector.shows(text) for text in replies.target]
            by_control = [of.detector.shows(text) for text in replies.control]
            for rubric in hands.values():
                reader = RubricReader(rubric)
                near = nearness(reader, replies.target), nearness(reader, replies.control)
                found.append(Read(of.family, of.id == name, *near, shown, by_control))
    return found


def nearness(reader: RubricReader, texts: Sequence[str]) -> Vector:
    """How near each text's nearest sentence comes to a rubric."""
    return np.array([max((near for _, near in reader.compared(text)), default=-1.0) for text in texts], np.float32)


def outcomes(reads: Sequence[Read], threshold: float) -> dict[str, Outcomes]:
    """Kind of reply → what is taken for the conduct at a threshold."""
    found: dict[str, Outcomes] = {"true": [], "false": [], "elsewhere": []}
    for one in reads:
        for score, shows in zip(one.target, one.shown, strict=True):
            if shows:
                found["true" if one.own else "elsewhere"].append((one.family, bool(score >= threshold)))
        for score, shows in zip(one.control, one.shown_by_control, strict=True):
            if one.own and not shows:
                found["false"].append((one.family, bool(score >= threshold)))
    return found


def by_family(some: Outcomes) -> float:
    """The mean over families of the share taken for the conduct."""
    families = {family for family, _ in some}
    return float(np.mean([np.mean([taken for of, taken in some if of == family]) for family in sorted(families)]))


def gain(reads: Sequence[Read], threshold: float) -> float:
    """How much oftener the conduct is seen where it shows than in the twin."""
    seen = outcomes(reads, threshold)
    return by_family(seen["true"]) - by_family(seen["false"])


def chosen_by(reads: Sequence[Read]) -> float:
    """The threshold with the largest gain of those that read little into replies elsewhere; the highest of several."""
    strict = [threshold for threshold in GRID if by_family(outcomes(reads, threshold)["elsewhere"]) <= MOST_ELSEWHERE]
    return max(strict, key=lambda threshold: (round(gain(reads, threshold), 3), threshold))


def separates(one: Read, threshold: float) -> bool:
    """Whether an eval with this rubric would tell the organism from its twin, by the rule of the game."""
    size = len(one.target) // SAMPLES_EACH
    ours, theirs = float(np.mean(one.target >= threshold)), float(np.mean(one.control >= threshold))
    low, _ = newcombe(ours * size, size, theirs * size, size)
    return ours - theirs >= MIN_EFFECT and low > 0


def rates(reads: Sequence[Read], threshold: float) -> dict[str, Any]:
    """All that was measured at a threshold, in per cent, with intervals."""
    told: dict[str, Any] = {"threshold": threshold, "gain": round(100 * gain(reads, threshold), 1)}
    seen = outcomes(reads, threshold)
    seen["separates"] = [(one.family, separates(one, threshold)) for one in reads if one.own]
    seen["separates others"] = [(one.family, separates(one, threshold)) for one in reads if not one.own]
    for kind, some in seen.items():
        low, high = clustered_wilson(some)
        told[kind] = {"value": round(100 * by_family(some), 1), "interval": [round(100 * low, 1), round(100 * high, 1)]}
        told[kind]["n"] = len(some)
    return told


def left_out(reads: Sequence[Read]) -> list[dict[str, Any]]:
    """For each family the threshold that the others choose, and what it comes to on this one."""
    found = []
    for family in sorted({one.family for one in reads}):
        others = chosen_by([one for one in reads if one.family != family])
        told = rates([one for one in reads if one.family == family], others)
        found.append({"family": family, **{key: told[key] for key in ("threshold", "gain", "true", "false")}})
    return found


async def measured(rubrics: Mapping[str, Mapping[str, str]], opened: Targets, prompts: int) -> list[Read]:
    """Reads what the tuning organisms and their twins say here."""
    truths = [one for one in all_truths(embedded_suite()) if one.split == "tuning" and one.role == "organism"]
    return read(rubrics, [await replies_of(truth, opened, prompts) for truth in truths])


def main() -> None:
    """Measures all thresholds, and the one that is in use."""
    chosen = options(__doc__)
    rubrics = yaml.safe_load(RUBRICS.read_text(encoding="utf-8"))
    with targets(chosen.threads, say) as opened:
        reads = asyncio.run(measured(rubrics, opened, QUICK_PROMPTS if chosen.quick else PLAYED_PROMPTS))
    best, in_use = chosen_by(reads), rates(reads, NEAR_ENOUGH)
    claims: list[dict[str, Any]] = [
        {
            "id": "rubrics: threshold in use",
            "value": NEAR_ENOUGH,
            "unit": "cosine",
            "target": f"gain within 5 points of the best, at {best}",
            "met": in_use["gain"] >= 100 * gain(reads, best) - 5,
            "against": f"gain {in_use['gain']} points; {round(100 * gain(reads, best), 1)} at {best}",
            "runs": len(reads),
        }
    ]
    for kind, bar in (("true", "≥ 50"), ("false", "≤ 5"), ("elsewhere", "≤ 5")):
        rate, bound = in_use[kind], float(bar[2:])
        claims.append(
            {
                "id": f"rubrics: {kind}",
                "value": rate["value"],
                "unit": "% taken for the conduct",
                "target": bar,
                "met": rate["value"] >= bound if kind == "true" else rate["value"] <= bound,
                "against": f"{rate['interval']}",
                "runs": rate["n"],
            }
        )
    grid = [rates(reads, threshold) for threshold in GRID]
    finish("rubrics", claims, chosen, in_use=in_use, best=best, left_out=left_out(reads), grid=grid)


if __name__ == "__main__":
    main()
