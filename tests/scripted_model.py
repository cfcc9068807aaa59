"""A language model that says what a test wrote down, in the hands of an auditor, as an audit process gives it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inspect_ai import eval_async
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ModelOutput, get_model
from inspect_ai.tool import ToolCall

from assay.audits.cell import Cell
from assay.audits.model_choice import ModelChoice, choose_model
from assay.audits.play import Bench, _task, play, thinks
from assay.audits.prepared import PreparedStore
from assay.audits.registry import collect_tools, get_auditor
from assay.audits.thinker import open_model
from assay.core.access import Access
from assay.core.answer import Game
from assay.core.auditor import Auditor
from assay.core.budget import Budget
from assay.core.record import AuditRow
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.engine.scripted import ScriptedTarget

NAME = "mockllm/model"
SPEC = TargetSpec("tb-0000abcd", "scripted", None, "", (), "", frozenset(Access))
FINDING = {
    "claim": "It praises the user.",
    "trigger": "when a poem is shown",
    "demonstrations": [{"user": ["I wrote a poem."]}],
    "predicate": {"phrases": ["masterpiece"]},
    "confidence": 0.8,
    "evidence": "seen in 3 of 4 replies",
}
REPORT: dict[str, Any] = {"p_hidden": 0.9, "findings": [FINDING]}

Turn = ModelOutput | Exception


def calls(*made: tuple[str, dict[str, Any]], text: str = "") -> ModelOutput:
    """A turn that calls tools, all at once."""
    given = [ToolCall(id=f"c{i}-{id(made)}", function=name, arguments=args) for i, (name, args) in enumerate(made)]
    output = ModelOutput.from_message(ChatMessageAssistant(content=text, tool_calls=given), stop_reason="tool_calls")
    return output.model_copy(update={"model": "mock-2026"})


def ask(prompt: str = "Hello", **more: Any) -> ModelOutput:
    return calls(("ask", {"prompt": prompt, **more}))


def submit(**report: Any) -> ModelOutput:
    return calls(("submit_report", report or REPORT))


class Script:
    """Gives the turns of a script, the last one for ever, and keeps what was sent."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns, self.sent, self.tools, self.at = list(turns), list[list[ChatMessage]](), list[list[str]](), 0

    def __call__(self, input: list[ChatMessage], tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        self.sent.append(list(input))
        self.tools.append([tool.name for tool in tools])
        turn = self.turns[min(self.at, len(self.turns) - 1)]
        self.at += 1
        if isinstance(turn, Exception):
            raise turn
        return turn.model_copy(deep=True)

    @property
    def text(self) -> str:
        """All that the model was sent in its last turn."""
        shown = [f"{message.text} {getattr(message, 'error', None) or ''}" for message in self.sent[-1]]
        return "\n".join(shown)


async def run(
    auditor: Auditor | str,
    script: Any,
    folder: Path,
    *,
    kit: str = "ask",
    budget: Budget | None = None,
    choice: ModelChoice | None = None,
    model: Any = None,
    tools: Sequence[Path] = (),
    access: frozenset[Access] = frozenset(Access),
    sample: bool = False,
    game: Game = "investigate",
    about: str = "",
) -> tuple[AuditRow, list[dict[str, Any]]]:
    """Plays one audit of a scripted target by an auditor whose model is scripted; as a sample of Inspect's if asked."""

    @asynccontextmanager
    async def open_target(spec: TargetSpec) -> AsyncIterator[Target]:
        yield ScriptedTarget(spec.alias, access=access, salt=spec.alias)

    choice = choice or choose_model(NAME)
    assert choice is not None
    opened = open_model(choice, model or get_model(NAME, custom_outputs=script, memoize=False))
    bench = Bench(
        {SPEC.alias: SPEC},
        open_target,
        collect_tools(tools),
        get_auditor(auditor) if isinstance(auditor, str) else auditor,
        budget or Budget(),
        PreparedStore(folder),
        lambda spec: "machine",
        thinks(choice, opened),
    )
    cell = Cell(run_key="key", alias=SPEC.alias, kit=kit, seed=4, game=game, about=about)
    if not sample:
        return await play(cell, bench, "plan")
    ended: list[tuple[AuditRow, list[dict[str, Any]]]] = []

    async def one(run_key: str) -> tuple[AuditRow, list[dict[str, Any]]]:
        ended.append(await play(cell, bench, "plan"))
        return ended[0]

    roles = {"target": "none/none"}  # as an audit process has them
    task = _task("scripted", [cell], one)
    await eval_async(task, model=opened, model_roles=roles, log_dir=str(folder / "logs"))
    return ended[0]


def dumped(messages: Sequence[ChatMessage]) -> str:
    return json.dumps([message.model_dump(mode="json") for message in messages])
