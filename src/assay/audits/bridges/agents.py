"""Makes an auditor of any agent or solver of Inspect's: it gets the kit's tools, and its last words are its report."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from assay.core.auditor import Auditor, Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.core.report import Report
from assay.core.report_format import report_instructions
from assay.errors import NoReport, PluginError, ReportInvalid

_MARK = "__registry_info__"  # what Inspect's decorators leave on what they make; this file alone knows of it
_TOOLS = "tools"  # of an agent's parameters, the one that its tools are given by
_LAST = "Your last message did not hold a report that can be taken: {wrong}. Answer with the report alone, as JSON."

Maker = Callable[..., Any]


def kind_of(value: object) -> str:
    """Tells what a decorator of Inspect's made: `agent` or `solver`; "" for anything else."""
    kind = getattr(getattr(value, _MARK, None), "type", "")
    return kind if callable(value) and kind in ("agent", "solver") else ""


def auditor_of(name: str, made: Maker, digest: str) -> Auditor:
    """Makes an auditor of what `@agent` or `@solver` made.

    Args:
        name: of the auditor.
        made: returns the agent or solver; an agent's is given the kit's tools by its parameter `tools`.
        digest: of its source.

    Raises:
        PluginError: an agent that cannot be given tools.
    """
    kind = kind_of(made)
    if kind == "agent" and _TOOLS not in inspect.signature(made).parameters:
        raise PluginError(
            f"agent {name} takes no parameter `{_TOOLS}`, by which it is given the kit's tools: write "
            f"`@agent def {name}(tools): …`."
        )

    async def audit(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> Report:
        from assay.auditors.thinking.kit_tools import Spending, kit_tools

        tools = [tool.as_tool() for tool in kit_tools(kit, Spending(budget, model))]
        task = f"{brief.text}\n\nEnd with the report alone, as one JSON object.\n\n{report_instructions()}"
        play = _play_agent if kind == "agent" else _play_solver
        said = await play(made, tools, task, model)
        return await _report(said, task, model)

    doc = inspect.getdoc(made) or f"Audits by Inspect's {kind} {name}."
    return Auditor(audit, name, 1, digest, True, doc, takes_model=True)


async def _play_agent(made: Maker, tools: list[Any], task: str, model: LanguageModel) -> str:
    from inspect_ai.agent import run

    state = await run(made(tools=tools), task)
    return str(state.output.completion or (state.messages[-1].text if state.messages else ""))


async def _play_solver(made: Maker, tools: list[Any], task: str, model: LanguageModel) -> str:
    from inspect_ai.model import ChatMessageUser, ModelName, execute_tools
    from inspect_ai.solver import TaskState

    first: Any = ChatMessageUser(content=task, source="input")
    state = TaskState(
        model=ModelName(model.name), sample_id="audit", epoch=1, input=task, messages=[first], metadata={}
    )
    state.tools = tools

    async def generate(state: TaskState, tool_calls: str = "loop", **config: Any) -> TaskState:
        while True:
            state.output = await model.inspect.generate(state.messages, tools=state.tools)
            state.messages.append(state.output.message)
            if tool_calls == "none" or not state.output.message.tool_calls:
                return state
            state.messages += (await execute_tools(state.messages, state.tools)).messages
            if tool_calls == "single":
                return state

    state = await made()(state, generate)
    return str(state.output.completion)


async def _report(said: str, task: str, model: LanguageModel) -> Report:
    """Reads the report out of an agent's last words; one that cannot be taken may be mended once.

    Raises:
        NoReport: it still cannot.
    """
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser

    from assay.auditors.investigator.submission import report_in

    try:
        return report_in(said)
    except ReportInvalid as error:
        wrong = str(error)
    asked: list[Any] = [
        ChatMessageUser(content=task),
        ChatMessageAssistant(content=said or "(nothing)"),
        ChatMessageUser(content=_LAST.replace("{wrong}", wrong)),
    ]
    try:
        return report_in((await model.inspect.generate(asked)).completion)
    except ReportInvalid as error:
        raise NoReport(f"{model.name} ended without a report that can be taken: {error}") from None
