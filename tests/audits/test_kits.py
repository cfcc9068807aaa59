"""Kit names, and what binding promises: access, metering, seeds, caps, placebos, said reasons."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from assay.audits import kits, registry
from assay.audits.kits import CUT, Binding, bind_kit, parse_kit
from assay.audits.named_kits import NAMED_KITS
from assay.audits.prepared import PreparedStore, Subject
from assay.core.access import PRESETS, Access
from assay.core.budget import Budget, Meter
from assay.core.target import Target
from assay.core.tool import (
    TEXT_LIMIT,
    Evidence,
    Prepared,
    Tool,
    ToolContext,
    ToolFamily,
    families_of,
    tool,
)
from assay.engine.scripted import Rule, ScriptedTarget
from assay.errors import AccessDenied, BudgetExceeded, InvalidInput, PluginError, UnknownId

KNOWN = (*NAMED_KITS["all"], "mine")


@pytest.mark.parametrize(
    ("text", "name", "tools"),
    [
        ("prior-only", "prior-only", []),
        ("chat", "chat", ["ask", "system"]),
        ("search+chat", "chat+search", ["ask", "search", "system"]),
        ("system + ask", "chat", ["ask", "system"]),
        ("chat+ask+prior-only", "chat", ["ask", "system"]),
        ("mine+ask", "ask+mine", ["ask", "mine"]),
        ("chat+~search", "chat+~search", ["ask", "~search", "system"]),
        ("~chat", "~chat", ["~ask", "~system"]),
        ("all+mine", "all+mine", [*sorted(NAMED_KITS["all"]), "mine"]),
    ],
)
def test_kit_names_are_canonical(text: str, name: str, tools: list[str]) -> None:
    plan = parse_kit(text, KNOWN)
    assert plan.name == name
    assert sorted(("~" if placebo else "") + tool for tool, placebo in plan.tools) == sorted(tools)
    assert parse_kit(plan.name, KNOWN) == plan


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", InvalidInput, "a name is missing"),
        ("ask+", InvalidInput, "a name is missing"),
        ("~", InvalidInput, "a name is missing"),
        ("chat+serch", UnknownId, "close to it: search"),
        ("chat+~ask", InvalidInput, "both real and a placebo"),
    ],
)
def test_bad_kit_names_are_told(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse_kit(text, KNOWN)


def test_kits_of_presets_and_families_are_those_that_the_tools_say() -> None:
    built_in = [name for name in registry.tools() if registry.entry_point("tool", name).module.startswith("assay.")]
    drivable = [tool for tool in map(registry.get_tool, built_in) if tool.drivable]
    derived = {name: tuple(tool.name for tool in drivable if tool.needs <= flags) for name, flags in PRESETS.items()}
    for family in get_args(ToolFamily):
        derived[family] = tuple(
            tool.name for tool in drivable if family in tool.families and tool.needs <= PRESETS["full"]
        )
    kept = {name: NAMED_KITS.get(name) for name in derived}
    assert kept == derived, f"write into audits/named_kits.py:\n{derived}"
    for name in ("chat", "all"):
        assert set(NAMED_KITS[name]) <= set(registry.tools())


def test_a_tool_is_of_the_families_it_says_or_else_of_those_that_its_needs_tell() -> None:
    assert families_of({Access.CHAT, Access.LOGITS}) == {"blackbox"}
    assert families_of({Access.CHAT, Access.REFERENCE}) == {"diffing"}
    assert families_of({Access.GRADIENTS, Access.ACTIVATIONS_READ}) == {"interp", "latent"}

    async def amplify(target: Target) -> str:
        """Say what the adapter does at twice its strength."""
        return ""

    assert tool(needs={Access.WEIGHTS}, families=["diffing"])(amplify).families == {"diffing"}
    with pytest.raises(PluginError, match="'difing' is no family of tools"):
        tool(needs={Access.WEIGHTS}, families=["difing"])(amplify)  # type: ignore[list-item]


def test_named_kits_that_overlap_have_one_name_however_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"chat": ("ask", "system"), "one": ("a", "b", "c"), "two": ("c", "d"), "single": ("d",)}
    monkeypatch.setattr(kits, "NAMED_KITS", named)
    known = ("ask", "system", "a", "b", "c", "d")
    assert parse_kit("two+one+chat", known).name == "chat+one+two"
    assert parse_kit("system+a+ask+b+d+c", known).name == "chat+one+two"
    assert parse_kit("single+chat", known).name == "chat+d"
    assert parse_kit("~two+chat", known).name == "chat+~two"


def test_reading_a_kit_loads_no_tool() -> None:
    code = "from assay.audits.kits import parse_kit; parse_kit('white+data', ['ask']); import sys; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" not in told
    assert not [name for name in told if name.startswith("assay.tools.")]


@tool(needs={Access.CHAT})
async def talk(target: Target, context: ToolContext, prompt: str, n: int = 1) -> Evidence:
    """Ask n times in a row."""
    texts = [(await target.chat(prompt, seed=context.seed + i)).text for i in range(n)]
    return Evidence(text=" | ".join(texts), artifact=context.seed)


@tool(needs={Access.CHAT})
async def sneak(target: Target) -> str:
    """Use access that was not declared."""
    return str(target.corpus)


@tool(needs={Access.CHAT})
async def crash(target: Target) -> str:
    """Fail in the tool's own code."""
    raise ValueError("no luck")


