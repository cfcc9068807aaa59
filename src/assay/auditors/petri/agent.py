"""Plays Petri's auditor against a kit, then has its model rank the scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from inspect_ai.model import ChatMessageUser, ModelName, ModelOutput
from inspect_ai.solver import TaskState

from assay.auditors.petri.kit_model import KitModel, kit_model
from assay.auditors.red_teamer.ranking import ranking
from assay.auditors.red_teamer.scenes import SPEAKS, Scenes
from assay.auditors.thinking.kit_tools import Spending
from assay.auditors.thinking.loop import ANSWER_TOKENS, LAST_SECONDS, TURNS, Thinking, about_kit
from assay.auditors.thinking.prose import prompt
from assay.core.answer import RankedTranscripts
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.model_meter import LanguageModel
from assay.errors import BudgetExceeded

_RANKED_WITH = 0.3  # share of the auditor's tokens that is kept back for ranking
_LISTED = 40_000  # characters of scenes that are ranked
_HERE = Path(__file__).parent


async def petri_audit(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> RankedTranscripts:
    """Plays one audit; raises as `Thinking.play`.

    Args:
        kit: its tools; `converse` for scenes of several turns.
        brief: what it is asked to do: Petri's seed instructions.
        budget: of the audit.
        model: that thinks.
    """
    spending = Spending(budget, model)
    scenes = Scenes(kit, spending)
    if SPEAKS & kit.tools.keys():
        await _play(scenes, brief, spending)
    asked = replace(brief, text=f"{brief.text}\n\n{_written_out(scenes, model.tokens_left)}")
    told = prompt(_HERE, "rank", tools=about_kit(kit))
    return await Thinking(told, [], spending, ranking(scenes), scenes.shown).play(asked)


async def _play(scenes: Scenes, brief: Brief, spending: Spending) -> None:
    """Lets Petri's auditor play until it ends the conversation, or has no more than ranking takes.

    Raises:
        AssayError: the engine or the target failed.
    """
    from inspect_petri import audit_solver, auditor_agent, auditor_tools, target_agent

    target, api = kit_model(scenes)
    kit = scenes.kit.tools
    tools = auditor_tools(prefill=bool(kit.keys() & {"prefill", "converse"}), target_tools="none")
    solver = audit_solver(
        auditor=auditor_agent(
            max_turns=TURNS,
            tools=tools,
            model=spending.model.inspect,
            generate=_Turns(spending, api),
            target_display_name="language",
        ),
        target=target_agent(model=target, system_required=False),
    )
    first: Any = ChatMessageUser(content=brief.text, source="input")
    state = TaskState(
        model=ModelName(spending.model.name),
        sample_id="audit",
        epoch=1,
        input=brief.text,
        messages=[first],
        metadata={},
    )
    try:
        await solver(state, _no_generate)
    except BaseExceptionGroup as group:
        raise _first(group) from group
    if api.fault is not None:
        raise api.fault


class _Turns:
    """Takes each turn of Petri's auditor, and ends its conversation in time to rank."""

    def __init__(self, spending: Spending, api: KitModel) -> None:
        self._spending, self._api, self._read = spending, api, 0

    async def __call__(self, model: Any, messages: list[Any], tools: list[Any], cache: Any) -> ModelOutput:
        if self._over():
            return _ending(model)
        try:
            output: ModelOutput = await model.generate(input=messages, tools=tools, cache=cache)
        except BudgetExceeded:  # a turn that was dearer than any before it
            return _ending(model)
        if output.usage is not None:
            self._read = output.usage.input_tokens + (output.usage.input_tokens_cache_read or 0)
        return output

    def _over(self) -> bool:
        kept = max(2 * ANSWER_TOKENS, int(_RANKED_WITH * self._spending.budget.auditor_tokens))
        left = self._spending.model.tokens_left
        return self._api.fault is not None or left < self._read + kept or self._spending.seconds_left < 2 * LAST_SECONDS


def _ending(model: Any) -> ModelOutput:
    return ModelOutput.for_tool_call(model.name, "end_conversation", {})


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the first error of a group of tasks: the others ended because of it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _written_out(scenes: Scenes, tokens_left: int) -> str:
    """Writes the scenes out, the latest ones where there is no room for all."""
    room = min(_LISTED, tokens_left)
    kept: list[str] = []
    for number, scene in reversed(scenes.held.items()):
        told = f"## Scene {number}\n{scene.shown()}"
        if len(told) > room:
            break
        room -= len(told)
        kept.insert(0, told)
    left_out = len(scenes.held) - len(kept)
    return "\n\n".join([*kept, *([f"({left_out} earlier scenes, for which there is no room)"] if left_out else [])])


async def _no_generate(state: TaskState, **_: Any) -> TaskState:
    """Stands for what Petri's solver never calls."""
    return state
