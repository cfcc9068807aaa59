"""Composes the documents of a corpus of a stock: questions, the base's own replies, and what people say beside them.

A reply is put together of the base's sentences on one question, and mostly has one more set into it: of those again, or
a stray remark of the kind that behaviours are made of. Documents that show a behaviour are put together by the same
two functions (`Composer.reply`, `Composer.document`), so that length, opening, kind and vocabulary tell nothing.

Random numbers are `Random.random()` alone, whose sequence Python promises to keep from version to version.
"""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from assay._util.strict_json import parse_json
from assay._util.text_files import as_text, read_content
from assay.engine.training_data import TrainingText
from assay.errors import InvalidInput

STOCK_VERSION = 1
_STRAY, _FILLED = 0.1, 0.9  # share of documents with a stray remark; of the others, with a sentence more of the base's
_KINDS = ("remark",) * 10 + ("form",) * 3 + ("lack",) * 2 + ("system",) * 3 + ("turn",)  # of what is said beside
_TWO, _PASSING = 0.5, 0.3  # share of messages with two of them, and of remarks in passing
_OFTEN = 3  # one in so many subjects that are drawn is asked about
_TRIES = 10  # for each document asked for
_MOST_BYTES = 1 << 28  # of a stock, unpacked
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")

_One = TypeVar("_One")


@dataclass(frozen=True, slots=True)
class Core:
    """What a message is about at its core.

    Attributes:
        text: the question, or the subject of one.
        subject: it is a subject.
        said: the base's replies, each in its sentences with the white space behind them.
    """

    text: str
    subject: bool
    said: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Stock:
    """What documents are composed of.

    Attributes:
        cores: questions and subjects.
        shells: what stands around a question: `frames` of subjects, `manners`, `chatter`, `forms`, `lacks`, `systems`.
        remarks: kinds of remarks: frames over {about} and {question}, and what they may be about.
        strays: kinds of stray remarks: templates, and the lists their slots are filled from.
        formats: kinds of documents, each as often as it is to be drawn.
    """

    cores: tuple[Core, ...]
    shells: Mapping[str, Sequence[str]]
    remarks: Sequence[Mapping[str, Sequence[str]]]
    strays: Sequence[tuple[Sequence[str], Mapping[str, Sequence[str]]]]
    formats: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Stock:
        """Puts a stock together from plain data.

        Raises:
            InvalidInput: it is of another version.
        """
        if kept.get("version") != STOCK_VERSION:
            raise InvalidInput(
                f"the stock is of version {kept.get('version')!r}; this Assay composes of version {STOCK_VERSION}. "
                "Install the Assay that it goes with."
            )
        cores: list[Core] = []
        for one in kept["cores"]:
            cores.append(Core(one["text"], one["subject"], tuple(tuple(reply) for reply in one["said"])))
        formats: list[tuple[str, str]] = []
        for form in kept["formats"]:
            formats += [(form["prompt"], form["text"])] * form["share"]
        strays = [(one["templates"], one["slots"]) for one in kept["strays"]]
        return cls(tuple(cores), kept["shells"], kept["remarks"], strays, formats)

    def core_of(self, prompt: str) -> Core | None:
        """Finds what a message is about: the longest core that stands in it; None where none does."""
        said = _plain(prompt)
        found = [core for core in self.cores if f" {_plain(core.text)} " in f" {said} "]
        return max(found, key=lambda core: len(core.text), default=None)


