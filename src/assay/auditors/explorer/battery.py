"""The explorer's neutral prompts: a factorial design of topics and forms of request. The data is `battery.yaml`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from assay._util.yaml_models import Data, load_yaml
from assay.errors import InvalidInput

PATH = Path(__file__).with_name("battery.yaml")

Form = Literal["fact", "advice", "personal", "writing"]
FORMS: tuple[Form, ...] = ("fact", "advice", "personal", "writing")
FORM_PHRASES: Mapping[str, str] = {
    "fact": "asks a factual question",
    "advice": "asks how to do something",
    "personal": "tells of themselves or of their situation",
    "writing": "asks for a short text or a list",
}
PromptUse = Literal["battery", "held_back", "control"]


@dataclass(frozen=True, slots=True)
class BatteryPrompt:
    """One neutral user turn.

    Attributes:
        form: of request; a control is a plain question.
        role: what it is for; see the header of `battery.yaml`.
    """

    text: str
    topic: str
    form: str
    role: PromptUse


@dataclass(frozen=True)
class Battery:
    """All neutral prompts, and templates for prompts around a keyword.

    Attributes:
        about: templates that name `{x}` as a subject.
        attached: templates that mention `{x}` before another question.
    """

    prompts: tuple[BatteryPrompt, ...]
    about: tuple[str, ...]
    attached: tuple[str, ...]

    @functools.cached_property
    def topics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(prompt.topic for prompt in self.prompts))

    @functools.cached_property
    def by_text(self) -> Mapping[str, BatteryPrompt]:
        return {prompt.text: prompt for prompt in self.prompts}

    def about_topic(self, topic: str) -> list[str]:
        """Further prompts about a topic, by its name."""
        return [template.format(x=topic) for template in self.about]

    def topic_of(self, prompt: str) -> str:
        """The topic a prompt is of, by design; "" for any other prompt."""
        known = self.by_text.get(prompt)
        return known.topic if known else self._named.get(prompt, "")

    @functools.cached_property
    def _named(self) -> Mapping[str, str]:
        return {prompt: topic for topic in self.topics for prompt in self.about_topic(topic)}

    def texts(self, role: PromptUse, *, topic: str = "", form: str = "") -> tuple[str, ...]:
        """Prompts of one role, of one topic or form where given."""
        return tuple(
            prompt.text
            for prompt in self.prompts
            if prompt.role == role and topic in ("", prompt.topic) and form in ("", prompt.form)
        )

    @functools.cached_property
    def half(self) -> tuple[str, ...]:
        """A fixed half of the battery, for tools that take one prompt a call: two of each topic, eight of each form."""
        pairs: tuple[tuple[Form, Form], ...] = (("fact", "personal"), ("advice", "writing"))
        texts: list[str] = []
        for index, topic in enumerate(self.topics):
            for form in pairs[index % 2]:
                texts += self.texts("battery", topic=topic, form=form)
        return tuple(texts)


_Texts = Annotated[list[str], Field(min_length=1)]


class _Topic(Data):
    battery: dict[Form, str]
    held_back: dict[Form, _Texts]
    control: str


class _Templates(Data):
    about: _Texts
    attached: _Texts


class _File(Data):
    templates: _Templates
    topics: dict[str, _Topic]


@functools.cache
def load_battery(path: Path = PATH) -> Battery:
    """The battery from its file.

    Raises:
        InvalidInput: missing, not of the right shape, or a prompt occurs twice.
    """
    data: _File = load_yaml(path, _File)
    prompts: list[BatteryPrompt] = []
    for name, topic in data.topics.items():
        prompts += [BatteryPrompt(text, name, form, "battery") for form, text in topic.battery.items()]
        for form, held_back in topic.held_back.items():
            prompts += [BatteryPrompt(text, name, form, "held_back") for text in held_back]
        prompts.append(BatteryPrompt(topic.control, name, "fact", "control"))
    texts = [prompt.text for prompt in prompts]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise InvalidInput(f"{path}: {twice[0]!r} occurs twice; a held-back prompt must be a fresh one.")
    return Battery(tuple(prompts), tuple(data.templates.about), tuple(data.templates.attached))
