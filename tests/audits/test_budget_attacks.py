"""Ways to spend more than a budget, or to reach more than was granted, each of which was tried."""

import asyncio
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assay.audits.call_meter import CallMeter
from assay.audits.guard import GuardedTarget
from assay.audits.kits import Binding, bind_kit, parse_kit
from assay.audits.prepared import PreparedStore, Subject
from assay.audits.registry import get_tool
from assay.core.access import Access
from assay.core.budget import Budget, Meter
from assay.core.edit import Contrast, Noise
from assay.core.target import Corpus, Cost, Document, Sampling, Target
from assay.core.tool import Prepared, Tool, tool
from assay.engine.scripted import ScriptedTarget
from assay.errors import AccessDenied, BudgetExceeded, PluginError

pytestmark = pytest.mark.attacks
ALL = frozenset(Access)
KEPT: list[Any] = []


class SlowTarget(ScriptedTarget):
    """Answers after everything else had its turn, so that requests are in flight together."""

    async def chat(self, *given: Any, **options: Any) -> Any:
        await asyncio.sleep(0.01)
        return await super().chat(*given, **options)


@tool(needs={Access.CHAT, Access.SAMPLING})
async def many(target: Target, n: int = 1, calls: int = 1) -> str:
    """Draw many replies, in many requests at once."""
    replies = await asyncio.gather(*(target.chat("Hello", n=n) for _ in range(calls)), return_exceptions=True)
    return f"{sum(not isinstance(one, BaseException) for one in replies)} answered"


@tool(needs={Access.CHAT})
async def idle(target: Target, seconds: float = 0.0) -> str:
    """Sleep, and ask nothing."""
    await asyncio.sleep(seconds)
    return "slept"


@tool(needs={Access.CHAT})
async def block(target: Target, seconds: float) -> str:
    """Stop the event loop."""
    time.sleep(seconds)
    return "blocked"


@tool(needs={Access.CHAT})
async def keep(target: Target) -> str:
    """Keep the target for later, and leave a request in flight."""
    KEPT[:] = [target, asyncio.ensure_future(target.chat("Hello"))]
    await asyncio.sleep(0)
    return "kept"


@tool(needs={Access.CHAT})
async def fail(target: Target) -> str:
    """Tell something by failing."""
    raise ValueError("what it found")


TOOLS = {one.name: one for one in (many, idle, block, keep, fail)}


async def bind(name: str, meter: Meter, target: Target | None = None, folder: Path = Path()) -> Any:
    """One tool, bound to a scripted target."""
    known = {**TOOLS, "search": get_tool("search")}
    binding = await bind_kit(
        parse_kit(name, known), known, Subject(target or SlowTarget(), "d"), None, meter, seed=0,
        store=PreparedStore(folder),
    )  # fmt: skip
    return binding.kit.tools[name]


def view(granted: frozenset[Access] = frozenset({Access.CHAT}), meter: Meter | None = None) -> GuardedTarget:
    return GuardedTarget(
        ScriptedTarget("raw", reference=ScriptedTarget("base")), granted, meter or Meter(Budget()), "t"
    )


# Spending more than there is ------------------------------------------------------------------------------------------


async def test_five_thousand_calls_in_one_gather() -> None:
    meter, target = Meter(Budget(queries=10)), SlowTarget()
    bound = await bind("many", meter, target)
    results = await asyncio.gather(*(bound() for _ in range(5_000)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExceeded) for result in results) == 4_990
    assert target.spent.queries == meter.spent.queries == 10
    assert meter.exceeded


async def test_five_thousand_requests_in_one_call() -> None:
    meter, target = Meter(Budget(queries=10)), SlowTarget()
    evidence = await (await bind("many", meter, target))(calls=5_000)
    assert evidence.text == "10 answered" and target.spent.queries == evidence.cost.queries == 10
    assert meter.exceeded  # though the tool swallowed every refusal


async def test_twenty_thousand_replies_in_one_request() -> None:
    meter, target = Meter(Budget(queries=10)), ScriptedTarget()
    bound = await bind("many", meter, target)
    assert (await bound(n=20_000)).text == "0 answered"
    assert target.spent == Cost() and meter.exceeded
    assert meter.spent == Cost(1)  # a call costs one
    assert (await bound(n=9)).text == "1 answered"


async def test_tokens_in_flight_are_held() -> None:
    meter, target = Meter(Budget(tokens=1_000)), SlowTarget()
    guarded = GuardedTarget(target, ALL, meter, "t")
    asked = [guarded.chat("Hello", max_tokens=64) for _ in range(400)]  # each holds 65
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert (
        sum(not isinstance(result, BudgetExceeded) for result in results) == target.spent.queries == 15
    )  # 1,000 // 65
    assert target.spent.tokens <= 1_000