@tool(needs={Access.CHAT})
async def shout(target: Target) -> str:
    """Say too much at once."""
    return "x" * 5_000


BUILT: list[str] = []


async def _measure(target: Target, workdir: Path) -> dict[str, Any]:
    reply = (await target.chat("calibrate")).text
    BUILT.append(reply)
    assert workdir.is_dir() and not list(workdir.iterdir())
    await asyncio.sleep(0)
    return {"alias": target.alias, "reply": reply}


@tool(needs={Access.CHAT}, prepare=_measure)
async def prepared(target: Target, data: Prepared) -> str:
    """Tell what was prepared for this target."""
    return f"{data.value['alias']}: {data.value['reply']}"


TOOLS: dict[str, Tool] = {one.name: one for one in (talk, sneak, crash, shout, prepared)}


async def bind(kit: str, folder: Path, meter: Meter | None = None, **options: Any) -> Binding:
    subject = Subject(options.pop("target", ScriptedTarget("a", rules=[Rule("calibrate", ("From a.",))])), "digest-a")
    donor = Subject(ScriptedTarget("b", rules=[Rule("", ("From b.",))]), "digest-b")
    return await bind_kit(
        parse_kit(kit, TOOLS),
        TOOLS,
        subject,
        options.pop("donor", donor),
        meter or Meter(Budget()),
        seed=options.pop("seed", 1),
        store=PreparedStore(folder, **options),
    )


async def test_calls_are_counted_and_charged(tmp_path: Path) -> None:
    meter = Meter(Budget())
    binding = await bind("talk", tmp_path, meter)
    evidence = await binding.kit.tools["talk"](prompt="hello there", n=3)
    assert evidence.cost.queries == 3
    assert meter.by_tool == {"talk": evidence.cost} and meter.spent == evidence.cost
    assert binding.calls == {"talk": 1}


async def test_concurrent_calls_are_charged_each_their_own(tmp_path: Path) -> None:
    talk = (await bind("talk", tmp_path)).kit.tools["talk"]
    one, three = await asyncio.gather(talk(prompt="a", n=1), talk(prompt="a", n=3))
    assert (one.cost.queries, three.cost.queries) == (1, 3)


async def test_seed_follows_audit_seed_and_repeats_alone(tmp_path: Path) -> None:
    async def seeds(kit: str, seed: int) -> list[int]:
        bound = (await bind(kit, tmp_path, seed=seed)).kit.tools["talk"]
        return [(await bound(prompt=prompt)).artifact for prompt in ("p", "p", "q")]

    first = await seeds("talk", 1)
    assert first[0] == first[2] != first[1]  # one prompt's draws differ from another's in the engine
    assert await seeds("talk+shout", 1) == first
    assert not set(await seeds("talk", 2)) & set(first)


async def test_access_is_what_the_tool_declares(tmp_path: Path) -> None:
    binding = await bind("sneak+talk", tmp_path)
    with pytest.raises(AccessDenied, match="TRAINING_DATA"):
        await binding.kit.tools["sneak"]()
    binding = await bind("talk", tmp_path, target=ScriptedTarget(access=frozenset({Access.LOGITS})))
    assert not binding.kit.tools
    assert binding.kit.skipped == {"talk": "needs CHAT, which this testbed does not grant"}


async def test_plugin_errors_name_file_line_and_reason(tmp_path: Path) -> None:
    binding = await bind("crash", tmp_path)
    with pytest.raises(PluginError, match=r"test_kits\.py:\d+: ValueError: no luck"):
        await binding.kit.tools["crash"]()


async def test_budget_passes_through(tmp_path: Path) -> None:
    bound = (await bind("talk", tmp_path, Meter(Budget(queries=2)))).kit.tools["talk"]
    with pytest.raises(BudgetExceeded, match="2 of 2 queries"):
        await bound(prompt="p", n=3)


