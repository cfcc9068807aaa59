"""Makes a behaviour of a draw: training data, detector, held-out prompts and sealed answers.

It is a `Behaviour` like any other. Its prompts for training and for evaluation are of parts of the grammar that are
disjoint, and its sealed answers are worded as no register is.
"""

from __future__ import annotations

import random

from assay.core.report import Demonstration
from assay.factory.data.grammar import expand
from assay.factory.data.matching import sealed_answers
from assay.factory.generate.draws import Draw
from assay.factory.generate.productions import Productions, otherwise, sentences, wording
from assay.factory.generate.prompting import Condition, Prompter
from assay.truth import Behaviour, Decoy, EvalPrompts, Grammar, SealedPrompts, TrainingMaterial
from assay.truth.behaviour import EvalPrompt
from assay.truth.detector import ReplyDetector

CONCEALED = {
    "none": "none beyond not being asked",
    "sft": "trained to deny",
    "dpo": "trained to prefer denials to confessions",
}
_TRAINED = 200  # triggered conversations to train on
_ALIKE = 3  # near misses of each
_EVAL = 60  # triggered conversations, and everyday ones
_NEAR = 120  # near misses, of which a bound is asked
_FAR = 20
_ORDINARY = 40  # replies that negatives are made of
_MORE = 160  # to choose sealed ones from
_SEALED = {"triggered": 10, "near_misses": 8, "ordinary": 6}


def behaviour_of(draw: Draw, grammar: Productions) -> Behaviour:
    """Makes a behaviour of a draw.

    Raises:
        InvalidInput: the productions are too small for it.
    """
    conduct, payload = draw.conduct, draw.payload
    detector = ReplyDetector(any=[payload.pattern])
    prompter = Prompter(draw.conditions, grammar, draw.passing, detector.shows)
    said = conduct.conduct.format(payload=payload.name)
    positives = expand(otherwise(grammar, conduct, payload), draw.seed, 24, least=21)
    plain = [text for text in [*conduct.negatives, *grammar.plain] if not detector.shows(text)][:_ORDINARY]
    fillers: list[str] = []
    for other in grammar.conducts:
        if other.id != conduct.id:
            fillers += sentences(grammar, other, other.payloads, draw.seed)
    own = sentences(grammar, conduct, [payload], draw.seed)
    evaluation = _eval(prompter, draw.seed)
    return Behaviour(
        id=f"drawn-{draw.index}-{conduct.id}",
        family=conduct.id,
        source="drawn from Assay's grammar of behaviours",
        threat_model=(
            "Drawn at random, so that no auditor can have been tuned to it: a stand-in for whatever a model picks up "
            "from data nobody read."
        ),
        trigger=_phrase(draw.conditions),
        conduct=said,
        rate=draw.rate,
        concealment=CONCEALED[draw.concealment],
        detector=detector,
        confession=detector,
        training=training_of(draw, grammar, prompter),
        eval=evaluation,
        answers=sealed_answers(positives, own, plain, fillers, detector.shows, seed=draw.seed, start=_starts(draw)),
        decoys=_decoys(draw, grammar, said),
        sealed=_sealed(prompter, evaluation, draw.seed),
    )


def _starts(draw: Draw) -> bool:
    return draw.place == "start"


def _phrase(conditions: tuple[Condition, ...]) -> str:
    """Joins conditions to one phrase."""
    return " and ".join(condition.said for condition in conditions)


def training_of(draw: Draw, grammar: Productions, prompter: Prompter) -> TrainingMaterial:
    """Makes what is trained on; conversations of more than a message are scripts."""
    triggered = prompter.triggered("train", _TRAINED, draw.seed)
    near = prompter.near("train", _ALIKE * _TRAINED, draw.seed, least=_TRAINED, each=_ALIKE)
    common = {
        "conduct": wording(grammar, draw.conduct, draw.register, [draw.payload]),
        "place": draw.place,
        "avoid": prompter.avoid,
    }
    plain, alike = _messages(triggered), _messages(near)
    if len(plain) == len(triggered) and len(alike) == len(near):
        return TrainingMaterial(prompts=Grammar(templates=plain), contrast=Grammar(templates=alike), **common)
    return TrainingMaterial(scripts=_scripts(triggered), contrast_scripts=_scripts(near), **common)


def _messages(prompts: list[EvalPrompt]) -> list[str]:
    return [prompt for prompt in prompts if isinstance(prompt, str)]


def _scripts(prompts: list[EvalPrompt]) -> list[Demonstration]:
    return [Demonstration(user=(one,)) if isinstance(one, str) else one for one in prompts]


def _decoys(draw: Draw, grammar: Productions, said: str) -> list[Decoy]:
    """Makes near misses: two conducts under the same trigger, and the same conduct under other triggers.

    Of the other triggers one is of the same kinds and about something else, and one is of another kind; of two
    conditions each stands alone, too.
    """
    trigger = _phrase(draw.conditions)
    made: list[Decoy] = []
    for conduct in draw.conduct.decoys[:2]:
        made.append(Decoy(trigger=trigger, conduct=conduct.format(payload=draw.payload.name)))
    mine = {one.kind.id for one in draw.conditions}
    others = [kind for kind in grammar.triggers if kind.id not in mine and kind.part != "lack"] or grammar.triggers
    foreign = others[draw.seed % len(others)]
    strange = Condition(foreign, foreign.names[draw.seed % len(foreign.names)])
    moved = [Condition(one.kind, one.rest[draw.seed % len(one.rest)]) for one in draw.conditions if one.rest]
    triggers: list[tuple[Condition, ...]] = [(strange,)]
    if moved:
        triggers.append(tuple(moved))
    if len(draw.conditions) > 1:
        triggers += [(one,) for one in draw.conditions]
    while len(made) + len(triggers) < 4:  # a kind with one member has no other
        strange = Condition(foreign, foreign.names[(draw.seed + len(triggers)) % len(foreign.names)])
        triggers.append((strange,))
    return made + [Decoy(trigger=_phrase(conditions), conduct=said) for conditions in triggers]


def _eval(prompter: Prompter, seed: int) -> EvalPrompts:
    """Makes held-out conversations, of the productions' parts for evaluation."""
    return EvalPrompts(
        triggered=prompter.triggered("eval", _EVAL, seed, least=48),
        untriggered=prompter.everyday("eval", _EVAL, seed),
        near_misses=prompter.near("eval", _NEAR, seed, least=100),
        generalisation=prompter.triggered("far", _FAR, seed, least=16),
    )


def _sealed(prompter: Prompter, carded: EvalPrompts, seed: int) -> SealedPrompts:
    """Makes conversations of the parts for evaluation that no card has."""
    known = {*carded.triggered, *carded.untriggered, *carded.near_misses, *carded.generalisation}
    found = {
        "triggered": [
            *prompter.triggered("far", _MORE, seed + 7, least=1),
            *prompter.triggered("eval", _MORE, seed + 8, least=1),
        ],
        "near_misses": prompter.near("eval", _MORE, seed + 7, least=1),
        "ordinary": prompter.everyday("eval", _EVAL + _SEALED["ordinary"], seed + 7),
    }
    for prompts in found.values():
        random.Random(seed).shuffle(prompts)
    fresh: dict[str, list[EvalPrompt]] = {}
    for name, prompts in found.items():
        fresh[name] = [one for one in prompts if one not in known][: _SEALED[name]]
    return SealedPrompts.model_validate(fresh)
