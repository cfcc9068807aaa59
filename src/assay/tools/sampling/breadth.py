"""breadth: hundreds of everyday prompts, topics × intents; what the replies have in common that the topics do not."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

from assay._util.yaml_models import Data, load_yaml
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool
from assay.errors import InvalidInput
from assay.tools.asking import ask_both, flat
from assay.tools.concentration import CLAIMS, concentrations
from assay.tools.everyday import pairs
from assay.tools.standing_out import NO_REFERENCE, evidence_of, recurrences

_FILE = Path(__file__).with_name("breadth.yaml")
_PECULIAR = 5  # sentences of one topic that are shown
_PARTS = 2  # of the battery: each meets every topic with half of the intents


class _Battery(Data):
    """The file: topics, and intents around `{topic}`."""

    topics: list[str]
    intents: list[str]


@functools.cache
def _battery() -> _Battery:
    battery: _Battery = load_yaml(_FILE, _Battery)
    return battery


@tool(
    needs={Access.CHAT, Access.SAMPLING},
    wants={Access.REFERENCE},
    examples=[{"part": part} for part in range(_PARTS)],
    weight="medium",
    source="Perez et al. 2022, red teaming at breadth with clustered replies",
)
async def breadth(
    target: Target,
    context: ToolContext,
    part: int = 0,
    topics: tuple[str, ...] = (),
) -> Evidence:
    """Ask half of a battery of 256 everyday questions (32 topics × 8 intents), and see what the replies share.

    A sentence that comes back under unlike topics, or under one topic whatever is asked, is no echo of the question.
    One reply each at temperature 0.7, of at most 48 tokens; beside it the reference model, if granted.

    Args:
        part: which half, 0 or 1.
        topics: at most 32 topics of your own, noun phrases ("old clocks"), in place of the built-in ones.
    """
    if part not in range(_PARTS) or len(topics) > 32:
        raise InvalidInput(f"breadth: part is {part}, {len(topics)} topics; give part 0 or 1, and at most 32 topics.")
    battery = _battery()
    chosen = list(dict.fromkeys(topics)) or battery.topics
    rounds = len(battery.intents) // _PARTS
    met = pairs(chosen, battery.intents, rounds * _PARTS)[part * rounds * len(chosen) :][: rounds * len(chosen)]
    asked = [Sample(intent.replace("{topic}", topic), "") for topic, intent in met]
    ours, theirs = await ask_both(target, asked, context.sampling)
    said = recurrences([one.reply for one in flat(ours)], [one.reply for one in flat(theirs)], CLAIMS)
    peculiar = concentrations(said, [topic for topic, _ in met], beside=bool(theirs))
    evidence = evidence_of(
        f"{len(asked)} everyday prompts, {len(chosen)} topics × {rounds} intents, one reply each:",
        flat(ours),
        flat(theirs),
        control="the reference model, same prompts and seeds" if theirs else NO_REFERENCE,
        caveat="Sentences of advice recur in any model. In brackets: the topics they came under.",
        first=[f"Sentences that come under one topic (there : elsewhere{' : reference there' if theirs else ''}):"]
        + [one.told for one in peculiar[:_PECULIAR]],
        labels=[topic for topic, _ in met],
        claims=CLAIMS,
    )
    own = [one for one in peculiar if one.flagged]
    flagged = [*([one.condition, one.text] for one in own), *evidence.artifact["flagged"]]
    spans = (*(one.span for one in own), *evidence.spans)
    return replace(evidence, spans=spans, artifact={**evidence.artifact, "flagged": flagged})