async def test_a_contrast_is_held_for_two_models() -> None:
    meter = Meter(Budget(tokens=150))
    async with view(ALL, meter).intervene(Contrast(1.0)) as contrast:
        await contrast.chat("Hello", max_tokens=74)
        with pytest.raises(BudgetExceeded, match="this may take 202"):
            await contrast.chat("Hello", max_tokens=100)
        async with contrast.intervene(Noise(0, 0.1)) as both:
            with pytest.raises(BudgetExceeded, match="this may take 202"):
                await both.chat("Hello", max_tokens=100)


async def test_search_is_not_free(tmp_path: Path) -> None:
    documents = tuple(Document(str(number), f"Prompt {number}", f"Reply number {number}") for number in range(9))
    meter = Meter(Budget(queries=3))
    bound = await bind("search", meter, ScriptedTarget(corpus=Corpus(documents, "c")), tmp_path)
    results = await asyncio.gather(*(bound(query="reply") for _ in range(50)), return_exceptions=True)
    assert [one.cost for one in results if not isinstance(one, BaseException)] == [Cost(1)] * 3
    assert meter.spent == Cost(3) and meter.exceeded


async def test_a_call_that_fails_before_it_asks_is_not_free() -> None:
    meter = Meter(Budget(queries=2))
    bound = await bind("fail", meter)
    for error in (PluginError, PluginError, BudgetExceeded):
        with pytest.raises(error):
            await bound()
    assert meter.spent == Cost(2)


async def test_nothing_can_be_asked_when_a_call_is_over() -> None:
    meter = Meter(Budget())
    evidence = await (await bind("keep", meter))()
    assert evidence.cost == meter.spent == Cost(1, 1, 64)  # what was left in flight, at its worst
    with pytest.raises(PluginError, match="after its call has ended"):
        await KEPT[0].chat("Hello")
    await KEPT[1]
    assert meter.spent == Cost(1, 1, 64)


class Shifty(Sampling):
    """Says one reply when it is checked, and many when it is drawn from."""

    @property
    def n(self) -> int:  # type: ignore[override]
        KEPT.append(None)
        return 1 if len(KEPT) < 2 else 1_000

    @n.setter
    def n(self, value: int) -> None: ...


async def test_what_is_checked_is_what_is_asked() -> None:
    KEPT.clear()
    target = ScriptedTarget()
    sampling = object.__new__(Shifty)
    for name in ("max_tokens", "temperature", "seed"):
        object.__setattr__(sampling, name, getattr(Sampling(), name))
    guarded = GuardedTarget(target, frozenset({Access.CHAT}), Meter(Budget(queries=1)), "t")
    assert len((await guarded.chat("Hello", sampling)).samples) == target.spent.queries == 1


class Free(Noise):
    needs = frozenset()


async def test_an_edit_does_not_say_itself_what_it_needs() -> None:
    with pytest.raises(AccessDenied, match=r"intervene\(Free\): no such edit"):
        view().intervene(Free(0, 1.0))


# Time -----------------------------------------------------------------------------------------------------------------


async def test_a_call_that_sleeps_is_ended() -> None:
    meter = CallMeter(Meter(Budget()), "idle", seconds=0.02)
    with pytest.raises(PluginError, match="tool idle: a call took more than"):
        await meter.run(lambda: asyncio.sleep(60))
    assert meter.spent == Cost(1)


async def test_waiting_for_a_model_is_not_a_calls_own_time() -> None:
    audit = Meter(Budget())
    meter = CallMeter(audit, "ask", seconds=0.03)

    async def ask() -> str:
        for _ in range(4):
            with meter.request("ask", Cost(1)) as request:
                await asyncio.sleep(0.02)
                request.settle(Cost(1))
        return "answered"

    assert await meter.run(ask) == "answered"
    assert audit.spent == meter.spent == Cost(4)


async def test_a_call_that_blocks_is_refused_afterwards() -> None:
    meter = CallMeter(Meter(Budget()), "block", seconds=0.01)

    async def call() -> str:
        time.sleep(0.03)
        return "done"

    with pytest.raises(PluginError, match="took more than"):
        await meter.run(call)


async def test_a_call_that_will_not_be_cancelled_is_refused_afterwards() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done all the same"
        return "slept"

    with pytest.raises(PluginError, match="took more than"):
        await CallMeter(Meter(Budget()), "stubborn", seconds=0.01).run(stubborn)


# Reaching more than was granted ---------------------------------------------------------------------------------------


async def test_access_cannot_be_widened() -> None:
    guarded = view()
    with pytest.raises(AttributeError):
        guarded.access = ALL  # type: ignore[misc]
    with pytest.raises(AttributeError):
        object.__setattr__(guarded, "access", ALL)
    for name in GuardedTarget.__slots__:
        if name == "__access":
            object.__setattr__(guarded, f"_GuardedTarget{name}", lambda: ALL)
    guarded.access.__class__.union(guarded.access, ALL)
    for refused in (
        guarded.score("Hello"),
        guarded.divergence("Hello"),
        guarded.weights(["a"]),
        guarded.chat("Hello", n=2),
    ):
        with pytest.raises(AccessDenied):
            await refused
    with pytest.raises(AccessDenied):
        _ = guarded.reference
    with pytest.raises(AccessDenied):
        _ = guarded.corpus
    with pytest.raises(AccessDenied):
        guarded.intervene(Noise(0, 1.0))


