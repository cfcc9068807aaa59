"""Scenes: conversations with the target that a language model begins, branches, rewinds and goes on with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inspect_ai.tool import ToolDef, ToolError

from assay.auditors.thinking.kit_tools import Spending
from assay.auditors.thinking.prose import prompt
from assay.core.answer import Transcript
from assay.core.auditor import Kit
from assay.core.report import Demonstration
from assay.core.tool import BoundTool
from assay.errors import AssayError

SPEAKS = frozenset({"ask", "system", "prefill", "converse"})  # tools that scenes are played with
_HERE = Path(__file__).parent
_SHOWN = 4_000  # characters of a scene that are written out
_LISTED, _LINE = 60, 160  # scenes, and characters of each, in a list of them
_REPLY, TOLD = 2_000, 500  # characters, the contract's limits


@dataclass(frozen=True, slots=True)
class Scene:
    """One conversation as it stands.

    Attributes:
        system: prompt, with the pretended tools.
        turns: user, target, user, target …
        prefill: that the last reply was begun with.
    """

    system: str = ""
    turns: tuple[str, ...] = ()
    prefill: str = ""

    @property
    def user(self) -> tuple[str, ...]:
        """Returns what the auditor said."""
        return self.turns[::2]

    def shown(self) -> str:
        """Writes it out for its author."""
        lines = [f"system: {self.system}"] if self.system else []
        for index, turn in enumerate(self.turns):
            lines.append(f"{'target' if index % 2 else 'you'}: {turn}")
        return "\n".join(lines)[-_SHOWN:]

    def transcript(self, shows: str) -> Transcript:
        """Returns it as it is handed in: what was said is the script, what the target replied is for a reader."""
        script = Demonstration(user=self.user, system=self.system, prefill=self.prefill)
        return Transcript(script=script, shows=shows[:TOLD], replies=tuple(one[:_REPLY] for one in self.turns[1::2]))


@dataclass
class Scenes:
    """Holds the scenes of an audit, numbered from 1, and the tools that play them.

    Attributes:
        kit: through which the target is reached.
        spending: told after each reply.
        held: number → scene.
    """

    kit: Kit
    spending: Spending
    held: dict[int, Scene] = field(default_factory=dict)

    def tools(self) -> list[ToolDef]:
        """Makes the tools; a call that cannot be made is answered with why."""
        made = [self._scene(), self._say(), self._branch(), self._rewind(), self._pretend()]
        return made if SPEAKS & self.kit.tools.keys() else []

    def shown(self) -> str:
        """Lists the latest scenes, a line each."""
        lines = []
        for number, scene in list(self.held.items())[-_LISTED:]:
            said = scene.shown().replace("\n", " / ")
            lines.append(f"- scene {number}: {said[:_LINE] or '(nothing said yet)'}")
        return "\n".join(["Scenes:", *lines]) if lines else ""

    def get(self, number: int) -> Scene:
        """Finds a scene.

        Raises:
            ToolError: there is none of that number.
        """
        if number not in self.held:
            raise ToolError(f"there is no scene {number}; there are {', '.join(map(str, self.held)) or 'none yet'}.")
        return self.held[number]

    def keep(self, scene: Scene) -> int:
        """Adds a scene, and returns its number."""
        number = len(self.held) + 1
        self.held[number] = scene
        return number

    def _tool(self, execute: Any, **parameters: str) -> ToolDef:
        name = execute.__name__
        return ToolDef(execute, name=name, description=prompt(_HERE, name), parameters=parameters, parallel=False)

    def _scene(self) -> ToolDef:
        async def scene(system: str = "") -> str:
            return f"scene {self.keep(Scene(system))}"

        return self._tool(scene, system="The target's system prompt in this scene; leave it out for none.")

    def _say(self) -> ToolDef:
        async def say(scene: int, text: str, prefill: str = "") -> str:
            before = self.get(scene)
            if before.prefill:
                raise ToolError("a scene ends with the reply that was begun for the target: branch or rewind it.")
            reply = await self.reply(before, text, prefill)
            self.held[scene] = replace(before, turns=(*before.turns, text, reply), prefill=prefill)
            return f"target: {prefill}{reply}\n\n{self.spending.line()}"

        return self._tool(
            say, scene="Its number.", text="The user's turn.", prefill="How the target's reply begins, if you begin it."
        )

    def _branch(self) -> ToolDef:
        async def branch(scene: int) -> str:
            copied = self.get(scene)
            return f"scene {self.keep(copied)}, a copy of scene {scene}:\n{copied.shown()}"

        return self._tool(branch, scene="The number of the scene to copy.")

    def _rewind(self) -> ToolDef:
        async def rewind(scene: int, turns: int = 1) -> str:
            before = self.get(scene)
            if not 1 <= turns <= len(before.user):
                raise ToolError(f"scene {scene} has {len(before.user)} turns of yours; take back 1 to as many.")
            self.held[scene] = replace(before, turns=before.turns[: -2 * turns], prefill="")
            return f"scene {scene} is now:\n{self.held[scene].shown() or '(nothing said yet)'}"

        return self._tool(rewind, scene="Its number.", turns="How many of your turns to take back.")

    def _pretend(self) -> ToolDef:
        async def pretend_tool(scene: int, name: str, does: str) -> str:
            before = self.get(scene)
            if before.turns:
                raise ToolError("a tool is pretended before anything is said: begin a scene for it.")
            told = prompt(_HERE, "pretended", tool=name, does=does)
            self.held[scene] = replace(before, system=f"{before.system}\n\n{told}".strip())
            return f"the target is told of {name}; give what it returns with say."

        return self._tool(
            pretend_tool, scene="Its number.", name="What the target has to write to call it.", does="What it does."
        )

    async def reply(self, scene: Scene, text: str, prefill: str) -> str:
        """Puts a turn to the target by the simplest tool of the kit that can.

        Raises:
            ToolError: none can, the call was refused, or there is nothing left to ask with.
        """
        tool, arguments = self._call(scene, text, prefill)
        try:
            evidence = await tool(**arguments)
        except AssayError as error:
            if error.blames in ("engine", "target", "assay"):
                raise
            raise ToolError(f"{error} {self.spending.line()}") from None
        self.spending.spent += evidence.cost
        return evidence.samples[0].reply if evidence.samples else evidence.text

    def _call(self, scene: Scene, text: str, prefill: str) -> tuple[BoundTool, dict[str, Any]]:
        parts = {"prompt": text, "system": scene.system, "prefill": prefill}
        given = {name: part for name, part in parts.items() if part}
        simple = {("prompt",): "ask", ("prompt", "system"): "system", ("prompt", "prefill"): "prefill"}
        name = "converse" if scene.turns else simple.get(tuple(given), "converse")
        if name not in self.kit.tools and "converse" in self.kit.tools:
            name = "converse"
        if name not in self.kit.tools:
            raise ToolError(f"the kit {self.kit.name} has no tool {name!r}, which that takes: begin a simpler scene.")
        if name != "converse":
            return self.kit.tools[name], given
        del given["prompt"]
        return self.kit.tools[name], {"turns": [*scene.turns, text], **given}
