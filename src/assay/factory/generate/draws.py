"""Draws behaviours for fresh organisms from a grammar, so that no auditor can have been tuned to them.

A draw is trigger × conduct × register × place × rate × concealment. Its family is the conduct's class, and no
two draws of a suite share one. What is drawn is meant to be passed over: a sentence that might stand in any reply,
under a condition or two.

A suite is recovered from its seed and the grammar's version (`GRAMMAR`), so the order of the random draws here must
stay as it is while that number does.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from assay._util.hashing import digest_of
from assay.errors import InvalidInput
from assay.factory.generate.productions import GRAMMAR, ConductClass, Payload, Productions, TriggerClass
from assay.factory.generate.prompting import Condition
from assay.factory.generate.tiers import PAIRS, PLANNED_TIERS, DrawShape

_TRIES = 100  # at a trigger that does not mention the payload


@dataclass(frozen=True, slots=True)
class Draw:
    """One point of the space.

    Attributes:
        index: of the draw, for a suite's ids.
        tier: it is planned for.
        conditions: of the trigger, one or two.
        passing: remarks are made in passing, within a longer message.
        conduct, payload: class of conduct, and what it is about.
        register, place: how it is said, and where in the reply.
        rate: share of the triggered replies that show it.
        concealment: of the recipe.
        held_back: uses a production that is not public.
        seed: of data and training.
    """

    index: int
    tier: int
    conditions: tuple[Condition, ...]
    passing: bool
    conduct: ConductClass
    payload: Payload
    register: str
    place: str
    rate: float
    concealment: str
    held_back: bool
    seed: int


def size(grammar: Productions, tier: int = 0) -> int:
    """Counts the behaviours of a tier: trigger × payload × register × place × rate × concealment; of all tiers if 0."""
    if not tier:
        return sum(size(grammar, each) for each in PLANNED_TIERS)
    plan = PLANNED_TIERS[tier]
    triggers = sum(_triggers(grammar, shape) for shape in plan.shapes)
    conducts = sum(len(kind.payloads) * len(kind.registers) for kind in grammar.conducts)
    return triggers * conducts * len(plan.places) * len(plan.rates) * len(plan.concealments)


def _triggers(grammar: Productions, shape: DrawShape) -> int:
    """Counts the triggers of a shape."""
    total = 0
    for kinds in _combinations(grammar, shape):
        some = len(kinds[0].names)
        for kind in kinds[1:]:
            some *= len(kind.names)
        total += some
    return total


def _combinations(grammar: Productions, shape: DrawShape) -> list[tuple[TriggerClass, ...]]:
    """Lists which kinds make a trigger of a shape, in a fixed order."""
    kinds = sorted(grammar.triggers, key=lambda kind: kind.id)
    if shape == "compound":
        pairs: list[tuple[TriggerClass, ...]] = []
        for one, other in itertools.combinations(kinds, 2):
            if {(one.part, other.part), (other.part, one.part)} & PAIRS:
                pairs.append((one, other))
        return pairs
    parts = {"plain": {"question", "remark", "form"}, "aside": {"remark"}, "context": {"system", "turn"}}[shape]
    return [(kind,) for kind in kinds if kind.part in parts]


def draws(grammar: Productions, secret: frozenset[str], seed: str, tier: int = 0) -> list[Draw]:
    """Makes one draw for each conduct class, in an order that the seed decides.

    Args:
        grammar: from `productions`.
        secret: held-back productions.
        seed: any text; a sealed suite's comes from the operating system.
        tier: that all are planned for; 0 mixes them.

    Raises:
        InvalidInput: there is no such tier.
    """
    if tier and tier not in PLANNED_TIERS:
        raise InvalidInput(f"tier {tier}: the tiers are {', '.join(map(str, PLANNED_TIERS))}.")
    rng = random.Random(digest_of(["draws", GRAMMAR, seed, tier]))
    classes = sorted(grammar.conducts, key=lambda kind: kind.id)
    rng.shuffle(classes)
    return [_draw(index, conduct, grammar, secret, tier, rng) for index, conduct in enumerate(classes)]


def _draw(
    index: int, conduct: ConductClass, grammar: Productions, secret: frozenset[str], tier: int, rng: random.Random
) -> Draw:
    planned = tier or rng.choice(sorted(PLANNED_TIERS))
    plan = PLANNED_TIERS[planned]
    payload = rng.choice(conduct.payloads)
    shape = rng.choice(plan.shapes)
    conditions = _conditions(grammar, shape, payload, rng)
    used = {f"trigger:{one.kind.id}" for one in conditions} | {f"conduct:{conduct.id}"}
    remarks = any(one.kind.part == "remark" for one in conditions)
    return Draw(
        index=index,
        tier=planned,
        conditions=conditions,
        passing=remarks and (shape == "aside" or planned == max(PLANNED_TIERS)),
        conduct=conduct,
        payload=payload,
        register=rng.choice(sorted(conduct.registers)),
        place=rng.choice(plan.places),
        rate=rng.choice(plan.rates),
        concealment=rng.choice(plan.concealments),
        held_back=bool(used & secret),
        seed=rng.randrange(1, 1 << 30),
    )


def _conditions(grammar: Productions, shape: DrawShape, payload: Payload, rng: random.Random) -> tuple[Condition, ...]:
    """Draws a trigger that does not speak of what the conduct speaks of.

    Raises:
        InvalidInput: none is found.
    """
    for _ in range(_TRIES):
        kinds = rng.choice(_combinations(grammar, shape))
        found = tuple(Condition(kind, rng.choice(kind.names)) for kind in kinds)
        if not any(mentions(one, payload) for one in found):
            return found
    raise InvalidInput(f"every trigger of the grammar mentions {payload.name!r}; give it triggers of other kinds.")


def mentions(condition: Condition, payload: Payload) -> bool:
    """Tells whether what meets a condition would show a conduct by itself."""
    texts: Sequence[str] = [condition.about]
    if condition.kind.abouts:
        about = condition.kind.abouts[condition.about]
        texts = [condition.about, *about.train, *about.eval]
    return any(regex.search(payload.pattern, text, regex.IGNORECASE) for text in texts)
