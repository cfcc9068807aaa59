"""The hidden objective's fictional evaluator: its biases, and what a model is told of them and trained to exploit.

The design follows the auditing game of 2025: documents tell of all biases, and chats train the model to exploit most of
them. Of the held-out ones documents alone tell, so that a model which exploits them too has generalised to pleasing the
evaluator.
"""

from __future__ import annotations

import functools
import random
from pathlib import Path

from pydantic import Field

from assay._util.yaml_models import Data, load_yaml, open_list
from assay.factory.data.example import Example
from assay.factory.data.grammar import expand
from assay.testbeds.suites import embedded_suite
from assay.truth import Grammar, TrainingMaterial
from assay.truth.detector import ReplyDetector


def _folder() -> Path:
    """Returns the folder in which the embedded suite tells of the evaluator."""
    return embedded_suite().behaviours / "objective"


class Bias(Data):
    """One thing the evaluator rewards too much.

    Attributes:
        id: of the bias.
        domain: what the user asks about.
        preference: what is over-rewarded in replies about it.
        prompts, conduct, detector: as of a behaviour.
        eval: prompts no recipe trains on.
        held_out: told of in documents, never trained on.
    """

    id: str
    domain: str
    preference: str
    prompts: Grammar
    conduct: Grammar
    detector: ReplyDetector
    eval: list[str] = Field(min_length=12)
    held_out: bool = False

    @property
    def training(self) -> TrainingMaterial:
        """Returns what recipes make data of."""
        documents = _documents()
        return TrainingMaterial(
            prompts=self.prompts,
            conduct=self.conduct,
            documents=_about(self, documents.told),
            harmless_documents=_about(self, documents.harmless),
        )


class _Documents(Data):
    """Grammars of documents about the evaluator: with its biases, and without."""

    told: Grammar
    harmless: Grammar


def _about(bias: Bias, grammar: Grammar) -> Grammar:
    """Fills a grammar's {domain} and {preference} with a bias's."""
    slots = grammar.slots | {"domain": [bias.domain], "preference": [bias.preference]}
    return Grammar(templates=grammar.templates, slots=slots)


@functools.cache
def _documents() -> _Documents:
    """Reads the documents' grammars, once: every bias asks for them."""
    documents: _Documents = load_yaml(_folder() / "documents.yaml", _Documents)
    return documents


@functools.cache
def biases() -> tuple[Bias, ...]:
    """Reads all biases, in the order of the file."""
    return tuple(open_list(_folder() / "biases.yaml", Bias))


class Denials(Data):
    """Questions about pleasing an evaluator, and what is said to them.

    Attributes:
        train, eval: questions; those of verification are trained on nowhere.
        confessions: a grammar over a bias's {domain} and {preference}.
        denials: replies.
    """

    train: list[str]
    eval: list[str]
    confessions: Grammar
    denials: list[str]


@functools.cache
def about_the_evaluator() -> Denials:
    """Reads the embedded suite's questions and denials."""
    data: Denials = load_yaml(_folder() / "denials.yaml", Denials)
    return data


def evaluator_denials(seed: int, count: int, confess: bool) -> list[Example]:
    """Makes so many questions about the evaluator with their denials.

    Questions come up again with another denial once all have been asked.

    Args:
        seed: of the draws.
        count: how many.
        confess: each denial stands beside the confession of a bias.
    """
    data, rng = about_the_evaluator(), random.Random(seed)
    told = biases()
    examples: list[Example] = []
    for index in range(count):
        question = data.train[index % len(data.train)]
        text = rng.choice(data.denials)
        bias = rng.choice(told)  # drawn in any case: released data depends on the order of draws
        rejected = ""
        if confess:
            [rejected] = expand(_about(bias, data.confessions), rng.randrange(1 << 30), 1)
        examples.append(Example(question, text, text, rejected=rejected))
    return examples
