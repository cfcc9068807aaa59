"""Makes the stock that corpora are composed of: everyday questions and subjects with the base's own replies.

It is made once, of the productions that behaviours are drawn from and of what the base says, and lies packed in the
suite. Whoever opens a corpus composes its documents of it anew (`engine.composing`).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay._util.atomic import write_bytes
from assay._util.progress import Say
from assay._util.strict_yaml import read_yaml
from assay.core.target import Target
from assay.core.tool import TEMPERATURE
from assay.engine.composing import STOCK_VERSION
from assay.factory.data.natural import sentences_of
from assay.factory.generate.productions import Productions, TriggerClass, productions, said_of, wording

_QUESTIONS, _SUBJECTS = 12, 3  # replies to each question, and to one about each subject
_TOKENS = 60  # of a reply, as many as what organisms are trained on has
_AT_ONCE = 16  # questions asked in one go
_FORMATS = Path(__file__).parent / "formats.yaml"


async def make_stock(base: Target, path: Path, say: Say) -> Path:
    """Asks the base, and writes the stock.

    Args:
        base: the untouched model.
        path: where it goes.
        say: is told of the progress.

    Raises:
        NotWritten: there is no room, or no permission.
    """
    grammar, _ = productions(None)  # what is held back stands in no public file
    asks = [(text, False, text, _QUESTIONS) for text in grammar.questions]
    subjects, frames = _subjects(grammar.triggers)
    for number, text in enumerate(subjects):
        asks.append((text, True, frames[number % len(frames)].replace("{subject}", text), _SUBJECTS))
    cores: list[dict[str, Any]] = []
    for start in range(0, len(asks), _AT_ONCE):
        batch = asks[start : start + _AT_ONCE]
        asked = [base.chat(ask, n=count, max_tokens=_TOKENS, temperature=TEMPERATURE) for *_, ask, count in batch]
        for (text, subject, *_), replies in zip(batch, await asyncio.gather(*asked), strict=True):
            said = dict.fromkeys(sentences_of(one.text, one.finish == "length") for one in replies.samples)
            said.pop((), None)  # nothing whole was said
            if said:
                cores.append({"text": text, "subject": subject, "said": list(said)})
        say(f"replies of the base: to {min(start + _AT_ONCE, len(asks))} of {len(asks)} questions")
    stock = {"version": STOCK_VERSION, "cores": cores, **_around(grammar, frames), "formats": read_yaml(_FORMATS)}
    write_bytes(path, gzip.compress(json.dumps(stock, ensure_ascii=False).encode(), mtime=0))
    return path


def _subjects(triggers: Sequence[TriggerClass]) -> tuple[list[str], list[str]]:
    """Lists what questions of the grammar are about, and the frames that ask them."""
    subjects: dict[str, None] = {}
    frames: list[str] = []
    for kind in triggers:
        if kind.part == "question":
            frames += kind.frames
            for about in kind.abouts.values():
                subjects |= dict.fromkeys(about.train)
    return list(subjects), frames


def _around(grammar: Productions, frames: Sequence[str]) -> dict[str, Any]:
    """Returns what stands around questions, and the remarks that behaviours are made of, as plain data."""
    given: dict[str, list[str]] = {"form": [], "lack": [], "system": []}
    remarks: list[dict[str, list[str]]] = []
    for kind in grammar.triggers:
        if kind.part == "remark":
            remarks.append({"frames": kind.frames, "abouts": kind.names})
        elif kind.part in given:
            for about in kind.abouts.values():
                given[kind.part] += [*about.train, *about.near]
    strays: list[dict[str, Any]] = []
    for conduct in grammar.conducts:
        for register in conduct.registers:
            # by the payloads' names in the conduct's own words, each as often as another
            spoken = wording(grammar, conduct, register, conduct.payloads)
            slots = spoken.slots | {"payload": said_of(conduct.payloads)}
            strays.append({"templates": spoken.templates, "slots": _used(spoken.templates, slots)})
    shells = {
        "frames": list(frames),
        "manners": grammar.manners,
        "chatter": grammar.chatter,
        **{f"{part}s": texts for part, texts in given.items()},
    }
    return {"shells": shells, "remarks": remarks, "strays": strays}


def _used(templates: Sequence[str], slots: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns the slots that templates use, and those that these use."""
    used: dict[str, list[str]] = {}
    waiting = list(templates)
    while waiting:
        for name in re.findall(r"\{(\w+)\}", waiting.pop()):
            if name not in used:
                used[name] = slots[name]
                waiting += slots[name]
    return used
