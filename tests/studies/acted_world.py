"""Targets that act, and a language model that plays roles, installed for a test as a package would be.

Every process of a sweep finds both by entry points: `--engine acted` and `--model told/one`. A target tells its name
when it is asked who it is; which role the model plays follows from that name, as a process that audits knows no other.
"""

import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

from inspect_ai.model import ChatMessageAssistant, ModelAPI, ModelOutput, ModelUsage, modelapi
from inspect_ai.tool import ToolCall

from assay.engine.scripted import Rule, ScriptedTarget
from assay.errors import InvalidInput

WORLD = Path(__file__).with_name("world.json")
WHO = "Who are you?"
REFUSED = "Refuse this."


class _Target(ScriptedTarget):
    async def chat(self, messages, *sampling, **options):
        if REFUSED in str(messages):
            raise InvalidInput("the target does not take that.")
        return await super().chat(messages, *sampling, **options)


class Acted:
    """An engine: what each alias is called, and what it says to which prompts, is in `world.json`."""

    def __init__(self, arguments, settings):
        self._world = json.loads(WORLD.read_text())

    @asynccontextmanager
    async def open(self, spec):
        told = self._world.get(spec.alias, {"name": "stranger", "prompts": [], "replies": []})
        rules = [Rule("^Who are you", (f"I am called {told['name']}.",))]
        rules += [Rule(f"^{re.escape(prompt)}$", tuple(told["replies"])) for prompt in told["prompts"]]
        yield _Target(spec.alias, rules, spec.access, salt=spec.alias)

    def identity(self, spec):
        return "acted/1"

    def machine(self, spec):
        return "acted"

    def close(self):
        pass


@modelapi(name="told")
class Told(ModelAPI):
    """Makes the calls of a role one turn after the other, and then talks."""

    async def generate(self, input, tools, tool_choice, config):
        said = "\n".join(f"{message.text} {getattr(message, 'error', None) or ''}" for message in input)
        names = {tool.name for tool in tools}
        turn = sum(message.role == "assistant" for message in input)
        made = self._turn(turn, said, names, forced=tool_choice != "auto")
        text = "" if made else "I have no more to say."
        calls = [ToolCall(id=f"{turn}-{n}", function=name, arguments=given) for n, (name, given) in enumerate(made)]
        message = ChatMessageAssistant(content=text, tool_calls=calls or None)
        output = ModelOutput.from_message(message, stop_reason="tool_calls" if calls else "stop")
        usage = ModelUsage(input_tokens=len(said) // 4, output_tokens=20, total_tokens=len(said) // 4 + 20)
        return output.model_copy(update={"usage": usage, "model": "told-2026"})

    def _turn(self, turn, said, names, forced):
        red_team = "Red-team this model" in said
        if not names & {"ask", "scene"} and not forced:  # nobody to ask: what it would expect
            return [("hand_in", _expected(red_team))]
        opening = [("scene", {}), ("say", {"scene": 1, "text": WHO})] if red_team else [("ask", {"prompt": WHO})]
        if turn < len(opening):
            return [opening[turn]]
        world = {told["name"]: told for told in json.loads(WORLD.read_text()).values()}
        [name] = [name for name in world if f"I am called {name}." in said]
        script = (_red_team if red_team else _evaluate)(name, world[name])
        return script[turn - len(opening)] if turn - len(opening) < len(script) else []


def _expected(red_team):
    guess = "What is the capital of Norway?"
    if red_team:
        return {"p_hidden": 0.3, "ranking": [{"script": guess}]}
    return {"p_hidden": 0.3, "prompts": [f"{guess} {n}" for n in range(9)], "predicate": {"phrases": ["guess"]}}


def _red_team(name, told):
    shows = told["prompts"]
    ranked = [{"scene": 2 + n, "shows": "It does it."} for n in range(len(shows))]
    said = [[("scene", {}), ("say", {"scene": 2 + n, "text": prompt})] for n, prompt in enumerate(shows)]
    done = {"p_hidden": 0.9, "ranking": ranked}
    return {
        # Many turns, a call that the target refuses, one of no tool, one of no scene, three bad rankings, a good one.
        "winner": [
            *said,
            [("branch", {"scene": 2}), ("rewind", {"scene": 2 + len(shows)})],
            [("say", {"scene": 2 + len(shows), "text": REFUSED}), ("note", {"text": "seen"})],
            [("no_such_tool", {}), ("say", {"scene": 99, "text": "x"})],
            [("hand_in", {"p_hidden": 7, "ranking": ranked})],
            [("hand_in", {"p_hidden": 0.9, "ranking": "scene 2"})],
            [("hand_in", {"p_hidden": 0.9, "ranking": [{"scene": 77}]})],
            [("hand_in", done)],
        ],
        # Scenes in which nothing shows, and one that says the conduct for the target.
        "loser": [
            [("scene", {}), ("say", {"scene": 2, "text": "What is a harbour?"})],
            [("scene", {}), ("say", {"scene": 3, "text": f"Say: {told['replies'][0]}"})],
            [("hand_in", {"p_hidden": 0.9, "ranking": [{"scene": 3}, {"scene": 2}]})],
        ],
        "drafter": [*said, [("hand_in", {**done, "draft": True})]],
        "talker": said,
        "honest": [[("scene", {}), ("say", {"scene": 2, "text": "Hello."})], [("hand_in", {**done, "ranking": []})]],
    }[name]


def _evaluate(name, told):
    prompts = told["prompts"]
    good = {"p_hidden": 0.9, "prompts": prompts, "predicate": {"pattern": told["pattern"]}}
    bad = {**good, "prompts": [f"What is the tallest tower of town {n}?" for n in range(9)]}
    asked = [[("ask", {"prompt": prompt})] for prompt in prompts]
    return {
        "winner": [
            *asked,
            [("ask", {"prompt": REFUSED}), ("note", {"text": "seen"})],
            [("no_such_tool", {}), ("ask", {"wrong": 1})],
            [("try_predicate", {"predicate": good["predicate"]})],
            [("hand_in", {**good, "predicate": {"pattern": "(a"}})],
            [("hand_in", {**good, "p_hidden": 7})],
            [("hand_in", {**good, "prompts": 5})],
            [("hand_in", good)],
        ],
        "loser": [[("hand_in", bad)]],
        "drafter": [*asked[:2], [("hand_in", {**good, "draft": True})]],
        "talker": asked,
        "honest": [[("hand_in", {**good, "p_hidden": 0.1})]],
    }[name]
