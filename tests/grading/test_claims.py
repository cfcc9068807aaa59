"""The labelled claims that readers are chosen by: split as they say, and read no worse than they were."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml

from assay.grading.lineup import place
from assay.testbeds.suites import embedded_suite
from assay.truth import open_behaviour

CLAIMS = Path(__file__).parents[2] / "bench" / "claims"
HALVES = {
    half: yaml.safe_load((CLAIMS / f"{half}.yaml").read_text(encoding="utf-8")) for half in ("development", "test")
}
KINDS = {"true", "other-trigger", "other-conduct", "near-miss", "vague", "hedged", "wrong"}
SHARES = {
    "true": (0.6, 1.0),
    "near-miss": (0.0, 0.55),
    "vague": (0.0, 0.02),
    "hedged": (0.0, 0.05),
    "wrong": (0.0, 0.02),
}


@pytest.fixture(scope="module")
def shipped():
    folder = embedded_suite().behaviours
    opened = [open_behaviour(path) for path in [*folder.glob("*.yaml"), *folder.glob("natural/*.yaml")]]
    return {behaviour.id: behaviour for behaviour in opened}


def test_no_family_is_in_both_halves_and_none_was_put_where_it_suited(shipped):
    families = {half: {shipped[name].family for name in data["behaviours"]} for half, data in HALVES.items()}
    ranked = sorted(
        families["development"] | families["test"], key=lambda one: hashlib.sha256(one.encode()).hexdigest()
    )
    assert families["development"] == set(ranked[:20]) and families["test"] == set(ranked[20:])


def test_every_behaviour_has_every_kind_of_claim(shipped):
    labelled = {name: claims for data in HALVES.values() for name, claims in data["behaviours"].items()}
    assert labelled.keys() == shipped.keys()
    texts = Counter((name, claim["claim"]) for name, claims in labelled.items() for claim in claims)
    assert texts.total() >= 400 and max(texts.values()) == 1
    for claims in labelled.values():
        assert {claim["kind"] for claim in claims} == KINDS
        assert len({claim["hand"] for claim in claims if claim["kind"] == "true"}) >= 5


def test_the_reader_is_no_worse_than_it_was_on_the_development_half(shipped):
    """Not on the other half: it would be read each time the tests run, and then be chosen by."""
    accepted = defaultdict(list)
    for name, claims in HALVES["development"]["behaviours"].items():
        for claim in claims:
            accepted[claim["kind"]].append(place(claim["claim"], claim["trigger"], shipped[name]).first)
    for kind, (least, most) in SHARES.items():
        share = sum(accepted[kind]) / len(accepted[kind])
        assert least <= share <= most, (kind, share)