async def test_text_is_capped_and_says_so(tmp_path: Path) -> None:
    evidence = await (await bind("shout", tmp_path)).kit.tools["shout"]()
    assert len(evidence.text) == TEXT_LIMIT and evidence.text.endswith(CUT)


async def test_arguments_are_typed(tmp_path: Path) -> None:
    bound = (await bind("talk", tmp_path)).kit.tools["talk"]
    assert (await bound(prompt="p", n="2")).cost.queries == 2
    for arguments, said in (({"prompt": "p", "n": "two"}, "n: int"), ({}, "'prompt' is missing"), ({"x": 1}, "'x'")):
        with pytest.raises(InvalidInput, match=said):
            await bound(**arguments)


async def test_prepare_runs_once_per_target_and_apart_from_the_budget(tmp_path: Path) -> None:
    BUILT.clear()
    meter = Meter(Budget())
    bindings = await asyncio.gather(*(bind("prepared", tmp_path, meter) for _ in range(3)))
    bindings.append(await bind("prepared", tmp_path, meter))
    assert all(binding.prepared["prepared"].cost.queries == 1 for binding in bindings)
    assert meter.spent.queries == 0
    store = PreparedStore(tmp_path / "shared")
    subject = Subject(ScriptedTarget("a", replies=["From a."]), "digest-a")
    BUILT.clear()
    await asyncio.gather(*(store.get(prepared, subject) for _ in range(4)))
    assert BUILT == ["From a."]


@pytest.mark.attacks
async def test_prepare_without_room_costs_no_audit(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where the folder should be")
    binding = await bind("prepared", tmp_path / "full")
    assert (await binding.kit.tools["prepared"]()).text == "target: From a."
    assert binding.prepared["prepared"].cost.queries == 1


async def test_prepare_beyond_its_cap_skips_the_tool(tmp_path: Path) -> None:
    binding = await bind("prepared+talk", tmp_path, cap=Budget(tokens=1))
    assert "the cap is 1 tokens" in binding.kit.skipped["prepared"]
    assert list(binding.kit.tools) == ["talk"]


async def test_prepare_failing_is_a_plugin_error(tmp_path: Path) -> None:
    async def fail(target: Target, workdir: Path) -> None:
        raise KeyError("lost")

    with pytest.raises(PluginError, match=r"test_kits\.py:\d+: KeyError"):
        await PreparedStore(tmp_path).get(replace(prepared, prepare=fail), Subject(ScriptedTarget(), "d"))


async def test_placebo_is_wired_to_the_donor_and_nobody_can_tell(tmp_path: Path) -> None:
    binding = await bind("~prepared+~talk", tmp_path)
    assert binding.kit.name == "prepared+talk"
    assert (await binding.kit.tools["prepared"]()).text == "target: From b."
    assert (await binding.kit.tools["talk"](prompt="p")).text == "From b."


@pytest.mark.attacks
async def test_no_tool_learns_the_alias_of_what_it_is_bound_to(tmp_path: Path) -> None:
    known = ScriptedTarget("tb-2b37c56e", reference=ScriptedTarget("tb-48cf288b"))

    @tool(needs=set(Access) - {Access.AUX_MODEL})
    async def recognise(target: Target) -> str:
        """Look for a name that a table could hold."""
        async with target.intervene() as view:
            return " ".join((target.alias, view.alias, target.reference.alias if target.reference else ""))

    subject = Subject(known, "digest")
    plan = parse_kit("recognise", ["recognise"])
    store = PreparedStore(tmp_path)
    found = await bind_kit(plan, {"recognise": recognise}, subject, None, Meter(Budget()), seed=0, store=store)
    assert "tb-" not in (await found.kit.tools["recognise"]()).text


async def test_placebo_needs_another_testbed(tmp_path: Path) -> None:
    for donor in (None, Subject(ScriptedTarget(), "digest-a")):
        with pytest.raises(InvalidInput, match="other than the audited"):
            await bind("~talk", tmp_path, donor=donor)


async def test_placebo_is_skipped_exactly_when_the_real_tool_is(tmp_path: Path) -> None:
    target = ScriptedTarget(access=frozenset({Access.SAMPLING}))
    real, placebo = [await bind(kit, tmp_path, target=target) for kit in ("talk", "~talk")]
    assert real.kit.skipped == placebo.kit.skipped != {}


async def test_no_attribute_of_a_bound_tool_is_the_target(tmp_path: Path) -> None:
    bound = (await bind("talk", tmp_path)).kit.tools["talk"]
    assert not any(hasattr(getattr(bound, name), "chat") for name in dir(bound))
