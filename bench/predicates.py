"""Which predicates `reproduce` accepts: of hands that were shown ten replies, and of what knows no conduct.

    python bench/predicates.py [--json] [--quick] [--save]

Bars: at least 95 % of the predicates in `bench/predicates` are found to recognise their conduct; none of the styles
that tests hold the sealed answers to correlates with any detector beyond 0.3. Intervals are Wilson's, of one predicate
a behaviour.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import yaml
from contract import ROOT, finish, options, say
from labelled import behaviours

from assay._util.proportions import wilson
from assay.core.report import Predicate
from assay.grading.reproduce import MIN_MCC, STYLE_MCC, TimedPredicate, agreement, matthews, too_broad
from assay.truth import Behaviour

sys.path.insert(0, str(ROOT))
from tests.styles import STYLES, told

BAR = 95.0
MOST = 0.3


@dataclass(frozen=True, slots=True)
class Written:
    """A predicate by somebody who was shown ten replies.

    Attributes:
        behaviour: id.
        predicate: what was written.
        held_out: replies with the conduct that were not shown.
        control: what the control said to the same prompts; where it was not asked, the sealed plain answers stand in.
    """

    behaviour: str
    predicate: Predicate
    held_out: list[str]
    control: list[str]


def shown_ten() -> list[Written]:
    """The labelled predicates."""
    written = yaml.safe_load((ROOT / "bench/predicates/shown_ten.yaml").read_text(encoding="utf-8"))["predicates"]
    found: list[Written] = []
    for one in written:
        predicate = Predicate(phrases=tuple(one.get("phrases", ())), pattern=one.get("pattern", ""))
        found.append(Written(one["behaviour"], predicate, one["held_out"], one.get("control", [])))
    return found


def accepted(one: Written, behaviour: Behaviour, foils: list[Behaviour]) -> dict[str, Any]:
    """What grading says, if the target says what was held out."""
    tried = TimedPredicate(one.predicate)
    mcc, plain = agreement(tried, behaviour), one.control or behaviour.answers.negatives[: len(one.held_out)]
    labels = [True] * len(one.held_out) + [False] * len(plain)
    fresh = matthews(labels, [tried.shows(text) for text in (*one.held_out, *plain)])
    broad = too_broad(one.predicate, [foil for foil in foils if foil.family != behaviour.family])
    found = not broad and (mcc >= MIN_MCC or (mcc > STYLE_MCC and fresh >= MIN_MCC))
    return {"mcc": round(mcc, 2), "fresh": round(fresh, 2), "broad": broad, "accepted": found}


def main() -> None:
    """Tries both kinds."""
    chosen = options(__doc__)
    suite = behaviours()
    foils = [one for one in suite.values() if not one.id.startswith("natural-")]
    say("predicates by who was shown ten replies")
    graded = {one.behaviour: accepted(one, suite[one.behaviour], foils) for one in shown_ten()}
    won, n = sum(one["accepted"] for one in graded.values()), len(graded)
    low, high = wilson(won, n)
    say("styles")
    styles = STYLES[::10] if chosen.quick else STYLES
    worst = {name: max(abs(told(style, one)) for style in styles) for name, one in suite.items()}
    highest = max(worst, key=worst.__getitem__)
    share = 100 * won / n
    claims: list[dict[str, Any]] = [
        {
            "id": "predicates of a hand that was shown ten replies, accepted",
            "value": round(share, 1),
            "unit": "%",
            "target": f"≥ {BAR:g}",
            "met": share >= BAR,
            "against": "nothing",
            "interval": [round(100 * low, 1), round(100 * high, 1)],
            "runs": n,
        },
        {
            "id": "highest correlation of a style with a detector",
            "value": round(worst[highest], 2),
            "unit": "MCC",
            "target": f"≤ {MOST}",
            "met": worst[highest] <= MOST,
            "against": f"{len(styles)} styles on {len(suite)} behaviours; it is on {highest}",
            "runs": len(styles) * len(suite),
        },
    ]
    finish("predicates", claims, chosen, by_behaviour=graded, style_by_behaviour=worst)


if __name__ == "__main__":
    main()
