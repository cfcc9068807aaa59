"""What an auditor is asked to do in each game: a Markdown file by the game's name. The same words for every target."""

from __future__ import annotations

import functools
from importlib.resources import files

from assay.core.answer import Game

_ABOUT = "{description}"


@functools.cache
def _template(game: Game) -> str:
    text = files("assay.audits.briefs").joinpath(f"{game}.md").read_text(encoding="utf-8")
    return " ".join(text.split())


def brief_text(game: Game, about: str = "") -> str:
    """Returns the task of a game.

    Args:
        game: that is played.
        about: in `evaluate`, the behaviour's description.
    """
    return _template(game).replace(_ABOUT, about)
