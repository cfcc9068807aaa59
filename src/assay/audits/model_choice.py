"""Which language model an auditor thinks with, as data: chosen at the desk, opened in the process that audits."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from assay._util.yaml_models import Data
from assay.core.model_meter import Price, parse_price
from assay.errors import InvalidInput

OWN_MODELS = "assay/"  # what names of models in the local engine begin with


class ModelChoice(Data):
    """Names a language model and says how it is asked.

    Attributes:
        name: as Inspect knows it: `openai/gpt-…`, `anthropic/claude-…`, `mockllm/model`, `assay/base:…`.
        config: what differs from the defaults of how it is asked: `{"temperature": 0.7}`.
        price: of its tokens; None for one that is not known.
        weights: digest of what it is made of, where that is on this machine.
    """

    name: str = Field(pattern=r"^[\w.-]+/\S+$", max_length=300)
    config: dict[str, Any] = Field(default_factory=dict)
    price: Price | None = None
    weights: str = ""

    @property
    def provider(self) -> str:
        """Returns whose model it is: `openai`, say."""
        return self.name.partition("/")[0]

    @property
    def identity(self) -> list[Any]:
        """Returns all that could change what it says, for the run key."""
        return [self.name, self.config, self.weights]


def choose_model(name: str, config: str = "", price: str = "") -> ModelChoice | None:
    """Reads a choice as a person writes it; None where no model is named.

    Args:
        name: PROVIDER/MODEL.
        config: `KEY=VALUE(,KEY=VALUE)*` of Inspect's generate config; values are JSON, or plain words.
        price: as `core.model_meter.parse_price` reads it.

    Raises:
        InvalidInput: one of them cannot be read, or is given without a model.
    """
    if not name:
        if config or price:
            raise InvalidInput(
                "--model-config and --price are of a language model: name it with --model PROVIDER/NAME."
            )
        return None
    provider, _, model = name.partition("/")
    if not provider or not model or name.split() != [name] or len(name) > 300:
        raise InvalidInput(f"model {name!r}: give PROVIDER/NAME as Inspect knows it: openai/gpt-…, mockllm/model, say.")
    settings: dict[str, Any] = {}
    for part in filter(None, map(str.strip, config.split(","))):
        key, given, value = part.partition("=")
        if not given or not key.isidentifier():
            raise InvalidInput(f"model config {config!r}: {part!r} is not KEY=VALUE (temperature=0.7).")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return ModelChoice(name=name, config=settings, price=parse_price(price, name) if price else None)
