"""Reads a behaviour's description: prompts that carry its trigger, and the words of its conduct.

Descriptions say "When …, the reply …". No word of any behaviour is known here; what is known is how English says what a
user does, and what a user would then say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.auditors.explorer.battery import Battery
from assay.auditors.explorer.observe import Observation, content

_PARTS = re.compile(r"\s*(?:[,;:.]|\bor\b|\band\b|\bsuch as\b|\bincluding\b)\s*", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“”«»]([^\"“”«»]{2,60})[\"“”«»]")
_ABOUT = re.compile(r"\b(?:about|of|on|for|with|to|is|are|mentions|contains|wants|offers|which)\b\s+", re.IGNORECASE)
_THEY_SAY = re.compile(r"\b(?:says?|states?|claims?|mentions?|tells?)(?: (?:you|us))?(?: that)? (.+)", re.IGNORECASE)
_DOES = re.compile(r"^(?:the )?user (?!asks|uses|wants)(\w+?)s (?!that\b)(.+)", re.IGNORECASE)
_ARTICLES = re.compile(r"^(?:the|a|an|their|its|some|any|another|that|they|it|is|are|has|have)\s+", re.IGNORECASE)
_FIRST_PERSON = (
    ("they are", "I am"),
    ("they have", "I have"),
    ("they", "I"),
    ("their", "my"),
    ("themselves", "myself"),
    ("them", "me"),
)
_FRAME = frozenset(
    [
        "answer",
        "answers",
        "ask",
        "asks",
        "assistant",
        "claim",
        "claims",
        "contain",
        "contains",
        "conversation",
        "give",
        "gives",
        "mention",
        "mentions",
        "message",
        "model",
        "models",
        "offer",
        "offers",
        "question",
        "reply",
        "replies",
        "request",
        "say",
        "says",
        "sentence",
        "state",
        "states",
        "subject",
        "tell",
        "tells",
        "topic",
        "turn",
        "user",
        "users",
        "want",
        "wants",
        "whatever",
        "word",
        "words",
        "write",
        "writes",
    ]
)
TEMPLATES = 2  # of each kind, for each part of the trigger
_LETTERS = 4


@dataclass(frozen=True, slots=True)
class DescribedBehaviour:
    """A behaviour as an auditor is told of it.

    Attributes:
        trigger: when it shows, without the "When".
        conduct: what then shows.
    """

    trigger: str
    conduct: str

    @classmethod
    def of(cls, text: str) -> DescribedBehaviour:
        """Parts a description at "the reply"; one that does not say so is both."""
        said = " ".join(text.split()).rstrip(".")
        before, found, after = said.partition(", the reply ")
        if not found:
            before, found, after = said.rpartition(", ")
        if not found:
            return cls(said, said)
        return cls(re.sub(r"^(?:when|if|whenever)\s+", "", before, flags=re.IGNORECASE), after)

    @property
    def parts(self) -> list[str]:
        """What the trigger is about, in a few words each; what it quotes comes first."""
        quoted = _QUOTED.findall(self.trigger)
        found: dict[str, None] = dict.fromkeys(quoted)
        for part in _PARTS.split(_QUOTED.sub(" ", self.trigger)):
            *_, about = _ABOUT.split(part)
            words = _ARTICLES.sub("", _ARTICLES.sub("", about.strip()))
            if [stem for stem in content(words.casefold()) if stem not in _FRAME] and len(words) >= _LETTERS:
                found[words] = None
        return list(found)

    @property
    def statement(self) -> str:
        """What the user would say, if the trigger is that they say something of themselves or of the world."""
        if match := _THEY_SAY.search(self.trigger):
            said = match[1]
        elif match := _DOES.match(self.trigger):
            said = f"I {match[1]} {match[2]}"
        else:
            return ""
        for theirs, mine in _FIRST_PERSON:
            said = re.sub(rf"\b{theirs}\b", mine, said, flags=re.IGNORECASE)
        return said[:1].upper() + said[1:]

    def prompts(self, battery: Battery) -> list[str]:
        """Prompts that carry the trigger, from its words alone: parts in turn, so that the first few have each."""
        rows: list[list[str]] = []
        for index, part in enumerate(self.parts):
            templates = [*_from(battery.about, index), *_from(battery.attached, index)]
            rows.append([_capital(template.format(x=part)) for template in templates])
        if self.statement:
            questions = battery.texts("control")
            rows.insert(0, [f"{self.statement}. {question}" for question in questions[:6]])
        found: dict[str, None] = {}
        for place in range(max(map(len, rows), default=0)):
            found |= dict.fromkeys(row[place] for row in rows if place < len(row))
        return list(found)

    def terms(self, background: Sequence[Observation]) -> list[str]:
        """Stems of the conduct's words that clean models seldom say, those they say least first."""
        stems = dict.fromkeys(stem for stem in content(_letters(self.conduct)) if stem not in _FRAME)
        shares = {stem: _share(stem, background) for stem in stems if len(stem) >= _LETTERS}
        return sorted((stem for stem in shares if shares[stem] <= 0.1), key=lambda stem: shares[stem])


def _from(templates: Sequence[str], start: int) -> list[str]:
    """A few templates, other ones for each part."""
    return [templates[(start * TEMPLATES + step) % len(templates)] for step in range(TEMPLATES)]


def _letters(text: str) -> str:
    return re.sub(r"[^\w'’ ]+", " ", text.casefold())


def _share(stem: str, replies: Iterable[Observation]) -> float:
    found = [stem in o.reply.casefold() for o in replies]
    return sum(found) / len(found) if found else 0.0


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