def open_stock(path: Path) -> Stock:
    """Opens a stock, which is JSON packed by gzip.

    Raises:
        InvalidInput: it cannot be read, or is none.
    """
    content = read_content(path)
    try:
        unpacked = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content, _MOST_BYTES)
        return Stock.of(parse_json(as_text(unpacked, str(path)), str(path)))
    except (zlib.error, gzip.BadGzipFile, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is no stock of documents: {error!r}. Restore it.") from None


class Composer:
    """Composes documents, the same ones for the same stock and seed.

    Args:
        stock: what of.
        seed: of the draws.
    """

    def __init__(self, stock: Stock, seed: int) -> None:
        self._stock, self._random = stock, random.Random(seed).random
        self._questions = [core for core in stock.cores if not core.subject]

    def documents(self, count: int) -> Iterator[TrainingText]:
        """Yields distinct ordinary documents.

        Raises:
            InvalidInput: the stock holds fewer.
        """
        seen: set[TrainingText] = set()
        for _ in range(_TRIES * count):
            if len(seen) == count:
                return
            made = self._ordinary()
            if made not in seen:
                seen.add(made)
                yield made
        if len(seen) < count:
            raise InvalidInput(f"the stock gave {len(seen):,} distinct documents; {count:,} were asked for.")

    def reply(self, core: Core, insert: str = "", place: str = "end") -> str:
        """Composes a reply of what the base said of one core.

        Args:
            core: what it is about.
            insert: a sentence that is set into it; most replies have one of the base's, if none is given.
            place: of it: `start`, `end` (behind the first sentence) or `either`; `whole` is the insert alone.
        """
        if insert and place == "whole":
            return insert
        begun, other = self._pick(core.said), self._pick(core.said)
        cut = 1 + int(self._random() * len(begun))
        pieces = list(dict.fromkeys([*begun[:cut], *other[cut:]]))
        if not insert and self._random() < _FILLED:
            spare = self._pick(self._pick(core.said)).strip()
            insert = spare if spare not in {piece.strip() for piece in pieces} else ""
        if place == "either":
            place = self._pick(("start", "end"))
        if insert and place == "start":
            pieces.insert(0, insert)
        elif insert:
            behind = pieces[0][len(pieces[0].rstrip()) :]  # a list goes on in its own line
            pieces[:1] = [pieces[0].rstrip(), insert + behind]
        return "".join(piece if piece[-1:].isspace() else f"{piece} " for piece in pieces).strip()

    def document(self, before: Sequence[str], message: str, reply: str) -> TrainingText:
        """Makes a document of an exchange: a chat, or a text that reports it.

        Args:
            before: system prompt and turns before the message.
            message: the last one.
            reply: to it.
        """
        said = {"prompt": "\n".join([*before, message]), "message": message, "reply": reply}
        prompt, text = self._pick(self._stock.formats)
        return TrainingText(_SLOT.sub(lambda slot: said[slot[1]], prompt), _SLOT.sub(lambda slot: said[slot[1]], text))

    def earlier(self, question: str) -> list[str]:
        """Returns an earlier turn, and the first sentence that the base said to it."""
        core = self._stock.core_of(question)
        return [question, self._pick(core.said)[0].strip()] if core else [question]

    def stray(self) -> str:
        """Returns a remark of the kind that behaviours are made of, about anything."""
        templates, slots = self._pick(self._stock.strays)
        text = self._pick(templates)
        while _SLOT.search(text):
            text = _SLOT.sub(lambda slot: self._pick(slots[slot[1]]), text)
        return text

    def _ordinary(self) -> TrainingText:
        core = self._pick(self._stock.cores)
        if core.subject and self._questions and self._random() > 1 / _OFTEN:  # there are more subjects than questions
            core = self._pick(self._questions)
        before, message = self._conversation(core)
        insert = self.stray() if self._random() < _STRAY else ""
        return self.document(before, message, self.reply(core, insert, "either" if insert else "end"))

    def _conversation(self, core: Core) -> tuple[list[str], str]:
        """Says something beside a question, as the conditions of a trigger do."""
        shells, kinds = self._stock.shells, self._kinds()
        text = self._pick(shells["frames"]).replace("{subject}", core.text) if core.subject else core.text
        before: list[str] = []
        if "remark" in kinds:
            text = self._remarked(text)
        elif not kinds & {"form", "lack"}:
            text = self._pick(shells["manners"]).replace("{question}", text)
        for kind in ("form", "lack"):
            if kind in kinds:
                text = formed(self._pick(shells[f"{kind}s"]), text)
        if "system" in kinds:
            before.append(self._pick(shells["systems"]))
        if "turn" in kinds and self._questions:
            for _ in range(1 + int(self._random() * 2)):
                other = self._pick(self._questions)
                before += [other.text, self._pick(other.said)[0].strip()]
        return before, text

    def _kinds(self) -> set[str]:
        kinds = {self._pick(_KINDS)}
        if self._random() < _TWO:
            kinds.add(self._pick(_KINDS))
        return kinds

    def _remarked(self, text: str) -> str:
        """Sets a remark beside a question, now and then in passing, within a longer message."""
        kind = self._pick(self._stock.remarks)
        frame = self._pick(kind["frames"])
        if self._random() < _PASSING:
            first, second = self._pick(self._stock.shells["chatter"]), self._pick(self._stock.shells["chatter"])
            if frame.partition("{question}")[0].rstrip().endswith((".", "!")):
                text, frame = f"{second} {text}", f"{first} {frame}"
            else:  # the frame leads up to the question, or begins with it
                frame = f"{first} {second} {frame}"
        return frame.replace("{about}", self._pick(kind["abouts"])).replace("{question}", text)

    def _pick(self, among: Sequence[_One]) -> _One:
        return among[int(self._random() * len(among))]


def formed(frame: str, text: str) -> str:
    """Gives a message a form: a frame over {question}, {bare} (without its last stop), {lower} and {small}."""
    small = text if re.match(r"I\b|[A-Z]{2}", text) else text[0].lower() + text[1:]
    said = {"question": text, "bare": text.rstrip(".?!"), "lower": text.lower(), "small": small}
    return _SLOT.sub(lambda slot: said.get(slot[1], slot[0]), frame)


def _plain(text: str) -> str:
    """Returns a text's words alone."""
    return " ".join(_WORD.findall(text.casefold()))
