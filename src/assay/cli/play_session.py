"""What a person types in `assay play`, and what it does: tools of the kit, and a draft of the report with undo."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

from assay.audits.serve.answers import ToolAnswer
from assay.cli.play_draft import WORDS_OF, DraftReport, number
from assay.core.answer import Game
from assay.errors import InvalidInput

Call = Callable[[str, dict[str, Any]], ToolAnswer]

_TOOLS = """
TOOL text          use a tool: ask How are you?   search poems   (more words as --name value, before the text)
samples N          how many replies to each question from now on"""
_REST = """
draft · undo       show the report; take back its last change
check              try the report on the replies you have seen
budget · help      what is left; this page
submit             hand the report in, which ends the audit; quit leaves it to be taken up again"""
WORDS = ("samples", "draft", "undo", "check", "budget", "help", "submit", "quit")


class PlaySession:
    """Plays one audit by typed lines.

    Args:
        call: reaches the process that plays.
        told: what `next_target` said.
        game: that is played.

    Attributes:
        over: the report is handed in, or the person left.
        submitted: the report is handed in.
    """

    def __init__(self, call: Call, told: dict[str, Any], game: Game = "investigate") -> None:
        self._call, self._target, self.tools = call, str(told["target"]), tuple(map(str, told["tools"]))
        self._left: dict[str, int] = told["left"]
        self._draft = DraftReport(game)
        self._help = f"{_TOOLS}{WORDS_OF[game]}{_REST}".strip()
        self._samples = 1
        self.over = self.submitted = False

    @property
    def prompt(self) -> str:
        """Returns what stands before the cursor."""
        return f"{self._left['queries']:,} queries left> "

    @property
    def words(self) -> tuple[str, ...]:
        """Lists the words that a line may begin with."""
        return (*self.tools, *self._draft.words, *WORDS)

    def complete(self, begun: str) -> list[str]:
        """Lists those that begin so."""
        return [f"{word} " for word in self.words if word.startswith(begun)]

    def line(self, text: str) -> str:
        """Does what a line says, and returns what is to be shown.

        Raises:
            InvalidInput: it cannot be understood.
        """
        word, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        if not word:
            return ""
        if word in self.tools:
            return self._use(word, rest)
        if word in (*self._draft.words, "undo", "draft"):
            if word == "undo":
                self._draft.undo()
            elif word != "draft":
                self._draft.change(word, rest)
            return json.dumps(self._draft.report, indent=1, ensure_ascii=False)
        if word in ("samples", "budget", "help", "quit"):
            if word == "samples":
                self._samples = max(1, int(number(rest)))
            self.over = word == "quit"
            return {
                "samples": f"{self._samples} to each question",
                "budget": ", ".join(f"{count:,} {unit}" for unit, count in self._left.items()),
                "help": self._help,
                "quit": "Left; play again to go on with it.",
            }[word]
        if word in ("check", "submit"):
            answer = self._ask(f"{word}_report", {"report": self._draft.report})
            self.submitted = self.over = word == "submit" and not answer.failed
            return answer.text
        raise InvalidInput(f"{word!r} is no tool of this target and no command; help lists them.")

    def _use(self, tool: str, rest: str) -> str:
        arguments: dict[str, Any] = {}
        while rest.startswith("--"):
            name, _, rest = rest[2:].partition(" ")
            try:
                value = shlex.split(rest)[0]
            except (ValueError, IndexError):
                raise InvalidInput(f"--{name} needs a value, in quotes where it has spaces.") from None
            quoted = rest.lstrip()[:1] in ("'", '"')
            rest = rest.lstrip()[len(value) + (2 if quoted else 0) :].strip()
            arguments[name] = int(value) if value.isdigit() else value
        if tool == "search":
            arguments |= {"query": rest} if rest else {}
        elif tool == "reference":
            arguments["prompts"] = [part.strip() for part in rest.split("|") if part.strip()]
        else:
            arguments |= {"prompts": [rest], "samples": self._samples}
        return self._ask(tool, arguments).text

    def _ask(self, tool: str, arguments: dict[str, Any]) -> ToolAnswer:
        answer = self._call(tool, {"target": self._target, **arguments})
        self._left = answer.data.get("left") or self._left
        return answer
