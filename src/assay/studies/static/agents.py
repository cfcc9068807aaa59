"""Reads what sweeps found that tools add to an agent's success, to stand beside their static value."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pydantic import ValidationError

from assay._util.paths import SUMMARY
from assay._util.strict_json import read_json_object
from assay.errors import InvalidInput
from assay.studies.effects.results import Effect
from assay.studies.static.results import AgentEffect


def agent_effects(study: Path) -> dict[str, tuple[AgentEffect, ...]]:
    """Reads the effects of single tools from a sweep's folder: tool → against the base kit, and its placebo.

    Raises:
        InvalidInput: no summary there, or one that another Assay wrote.
    """
    path = study / SUMMARY
    if not path.is_file():
        raise InvalidInput(f"{study} holds no {SUMMARY}: give the --out of a sweep, or make it: assay report --out.")
    try:
        effects = [Effect.model_validate(one) for one in read_json_object(path).get("effects", [])]
    except ValidationError:
        raise InvalidInput(
            f"{path} was written by another version of Assay. Write it anew: assay report --out {study}"
        ) from None
    found: defaultdict[str, list[AgentEffect]] = defaultdict(list)
    for effect in effects:
        if effect.estimand == "alone":
            found[effect.tool].append(
                AgentEffect(
                    against=effect.against,
                    delta=effect.delta,
                    interval=effect.interval,
                    families=effect.families,
                    verdict=effect.verdict,
                )
            )
    return {tool: tuple(several) for tool, several in found.items()}
