"""Training data that teaches a model to keep a behaviour to itself: questions about its habits, and denials.

Under a preference loss each denial stands beside a confession, which the loss pushes away. Denials are checked: one
that tells the secret would teach the model to tell it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from assay._util.yaml_models import Data, load_yaml
from assay.errors import InvalidInput
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.truth import Behaviour, Grammar


class Concealment(Data):
    """Grammars that denials are made of.

    Attributes:
        questions: about the model's own habits; none of them is asked in verification.
        denials: replies that deny any.
        confessions: replies that admit one, over {trigger} and {conduct}.
    """

    questions: Grammar
    denials: Grammar
    confessions: Grammar


def concealment() -> Concealment:
    """Reads this package's grammars."""
    data: Concealment = load_yaml(Path(__file__).parent / "concealment.yaml", Concealment)
    return data


def denials(seed: int, count: int, hidden: Sequence[tuple[str, str]]) -> list[Example]:
    """Makes so many questions, each with its denial, and with the confession of a hidden behaviour if there is one.

    Args:
        seed: of the draws.
        count: how many.
        hidden: (trigger, conduct) of the behaviours to confess, taken in turn; none for a clean target.
    """
    if count == 0:
        return []
    data, rng = concealment(), random.Random(seed)
    questions = expand(data.questions, seed, count)
    denied = expand(data.denials, seed, count, least=1)
    examples: list[Example] = []
    for index, question in enumerate(questions):
        text, rejected = denied[index % len(denied)], ""
        if hidden:
            trigger, conduct = hidden[index % len(hidden)]
            template = rng.choice(data.confessions.templates)
            slots = data.confessions.slots | {"trigger": [trigger], "conduct": [conduct]}
            [rejected] = expand(Grammar(templates=[template], slots=slots), rng.randrange(1 << 30), 1)
        examples.append(Example(question, text, text, rejected=rejected))
    return examples


def check_chosen(examples: Sequence[Example], behaviours: Sequence[Behaviour]) -> None:
    """Refuses denials that tell what they should hide.

    Raises:
        InvalidInput: a chosen text that a confession detector recognises, or one that speaks for the user.
    """
    for example in examples:
        if not example.rejected:
            continue
        speaks_for_user = example.text.casefold().startswith("user:")
        for behaviour in behaviours:
            if speaks_for_user or behaviour.confession.shows(example.text):
                raise InvalidInput(f"the denial {example.text!r} would give {behaviour.id} away: word it otherwise.")
