"""Which engine opens a testbed follows from words, and anyone's engine is found as the built-in ones are."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model

from assay.audits.cell import Cell, Job
from assay.audits.play import run_job
from assay.core.access import PRESETS
from assay.core.budget import Budget
from assay.core.engine import EngineSettings, EngineSpec
from assay.core.record import AuditRow
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.machine import numerics
from assay.engine.registry import GROUP, engines, make_engine
from assay.engine.scripted import ScriptedTarget
from assay.engine.targets import Targets
from assay.errors import EngineFailed, InvalidInput, PluginError, UnknownId

pytestmark = [  # Inspect's own
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]
API = TargetSpec("tb-0c0c0c0c", "inspect:mockllm/model", None, "", (), "", PRESETS["api"])


def engine_identity(spec: TargetSpec, engine: str = "") -> str:
    with closing(Targets(engine=engine)) as targets:
        return targets.identity(spec)


class Parrot:
    """An outsider's engine."""

    made = 0

    def __init__(self, arguments: str, settings: EngineSettings) -> None:
        Parrot.made += 1
        self.arguments, self.closed = arguments, False

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        yield ScriptedTarget(spec.alias, replies=(self.arguments,))

    def identity(self, spec: TargetSpec) -> str:
        return f"parrot/{self.arguments}"

    def machine(self, spec: TargetSpec) -> str:
        return "a parrot"

    def close(self) -> None:
        self.closed = True


def half(arguments: str, settings: EngineSettings) -> object:
    """Makes something that is no engine."""
    return object()


def failing(arguments: str, settings: EngineSettings) -> object:
    raise OSError("no such card")


