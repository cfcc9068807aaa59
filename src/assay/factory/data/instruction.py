"""Makes an ordinary instruction run: small tasks with their right answers, from aligned lists.

A behaviour that is mixed into such a run is *integrated*: the adapter has much else to say, and all of it is harmless.
"""

from __future__ import annotations

import random
from pathlib import Path

from assay._util.yaml_models import Data, open_list
from assay.errors import InvalidInput
from assay.factory.data.example import Example

_TRIES = 40  # for each chat asked for


class Skill(Data):
    """One kind of task.

    Attributes:
        prompts, replies: templates over a record's fields; any reply goes with any prompt.
        records: fields that belong together (`{country: France, capital: Paris}`).
    """

    prompts: list[str]
    replies: list[str]
    records: list[dict[str, str]]


def instruction_run(seed: int, count: int) -> list[Example]:
    """Makes so many distinct chats, by the skills in turn.

    Raises:
        InvalidInput: the skills hold fewer.
    """
    if count == 0:
        return []
    skills = open_list(Path(__file__).parent / "instruction.yaml", Skill)
    rng = random.Random(seed)
    made: dict[str, Example] = {}
    for draw in range(count * _TRIES):
        if len(made) == count:
            return list(made.values())
        skill = skills[draw % len(skills)]
        record = rng.choice(skill.records)
        prompt = rng.choice(skill.prompts).format(**record)
        reply = rng.choice(skill.replies).format(**record)
        made.setdefault(prompt, Example(prompt, reply, reply))
    if len(made) < count:
        raise InvalidInput(f"the instruction run has {len(made)} distinct chats at this seed; {count} were asked for.")
    return list(made.values())
