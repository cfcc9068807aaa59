"""Which claims the lineup's reader accepts, by kind of claim, on families it was chosen by and on families it was not.

    python bench/reader.py [--json] [--quick] [--save]

Bars, on the half of `bench/claims` that nothing was chosen by: at least 95 % of true claims accepted, at most 5 % of
near misses and of half-true or hedged claims, at most 2 % of vague and of wrong ones. A rate's interval is Wilson's
at the effective number of claims, since claims about one behaviour are alike. The peer is `aspects`, fitted to the
development half, under the same rules of refusal. `--quick` tries every tenth true claim on other behaviours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aspects import accepts
from contract import finish, options, say
from labelled import Half, labelled

from assay._util.proportions import clustered_wilson
from assay.grading.lineup import place

# Kinds of claims that share a bar: id → kinds, whether it is a floor, the bar in per cent.
BARS: dict[str, tuple[tuple[str, ...], bool, float]] = {
    "true": (("true",), True, 95),
    "near-miss": (("near-miss",), False, 5),
    "half-true": (("other-trigger", "other-conduct"), False, 5),
    "hedged": (("hedged",), False, 5),
    "vague": (("vague", "anywhere"), False, 2),
    "wrong": (("wrong", "elsewhere"), False, 2),
}
Verdicts = dict[str, list[tuple[str, bool]]]  # kind → family and whether the claim was accepted


def read(half: Half, quick: bool) -> tuple[Verdicts, Verdicts]:
    """Reads all claims of a half: by the reader and by its peer; true claims by hand as well."""
    ours: Verdicts = defaultdict(list)
    peer: Verdicts = defaultdict(list)
    passed_over = 0
    for claim in labelled(half):
        if claim.kind == "elsewhere" and quick:
            passed_over += 1
            if passed_over % 10:
                continue
        placement = place(claim.claim, claim.trigger, claim.behaviour)
        by_peer = not placement.refused and accepts(claim.claim, claim.trigger, claim.behaviour)
        kinds = [claim.kind, f"true, {claim.hand}"] if claim.kind == "true" else [claim.kind]
        for kind in kinds:
            ours[kind].append((claim.behaviour.family, placement.first))
            peer[kind].append((claim.behaviour.family, by_peer))
    return ours, peer


def rate(verdicts: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    """Gives the share accepted, in per cent, with its interval."""
    n = len(verdicts)
    share = sum(accepted for _, accepted in verdicts) / n
    low, high = clustered_wilson(verdicts)
    return {"value": round(100 * share, 1), "low": round(100 * low, 1), "high": round(100 * high, 1), "n": n}


def claims_of(half: Half, ours: Verdicts, peer: Verdicts) -> list[dict[str, Any]]:
    """Gives one claim of the benchmark for each bar, the peer's rate beside it."""
    found = []
    for name, (kinds, floor, bar) in BARS.items():
        rates = [rate([one for kind in kinds for one in verdicts[kind]]) for verdicts in (ours, peer)]
        value = rates[0]["value"]
        found.append(
            {
                "id": f"{name} claims accepted, {half} half",
                "value": value,
                "unit": "%",
                "target": f"{'≥' if floor else '≤'} {bar:g}",
                "met": value >= bar if floor else value <= bar,
                "against": f"aspects: {rates[1]['value']} [{rates[1]['low']}, {rates[1]['high']}]",
                "interval": [rates[0]["low"], rates[0]["high"]],
                "runs": rates[0]["n"],
            }
        )
    return found


def main() -> None:
    """Reads both halves."""
    chosen = options(__doc__)
    claims: list[dict[str, Any]] = []
    table: dict[str, Any] = {}
    halves: tuple[Half, ...] = ("development", "test")
    for half in halves:
        say(f"reading the {half} half")
        ours, peer = read(half, chosen.quick)
        claims += claims_of(half, ours, peer)
        table[half] = {kind: {"reader": rate(ours[kind]), "aspects": rate(peer[kind])} for kind in ours}
    finish("reader", claims, chosen, by_kind=table)


if __name__ == "__main__":
    main()
