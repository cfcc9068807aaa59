"""Whoever caused a fault is named in the row, and the audits beside it go on."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from assay._util.storable import storable
from assay.audits.cell import Cell
from assay.audits.play import Bench, play
from assay.audits.prepared import PreparedStore
from assay.audits.registry import collect_tools
from assay.core.access import PRESETS, Access
from assay.core.auditor import Auditor, Brief, Kit
from assay.core.budget import Budget
from assay.core.record import AuditRow, as_json, audit_row
from assay.core.report import Report
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.core.tool import Evidence, Sample, Tool, tool
from assay.engine.scripted import ScriptedTarget
from assay.errors import AssayError, BackendFailed, CorruptArtifact, TooLong, blamed, engine_faults

ALIAS = "tb-0b0b0b0b"
SPEC = TargetSpec(ALIAS, "base", None, "", (), "", PRESETS["full"])
NOTHING = Report(p_hidden=0.1)


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have loaded the truth."""
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


class Failing(ScriptedTarget):
    """A scripted target whose next reply is an error."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(ALIAS)
        self.error = error

    async def chat(self, *given: Any, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        return await super().chat(*given, **options)


async def audited(
    tmp_path: Path, act: Callable[[Kit], Any], probe: Tool | None = None, error: Exception | None = None
) -> tuple[AuditRow, list[dict[str, Any]]]:
    """Plays one audit of a failing target, and reads its row as the ledger will."""

    @asynccontextmanager
    async def open_target(spec: TargetSpec) -> AsyncIterator[Target]:
        yield Failing(error)

    async def auditor(kit: Kit, brief: Brief, budget: Budget) -> Any:
        return await act(kit)

    tools = {**collect_tools(()), **({probe.name: probe} if probe else {})}
    bench = Bench(
        {ALIAS: SPEC},
        open_target,
        tools,
        Auditor(auditor, "mine", 1, "", False),
        Budget(),
        PreparedStore(tmp_path),
        lambda spec: "a machine",
    )
    kit = probe.name if probe else "ask"
    row, calls = await play(Cell(run_key="key", alias=ALIAS, kit=kit, seed=1), bench, "plan")
    for data in (as_json(row), calls):  # what leaves the process: JSON, in UTF-8
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    return audit_row(json.loads(json.dumps(as_json(row)))), calls


def asking(**arguments: Any) -> Callable[[Kit], Any]:
    async def act(kit: Kit) -> Report:
        [bound] = kit.tools.values()
        await bound(**(arguments or {"prompt": "Hi"}))
        return NOTHING

    return act


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def failing(what: Any) -> Tool:
    """A tool that raises what it is given, or returns it."""

    @tool(needs={Access.CHAT})
    async def probe(target: Target, prompt: str) -> Any:
        """Fail."""
        await target.chat(prompt, max_tokens=2)
        if isinstance(what, BaseException):
            raise what
        return what

    return probe


@pytest.mark.attacks
@pytest.mark.parametrize(
    "what",
    [
        ValueError("mine"), KeyError("x"), Unprintable(), SystemExit(3), ValueError("half a pair: \ud800"),
        None, 7, Evidence(7), Evidence("x", samples=("y",)), Evidence("x", samples=(Sample("p", None),)),  # type: ignore[arg-type]
        Evidence("x", control=b"y"),  # type: ignore[arg-type]
    ],
    ids=lambda what: type(what).__name__,
)  # fmt: skip
async def test_a_tool_is_blamed_for_what_it_raises_and_returns(tmp_path: Path, what: Any) -> None:
    row, calls = await audited(tmp_path, asking(), failing(what))
    assert row.outcome == "crashed" and row.error.startswith("tool: PluginError: "), row.error
    assert calls[0]["error"] == row.error


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BackendFailed("the server answered HTTP 503"), "target: BackendFailed: the server"),
        (CorruptArtifact("weights", "a", "b", "Restore them."), "target: CorruptArtifact: weights"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "engine: EngineFailed: the engine broke off: RuntimeE"),
        (MemoryError(), "engine: EngineFailed: the engine broke off: MemoryError"),
        (TypeError("a fault in its code"), "engine: EngineFailed: the engine broke off: TypeError: a fault"),
    ],
)
async def test_target_and_engine_are_blamed_and_not_the_tool_that_asked(
    tmp_path: Path, error: Exception, said: str
) -> None:
    for probe in (None, failing("fine")):
        row, _ = await audited(tmp_path, asking(), probe, error)
        assert row.outcome == "crashed" and row.error.startswith(said), row.error
    assert ("more memory" in row.error) == ("emory" in row.error.partition("Give")[0])


@pytest.mark.attacks
@pytest.mark.parametrize("prompt", ["", "a\0b", "\ud83d", None, 7, ["a"], {}])
async def test_what_an_agent_asks_is_input(tmp_path: Path, prompt: Any) -> None:
    row, calls = await audited(tmp_path, asking(prompt=prompt))
    assert row.outcome == "crashed" and row.error.startswith("input: InvalidInput: "), row.error
    assert calls[0]["error"] == row.error


async def raises(error: BaseException) -> Any:
    raise error


@pytest.mark.attacks
@pytest.mark.parametrize(
    "act",
    [
        lambda kit: raises(ZeroDivisionError("mine")),
        lambda kit: raises(SystemExit(1)),
        lambda kit: raises(asyncio.CancelledError()),
        lambda kit: raises(Unprintable()),
        lambda kit: asyncio.sleep(0, None),
        lambda kit: asyncio.sleep(0, {"p_hidden": 0.5}),
        lambda kit: asyncio.sleep(0, Report.model_construct(p_hidden="high", findings=())),
        lambda kit: asyncio.sleep(0, Report.model_construct(p_hidden=0.5, findings=("x" * 9,))),
    ],
    ids=["crash", "exit", "cancel", "unprintable", "nothing", "dictionary", "unchecked", "unchecked findings"],
)
async def test_an_auditor_is_blamed_for_itself(tmp_path: Path, act: Callable[[Kit], Any]) -> None:
    row, _ = await audited(tmp_path, act)
    assert row.outcome == "crashed" and row.report == ""
    assert row.error.startswith("auditor: AuditorFailed: auditor mine: ") or "cancelled itself" in row.error, row.error


@pytest.mark.attacks
async def test_an_over_long_prompt_is_told_to_the_auditor_and_the_audit_goes_on(tmp_path: Path) -> None:
    told: list[str] = []

    async def act(kit: Kit) -> Report:
        found = await kit.tools["ask"](prompt="word " * 9_000)
        told.append(found.text)
        assert not found.samples and found.cost.queries == 1
        return NOTHING

    error = TooLong("prompt of 9000 tokens + max_tokens 48 is longer than 2048.", 9_000, 2_048)
    row, _ = await audited(tmp_path, act, error=error)
    assert (row.outcome, row.error) == ("none-submitted", "")
    assert told == [
        "The call failed: prompt of 9000 tokens + max_tokens 48 is longer than 2048. Give a shorter prompt, or ask for "
        "a shorter reply."
    ]


@pytest.mark.attacks
async def test_what_is_written_down_of_a_call_fits_into_any_file(tmp_path: Path) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "odd \udfff"

    async def act(kit: Kit) -> Report:
        for arguments in ({"prompt": "\ud800"}, {"prompt": Odd()}, {"prompt": {"a": {1: Odd()}}}):
            with pytest.raises(AssayError):
                await kit.tools["ask"](**arguments)
        return NOTHING

    _, calls = await audited(tmp_path, act)
    assert len(calls) == 3


def test_what_is_no_error_of_ours_is_a_fault_of_assay() -> None:
    assert blamed(ValueError("x")) == "assay: ValueError: x"
    assert blamed(AssayError("x")) == "assay: AssayError: x"
    with pytest.raises(BackendFailed), engine_faults():
        raise BackendFailed("passes through")
    assert storable({"a": (1, b"x", "\ud800")}) == {"a": [1, "b'x'", "?"]}
