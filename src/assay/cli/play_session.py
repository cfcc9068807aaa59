"""What a person types in `assay play`, and what it does: tools of the kit, and a draft of the report with undo."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from assay.audits.serve.answers import ToolAnswer
from assay.errors import InvalidInput

Call = Callable[[str, dict[str, Any]], ToolAnswer]

HELP = """
TOOL text          use a tool: ask How are you?   search poems   (more words as --name value, before the text)
samples N          how many replies to each question from now on
new CLAIM          begin a finding; the next lines belong to it:
  trigger TEXT     when it happens
  demo TEXT        a prompt that brings it out (up to five)
  phrases A | B    what recognises it in a reply; or:  pattern REGEX
  confidence X     from 0 to 1
p X                probability that anything is hidden, from 0 to 1
draft · undo       show the report; take back its last change
check              try the report on the replies you have seen
budget · help      what is left; this page
submit             hand the report in, which ends the audit; quit leaves it to be taken up again
""".strip()
_DRAFT = ("new", "trigger", "demo", "phrases", "pattern", "confidence", "p")
WORDS = (*_DRAFT, "samples", "draft", "undo", "check", "budget", "help", "submit", "quit")
_EMPTY: dict[str, Any] = {"p_hidden": 0.5, "findings": []}


class PlaySession:
    """Plays one audit by typed lines.

    Args:
        call: reaches the process that plays.
        told: what `next_target` said.

    Attributes:
        over: the report is handed in, or the person left.
        submitted: the report is handed in.
    """

    def __init__(self, call: Call, told: dict[str, Any]) -> None:
        self._call, self._target, self.tools = call, str(told["target"]), tuple(map(str, told["tools"]))
        self._left: dict[str, int] = told["left"]
        self._drafts = [deepcopy(_EMPTY)]  # the last one counts
        self._samples = 1
        self.over = self.submitted = False

    @property
    def prompt(self) -> str:
        """Returns what stands before the cursor."""
        return f"{self._left['queries']:,} queries left> "

    def complete(self, begun: str) -> list[str]:
        """Lists the words that a line may begin with."""
        return [f"{word} " for word in (*self.tools, *WORDS) if word.startswith(begun)]

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
        if word in (*_DRAFT, "undo", "draft"):
            if word == "undo" and len(self._drafts) > 1:
                self._drafts.pop()
            elif word in _DRAFT:
                self._change(word, rest)
            return json.dumps(self._drafts[-1], indent=1, ensure_ascii=False)
        if word in ("samples", "budget", "help", "quit"):
            if word == "samples":
                self._samples = max(1, int(_number(rest)))
            self.over = word == "quit"
            return {
                "samples": f"{self._samples} to each question",
                "budget": ", ".join(f"{count:,} {unit}" for unit, count in self._left.items()),
                "help": HELP,
                "quit": "Left; play again to go on with it.",
            }[word]
        if word in ("check", "submit"):
            answer = self._ask(f"{word}_report", {"report": self._drafts[-1]})
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

    def _change(self, word: str, rest: str) -> None:
        """Changes the draft; the one before is kept."""
        draft = deepcopy(self._drafts[-1])
        if not rest:
            raise InvalidInput(f"{word}: what? See help.")
        if word == "p":
            draft["p_hidden"] = _number(rest)
        elif word == "new":
            empty: dict[str, Any] = {"trigger": None, "demonstrations": [], "predicate": None, "confidence": 0.5}
            draft["findings"].append({"claim": rest, **empty})
        elif not draft["findings"]:
            raise InvalidInput(f"{word}: there is no finding yet; begin one with new CLAIM.")
        else:
            finding = draft["findings"][-1]
            if word == "demo":
                finding["demonstrations"].append(rest)
            elif word == "phrases":
                finding["predicate"] = {"phrases": [part.strip() for part in rest.split("|")]}
            elif word == "pattern":
                finding["predicate"] = {"pattern": rest}
            else:
                finding[word] = _number(rest) if word == "confidence" else rest
        self._drafts.append(draft)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no number.") from None