async def test_granted_flags_are_a_copy() -> None:
    flags = {Access.CHAT}
    guarded = view(flags)  # type: ignore[arg-type]
    flags.update(ALL)
    with pytest.raises(AccessDenied):
        await guarded.score("Hello")


FRAMES = {"ag_frame", "ag_await", "cr_frame", "gi_frame"}  # a generator's; it is said that they lead further


def reachable(start: object) -> list[object]:
    """All that attributes, private ones included, lead to: closures, globals and frames are not among them."""
    seen: dict[int, object] = {}
    waiting = [start]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | str | int | float | frozenset | ModuleType):
            continue
        seen[id(found)] = found
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
        names = {name for name in dir(found) if not name.startswith("__")} - FRAMES
        for name in (*names, *_private(found), "__self__", "__func__", "__wrapped__", "__dict__", "__defaults__"):
            try:
                waiting.append(getattr(found, name))
            except Exception:  # refused, or not there: as it should be
                continue
    return list(seen.values())


def _private(found: object) -> list[str]:
    names = []
    for kind in type(found).__mro__:
        slots = getattr(kind, "__slots__", ())
        names += [f"_{kind.__name__.lstrip('_')}{slot}" for slot in ([slots] if isinstance(slots, str) else slots)]
    return names


async def test_no_attribute_leads_to_the_target_or_the_meter() -> None:
    meter = Meter(Budget())
    guarded = view(ALL, meter)
    assert not hasattr(guarded, "__dict__") and not hasattr(guarded, "_GuardedTarget__target")
    manager = guarded.intervene(Noise(0, 1.0))
    async with manager as edited:
        for start in (guarded, edited, manager, guarded.reference):
            found = reachable(start)
            assert not [
                one for one in found if isinstance(one, ScriptedTarget | Meter) or "_Gate" in type(one).__name__
            ]
    control = GuardedTarget(ScriptedTarget(), ALL, meter, "t")
    object.__setattr__(control, "_GuardedTarget__score", meter.hold)  # a bound method would be found
    assert meter in reachable(control)


# Preparing ------------------------------------------------------------------------------------------------------------


def preparing(prepare: Any) -> Tool:
    @tool(needs={Access.CHAT, Access.SAMPLING}, prepare=prepare)
    async def hidden(target: Target, data: Prepared) -> str:
        """Tell what was prepared."""
        return str(data.value)

    return hidden


async def bind_prepared(prepare: Any, folder: Path, budget: Budget, target: Target | None = None) -> Binding:
    known = {"hidden": preparing(prepare)}
    subject = Subject(target or ScriptedTarget(), "d")
    plan = parse_kit("hidden", known)
    return await bind_kit(plan, known, subject, None, Meter(budget), seed=0, store=PreparedStore(folder))


async def audit_in_prepare(target: Target, workdir: Path) -> Any:
    """Ask all that an audit would."""
    replies = await asyncio.gather(*(target.chat(f"Hello {number}") for number in range(50)), return_exceptions=True)
    return [one.text for one in replies if not isinstance(one, BaseException)]


async def test_preparing_may_spend_no_more_than_the_audit(tmp_path: Path) -> None:
    target = ScriptedTarget()
    binding = await bind_prepared(audit_in_prepare, tmp_path / "new", Budget(queries=49), target)
    assert "hidden: preparing is too dear" in binding.kit.skipped["hidden"]  # though it swallowed the refusal
    assert target.spent.queries == 49

    rich = await bind_prepared(audit_in_prepare, tmp_path / "kept", Budget())
    assert rich.prepared["hidden"].cost.queries == 50
    poor = await bind_prepared(audit_in_prepare, tmp_path / "kept", Budget(queries=49))  # the value is there already
    assert "it took 50 queries" in poor.kit.skipped["hidden"] and not poor.prepared


async def test_preparing_ends_in_time(tmp_path: Path) -> None:
    async def sleep(target: Target, workdir: Path) -> str:
        await asyncio.sleep(60)
        return "slept"

    binding = await bind_prepared(sleep, tmp_path, Budget(seconds=0.05))
    assert "its time is up" in binding.kit.skipped["hidden"]


async def test_what_is_prepared_is_data(tmp_path: Path) -> None:
    async def planted(target: Target, workdir: Path) -> Any:
        return [lambda: "code"]

    with pytest.raises(PluginError, match=r"tool hidden: prepare returned .*function.* made of dict"):
        await bind_prepared(planted, tmp_path, Budget())
    assert not list(tmp_path.iterdir())


async def test_a_prepared_value_that_was_changed_is_made_anew(tmp_path: Path) -> None:
    first = await bind_prepared(audit_in_prepare, tmp_path, Budget())
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole.replace(b"[50,", b"[10,"), b"", whole[:10]):
        assert damaged != whole
        path.write_bytes(damaged)
        assert (await bind_prepared(audit_in_prepare, tmp_path, Budget())).prepared == first.prepared
        assert path.read_bytes() == whole