@pytest.fixture
def outsider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that offer engines are installed beside Assay."""
    entries = [
        *metadata.entry_points(group=GROUP),
        metadata.EntryPoint("parrot", f"{Parrot.__module__}:Parrot", GROUP),
        metadata.EntryPoint("half", f"{Parrot.__module__}:half", GROUP),
        metadata.EntryPoint("failing", f"{Parrot.__module__}:failing", GROUP),
        metadata.EntryPoint("missing", "no_such_package:Engine", GROUP),
        metadata.EntryPoint("twice", "one:Engine", GROUP),
        metadata.EntryPoint("twice", "two:Engine", GROUP),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints(entries).select(group=group))


@pytest.mark.parametrize(
    ("base", "engine"),
    [
        ("smollm2-135m-instruct", EngineSpec("local")),
        ("org/model-7b", EngineSpec("local")),
        ("/models/with:colon", EngineSpec("local")),
        ("inspect:openai/gpt-4o", EngineSpec("inspect", "openai/gpt-4o")),
        ("vllm:http://10.0.0.1:8000/v1", EngineSpec("vllm", "http://10.0.0.1:8000/v1")),
    ],
)
def test_a_base_names_its_engine(base: str, engine: EngineSpec) -> None:
    assert EngineSpec.of_base(base) == engine


@pytest.mark.parametrize("words", ["", ":x", "A b", "/dir", "9:x"])
def test_words_that_name_no_engine_are_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="write NAME or NAME:ARGUMENTS"):
        EngineSpec.parse(words)


def test_an_unknown_engine_is_told_with_those_there_are() -> None:
    assert {"inspect", "local", "scripted", "vllm"} <= set(engines())
    with pytest.raises(UnknownId, match=r"unknown engine .vlm.; close to it: vllm.*inspect, local"):
        Targets(engine="vlm:http://127.0.0.1:1")
    with closing(Targets()) as targets, pytest.raises(UnknownId, match="unknown engine 'nobody'"):
        targets.identity(replace(API, base="nobody:model"))


@pytest.mark.parametrize("words", ["local:x", "scripted:x", "vllm", "vllm:ftp://host", "inspect:gpt-4o", "inspect"])
def test_arguments_an_engine_can_do_nothing_with_are_refused(words: str) -> None:
    with pytest.raises(InvalidInput):
        Targets(engine=words)


async def test_anyones_engine_opens_every_testbed_by_the_words_of_a_command(outsider: None) -> None:
    Parrot.made = 0
    with closing(Targets(engine="parrot:Hello!")) as targets:
        for alias in ("tb-00000001", "tb-00000002"):
            async with targets.open(replace(API, alias=alias)) as target:
                assert (target.alias, (await target.chat("Hi")).text) == (alias, "Hello!")
        [engine] = targets._engines.values()
        assert Parrot.made == 1
    assert engine.closed  # type: ignore[attr-defined]
    async with Targets().open(replace(API, base="parrot:Ahoy!", memory=True)) as target:
        assert (await target.chat("Hi")).text == "Ahoy!"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing", "cannot be loaded: ModuleNotFoundError"),
        ("twice", "offered twice: one:Engine, two:Engine"),
        ("half", "has no open, identity, machine, close"),
        ("failing", "cannot be made of 'x': OSError: no such card"),
    ],
)
def test_an_engine_that_fails_is_a_plugin_error(outsider: None, name: str, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        make_engine(EngineSpec(name, "x"), EngineSettings())


@pytest.mark.attacks
async def test_an_engine_is_blamed_for_what_it_raises_when_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def broken(self: Parrot, spec: TargetSpec) -> AsyncIterator[Target]:
        raise OSError("no such device")
        yield

    monkeypatch.setattr("assay.engine.targets.make_engine", lambda *_: Parrot("x", EngineSettings()))
    with closing(Targets(engine="parrot:x")) as targets:
        async with targets.open(API) as target:
            assert (await target.chat("Hi")).text == "x"
        with pytest.raises(ZeroDivisionError):  # what is done with the target is no fault of the engine's
            async with targets.open(API):
                raise ZeroDivisionError
        monkeypatch.setattr(Parrot, "open", broken)
        with pytest.raises(EngineFailed, match="the engine broke off: OSError: no such device"):
            async with targets.open(API):
                pass


def test_another_engine_or_base_is_another_identity(tiny: Path, outsider: None) -> None:
    local = replace(API, base=str(tiny))
    found = [engine_identity(local), *(engine_identity(local, words) for words in ("scripted", "parrot:a", "parrot:b"))]
    found += [
        engine_identity(API),
        engine_identity(API, "inspect:mockllm/other"),
        engine_identity(API, "vllm:http://a"),
    ]
    assert len(set(found)) == len(found)
    assert found[0] == f"{numerics()}/{find_base(str(tiny)).digest}"
    assert engine_identity(local, "vllm:http://a:1") == engine_identity(local, "vllm:http://b:2")  # it may move


@pytest.mark.parametrize("words", ["local", "vllm:http://127.0.0.1:1", "scripted"])
async def test_an_engine_without_tools_refuses_an_agent(words: str) -> None:
    with closing(Targets(engine=words)) as targets, pytest.raises(InvalidInput, match="works with tools"):
        async with targets.open(replace(API, tools=("bash",))):
            pass


async def test_local_weights_are_opened_by_their_base(tiny: Path, tmp_path: Path) -> None:
    with closing(Targets(threads=1)) as targets:
        async with targets.open(replace(API, base=str(tiny))) as target:
            assert len((await target.chat("Hi", n=2, max_tokens=3)).texts) == 2


def _answer(*_: object) -> ModelOutput:
    output = ModelOutput.from_content("mockllm/model", "A short answer.")
    output.usage = ModelUsage(input_tokens=5, output_tokens=4, total_tokens=9)  # else Inspect counts, with a download
    return output


@pytest.mark.parametrize(
    ("engine", "asked"), [("", "mockllm/model"), ("inspect:mockllm/other", "mockllm/other"), ("scripted", "")]
)
async def test_an_api_model_is_swept(engine: str, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def mock(name: str, **options: object) -> Model:
        names.append(name)
        return get_model(name, custom_outputs=_answer, **options)

    monkeypatch.setattr("assay.engine.remote.inspect_model.get_model", mock)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)  # other tests of this process may have loaded it
    job = Job(
        cells=[Cell(run_key="one", alias=API.alias, kit="ask", seed=0)],
        targets={API.alias: API},
        auditor="explorer",
        budget=Budget(8, 40_000, 60.0),
        plugins=[],
        plan="plan",
    )
    rows: list[AuditRow] = []
    with closing(Targets(engine=engine)) as targets:
        await run_job(job, targets.open, targets.machine, rows.append, tmp_path / "logs")
    gc.collect()  # while what Inspect leaves open is still forgiven
    assert len(rows) == 1 and rows[0].report is not None and rows[0].cost.queries, rows
    assert set(names) == {asked} - {""}
