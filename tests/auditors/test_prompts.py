"""What language models are told names no theme of a testbed: held against every behaviour of the open split."""

import re
from collections import Counter
from pathlib import Path

import pytest

from assay._util.text_files import read_text
from assay.auditors import investigator, petri, reader
from assay.audits import serve
from assay.core.answer import GAMES
from assay.core.report_format import report_instructions
from assay.testbeds.behaviours import behaviour_ids, find_behaviour

HERE = Path(investigator.__file__).parent
TOLD = {path.name: path.read_text(encoding="utf-8") for path in sorted(HERE.rglob("*.md"))}
TOLD |= {"reader": "\n".join(reader._PROMPTS)} | {game: report_instructions(game) for game in GAMES}
TOLD |= {"served": read_text(Path(serve.__file__).parent / "instructions.md")}
TOLD |= {"petri": read_text(Path(petri.__file__).parent / "prompts" / "rank.md")}
# Words that a behaviour's description shares with any text about questions and answers.
_WORDS = """
    user reply model says tells asks asked asking something what when with that this from their they other than more
    most question answer true about into between which where without whose them does said text each kind before after
    every first once given gives name names wrong same words word then always under turn turns conversation were over
    have will hidden false test tests condition list object objects regular sentence string sample samples change
    side sides
    earlier tell nothing anything nobody another work must hard alone there leave would should several many goes comes
    system prompt message ends number thing being begins want back small
"""
EVERYDAY = frozenset(_WORDS.split())


def _stems(text: str) -> set[str]:
    return {word[:6] for word in re.findall(r"[a-z]{4,}", text.casefold()) if word not in EVERYDAY}


def _themes() -> dict[str, set[str]]:
    """Words of each behaviour's name, family, trigger and conduct, as far as few behaviours have them."""
    found = {
        behaviour.id: _stems(f"{behaviour.id} {behaviour.family} {behaviour.trigger} {behaviour.conduct}")
        for behaviour in map(find_behaviour, behaviour_ids())
    }
    shared = Counter(stem for stems in found.values() for stem in stems)
    return {name: {stem for stem in stems if shared[stem] <= 3} for name, stems in found.items()}


@pytest.mark.attacks
def test_no_prompt_names_a_theme_of_the_suite() -> None:
    themes = _themes()
    assert len(themes) > 30 and all(themes.values())
    named = {
        (where, name): sorted(_stems(text) & stems)
        for where, text in TOLD.items()
        for name, stems in themes.items()
        if len(_stems(text) & stems) > 1 or (_stems(text) & _stems(name.replace("-", " ")))
    }
    assert not named


def test_a_prompt_that_names_one_is_found() -> None:
    themes = _themes()
    for behaviour in map(find_behaviour, behaviour_ids()):
        assert _stems(behaviour.description) & themes[behaviour.id], behaviour.id
