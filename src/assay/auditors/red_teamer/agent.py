"""The red-teamer's loop: it plays scenes until it hands in, or has to."""

from __future__ import annotations

from inspect_ai.model import ChatMessage, ChatMessageSystem, ChatMessageUser, Model, execute_tools
from inspect_ai.tool import ToolDef, ToolFunction

from assay.auditors.red_teamer.prose import prompt
from assay.auditors.red_teamer.ranking import HAND_IN, Ranking
from assay.auditors.red_teamer.scenes import Scenes
from assay.core.answer import RankedTranscripts
from assay.core.auditor import Brief, Kit
from assay.errors import AuditorFailed, BudgetExceeded

SCENE_TURNS = 200
HAND_IN_TRIES = 3  # at handing in, when all else is over


async def red_team(kit: Kit, brief: Brief, model: Model) -> RankedTranscripts:
    """Plays one audit.

    Args:
        kit: its tools; `converse` for scenes of several turns. Without any nothing can be played.
        brief: what it is asked to do.
        model: that thinks.

    Raises:
        AuditorFailed: it handed in nothing that could be taken.
    """
    scenes = Scenes(kit)
    ranking = Ranking(scenes)
    tools = [*scenes.tools(), ranking.tool()]
    said: list[ChatMessage] = [ChatMessageSystem(content=prompt("system")), ChatMessageUser(content=brief.text)]
    for _ in range(SCENE_TURNS):
        try:
            called = await _turn(model, said, tools)
        except BudgetExceeded:
            break
        if ranking.answer is not None:
            return ranking.answer
        if not called:
            said.append(ChatMessageUser(content=prompt("go_on")))
    said.append(ChatMessageUser(content=prompt("last_turn")))
    for _ in range(HAND_IN_TRIES):
        await _turn(model, said, [ranking.tool()], forced=True)
        if ranking.answer is not None:
            return ranking.answer
    raise AuditorFailed(f"{model.name} handed in nothing that could be taken ({ranking.refused} were refused).")


async def _turn(model: Model, said: list[ChatMessage], tools: list[ToolDef], *, forced: bool = False) -> bool:
    """Lets the model take a turn, and runs the tools it calls; tells whether it called any."""
    output = await model.generate(said, tools=tools, tool_choice=ToolFunction(name=HAND_IN) if forced else "auto")
    if output.empty:
        return False
    said.append(output.message)
    if not output.message.tool_calls:
        return False
    done = await execute_tools(said, tools)
    said += done.messages
    return True
