"""The target as a model of Inspect's, for agents that speak to one: each reply comes through a tool of the kit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from assay.auditors.red_teamer.scenes import Scene, Scenes
from assay.errors import AssayError

_NAME = "target"  # all that is told of its name


class KitModel(ModelAPI):
    """Replies by the kit's tools, and keeps each conversation as a scene.

    Args:
        scenes: of the audit.

    Attributes:
        fault: that no other turn can mend, raised when the agent has ended; agents take errors for answers.
    """

    def __init__(self, scenes: Scenes) -> None:
        super().__init__(model_name=_NAME)
        self._scenes = scenes
        self.fault: AssayError | None = None

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Puts a conversation to the target. It is told of no tools: organisms are trained on none."""
        before, text, prefill = _read(input)
        try:
            reply = await self._scenes.reply(before, text, prefill)
        except AssayError as error:
            self.fault = error
            raise
        played = replace(before, turns=(*before.turns, text, reply), prefill=prefill)
        held = self._scenes.held
        if before.turns and before in held.values():  # it goes on; a branch of it is a scene of its own
            held[next(number for number, scene in held.items() if scene == before)] = played
        else:
            self._scenes.keep(played)
        return ModelOutput.from_content(_NAME, reply)


@modelapi(name="assay-kit")  # Inspect takes no model whose provider it knows no name of
def _named() -> type[ModelAPI]:
    return KitModel


def kit_model(scenes: Scenes) -> tuple[Model, KitModel]:
    """Makes Inspect's model of a kit, and returns its provider beside it."""
    named: Any = _named  # whose decorator makes instances of the class
    api: KitModel = named(scenes)
    return Model(api, GenerateConfig()), api


def _read(input: Sequence[ChatMessage]) -> tuple[Scene, str, str]:
    """Reads a conversation: what was said before, the user's turn, and what the reply begins with."""
    system = "\n\n".join(message.text for message in input if message.role == "system")
    said = [message for message in input if message.role != "system"]
    prefill = said.pop().text if said and said[-1].role == "assistant" else ""
    *turns, text = [message.text for message in said]
    return Scene(system, tuple(turns)), text, prefill
