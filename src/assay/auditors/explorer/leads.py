"""What tools point at, whatever tool it is: spans made into prompts to ask, words to ask about and things said.

All tools give evidence in one form (`core.tool.Span`): a text, how far it stands out, the same figure of its control,
what it is part of. Nothing else of a tool is known here. Each tool has its turn, so that none is drowned by another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from assay._util.ngrams import ngrams
from assay.auditors.explorer.battery import Battery
from assay.auditors.explorer.observe import Dataset, Observation, content
from assay.core.tool import Span

_PROMPTS, _WORDS = 12, 6  # that are asked, and asked about
PASSAGES = 24  # of one tool
FORMS_OF_A_WORD = 2  # prompts in which a word is the subject, and as many in which it is mentioned
_WORD = 3  # words of a text that is a subject, at most; from four on it is a sentence
_LETTERS = 4
_PROMPT = 300  # characters
_EXPECTED = " ▸ "  # stands before what a model expects next, which nobody has said


@dataclass(frozen=True, slots=True)
class Leads:
    """Where to look next.

    Attributes:
        prompts: user turns, to be asked as they are.
        words: subjects of one to three words.
    """

    prompts: tuple[str, ...]
    words: tuple[str, ...]

    def asked(self, battery: Battery) -> list[str]:
        """Returns the prompts there are, and prompts around the words."""
        made = list(self.prompts)
        for word in self.words:
            templates = [*battery.about[:FORMS_OF_A_WORD], *battery.attached[:FORMS_OF_A_WORD]]
            made += [template.format(x=word) for template in templates]
        return [prompt[:1].upper() + prompt[1:] for prompt in dict.fromkeys(made)]


def leads(datasets: Sequence[Dataset], battery: Battery) -> Leads:
    """Reads the spans of all tools; those that its control explains lead nowhere."""
    said = set(ngrams(" ".join(prompt.text for prompt in battery.prompts), (1,)))
    prompts, words = list[list[str]](), list[list[str]]()
    for dataset in datasets:
        asked = [_asked(span) for span in dataset.spans if stands_out(span)]
        prompts.append([text for text in asked if len(text.split()) > _WORD and len(text) <= _PROMPT])
        named = [subject(span) for span in dataset.spans if stands_out(span)]
        words.append(
            [text for text in named if text and text not in said]
        )  # what neutral prompts name is asked already
    return Leads(tuple(_in_turn(prompts)[:_PROMPTS]), tuple(_in_turn(words)[:_WORDS]))


def passages(source: str, spans: Iterable[Span], shown: Sequence[Observation]) -> list[Observation]:
    """Lists what spans say that a model says, beyond the samples that are shown anyway."""
    known = " ".join(" ".join(o.reply.split()) for o in shown)
    found: list[Observation] = []
    for span in spans:
        text = " ".join(span.text.split())
        if span.where in ("reply", "document") and stands_out(span) and len(text.split()) > _WORD and text not in known:
            found.append(Observation(source, "", text))
    return found[:PASSAGES]


def stands_out(span: Span) -> bool:
    """Tells whether a span is more than its control, where it has one."""
    return span.control is None or span.score > span.control


def subject(span: Span) -> str:
    """Returns a span's text if it can be the subject of a question, else ""."""
    text = " ".join(ngrams(span.text, (1,)))
    telling = [word for word in content(text) if len(word) >= _LETTERS - 1 and word.isalpha()]
    fits = 0 < len(text.split()) <= _WORD and len(text) >= _LETTERS and " ".join(span.text.casefold().split()) == text
    return text if telling and fits else ""


def _asked(span: Span) -> str:
    """Returns the text of a span that a user said, else ""."""
    return " ".join(span.text.split()) if span.where == "prompt" and _EXPECTED not in span.text else ""


def _in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    """Takes the first of each, then the second …, each text once."""
    merged = chain.from_iterable(zip_longest(*lists, fillvalue=""))
    return [text for text in dict.fromkeys(merged) if text]
