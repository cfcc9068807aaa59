"""The draft of a report that a person types line by line in `assay play`, with undo; one set of words a game."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from assay.core.answer import Game
from assay.errors import InvalidInput

_Draft = dict[str, Any]
_Change = Callable[[_Draft, str], None]

_P = "p X                probability that anything is hidden, from 0 to 1"
_READER = "phrases A | B      what recognises it in a reply; or:  pattern REGEX"
WORDS_OF: Mapping[Game, str] = {
    "investigate": f"""
new CLAIM          begin a finding; the next lines belong to it:
  trigger TEXT     when it happens
  demo TEXT        a prompt that brings it out (up to five)
  {_READER}
  confidence X     from 0 to 1
{_P}""",
    "red-team": f"""
new WHAT SHOWS     begin a transcript, the most telling first; the next lines belong to it:
  turn TEXT        what the user says (up to eight)
  under TEXT       the system prompt
  begun TEXT       what the last reply begins with
{_P}""",
    "evaluate": f"""
demo TEXT          a prompt of the eval (up to forty)
{_READER}; or:
rubric TEXT        what a reply says that shows it
{_P}""",
}
_EMPTY: Mapping[Game, _Draft] = {
    "investigate": {"p_hidden": 0.5, "findings": []},
    "red-team": {"p_hidden": 0.5, "transcripts": []},
    "evaluate": {"p_hidden": 0.5, "prompts": []},
}


class DraftReport:
    """Holds the draft of one report.

    Args:
        game: that is played.
    """

    def __init__(self, game: Game) -> None:
        self._drafts = [deepcopy(_EMPTY[game])]  # the last one counts
        self._changes = _CHANGES[game]

    @property
    def report(self) -> _Draft:
        """Returns it as it stands."""
        return self._drafts[-1]

    @property
    def words(self) -> tuple[str, ...]:
        """Lists the words that change it."""
        return tuple(self._changes)

    def change(self, word: str, rest: str) -> None:
        """Changes it; what it was before is kept.

        Raises:
            InvalidInput: that cannot be said, or not yet.
        """
        if not rest:
            raise InvalidInput(f"{word}: what? See help.")
        draft = deepcopy(self.report)
        try:
            self._changes[word](draft, rest)
        except IndexError:
            raise InvalidInput(f"{word}: there is nothing yet that it could belong to; begin with new.") from None
        self._drafts.append(draft)

    def undo(self) -> None:
        """Takes the last change back."""
        if len(self._drafts) > 1:
            self._drafts.pop()


def number(text: str) -> float:
    """Reads a number.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no number.") from None


def _p(draft: _Draft, rest: str) -> None:
    draft["p_hidden"] = number(rest)


def _parts(rest: str) -> list[str]:
    return [part.strip() for part in rest.split("|")]


# One finding ---------------------------------------------------------------------------------------------------------


def _new_finding(draft: _Draft, rest: str) -> None:
    empty: _Draft = {"trigger": None, "demonstrations": [], "predicate": None, "confidence": 0.5}
    draft["findings"].append({"claim": rest, **empty})


def _finding(name: str, read: Callable[[str], Any] = str) -> _Change:
    def change(draft: _Draft, rest: str) -> None:
        draft["findings"][-1][name] = read(rest)

    return change


# Transcripts and evals -----------------------------------------------------------------------------------------------


def _new_transcript(draft: _Draft, rest: str) -> None:
    draft["transcripts"].append({"script": {"user": []}, "shows": rest})


def _script(name: str) -> _Change:
    def change(draft: _Draft, rest: str) -> None:
        draft["transcripts"][-1]["script"][name] = rest

    return change


def _reader(**reader: Any) -> _Change:
    """Sets one way to recognise the behaviour, and takes the others away."""
    [(name, read)] = reader.items()

    def change(draft: _Draft, rest: str) -> None:
        for other in ("predicate", "rubric"):
            draft.pop(other, None)
        draft[name] = read(rest)

    return change


def _as_phrases(rest: str) -> _Draft:
    return {"phrases": _parts(rest)}


def _as_pattern(rest: str) -> _Draft:
    return {"pattern": rest}


_CHANGES: Mapping[Game, Mapping[str, _Change]] = {
    "investigate": {
        "new": _new_finding,
        "trigger": _finding("trigger"),
        "demo": lambda draft, rest: draft["findings"][-1]["demonstrations"].append(rest),
        "phrases": _finding("predicate", _as_phrases),
        "pattern": _finding("predicate", _as_pattern),
        "confidence": _finding("confidence", number),
        "p": _p,
    },
    "red-team": {
        "new": _new_transcript,
        "turn": lambda draft, rest: draft["transcripts"][-1]["script"]["user"].append(rest),
        "under": _script("system"),
        "begun": _script("prefill"),
        "p": _p,
    },
    "evaluate": {
        "demo": lambda draft, rest: draft["prompts"].append(rest),
        "phrases": _reader(predicate=_as_phrases),
        "pattern": _reader(predicate=_as_pattern),
        "rubric": _reader(rubric=str),
        "p": _p,
    },
}
