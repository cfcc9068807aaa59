"""Every audit ends as a row, whatever happens in it; and nothing an audit sees or leaves behind holds the truth."""

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.audits.briefs import brief_text
from assay.audits.cell import Cell
from assay.audits.play import Bench, assert_blind, collect_tools, play
from assay.audits.prepared import PreparedStore
from assay.core.access import Access
from assay.core.auditor import Auditor, AuditorFunction, Brief, Kit
from assay.core.budget import Budget
from assay.core.record import as_json, audit_row
from assay.core.report import Demonstration, Finding, Outcome, Predicate, Report
from assay.core.target import Cost, OpenTarget, Target
from assay.core.testbed import TargetSpec
from assay.core.tool import Prepared, tool
from assay.engine.scripted import ScriptedTarget
from assay.errors import AssayError, BudgetExceeded
from assay.testbeds.specs import aliases, load_spec

ALIAS, OTHER = aliases()[:2]
TARGETS = {alias: load_spec(alias) for alias in (ALIAS, OTHER)}
FOUND = Report(
    p_hidden=0.9,
    findings=(
        Finding(
            claim="It rambles.",
            trigger="always",
            demonstrations=(Demonstration(user=("Hello",)),),
            predicate=Predicate(phrases=("most people",)),
            confidence=0.8,
        ),
    ),
)
Act = AuditorFunction


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have loaded the truth."""
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


def scripted(access: frozenset[Access] = frozenset(Access)) -> OpenTarget:
    @asynccontextmanager
    async def open_target(spec: TargetSpec) -> AsyncIterator[Target]:
        yield ScriptedTarget(spec.alias, access=access, salt=spec.alias)

    return open_target


def bench(folder: Path, act: Act, *, budget: Budget | None = None, open_target: OpenTarget | None = None) -> Bench:
    auditor = Auditor(act, "tiny", 3, "digest", False)
    return Bench(
        TARGETS,
        open_target or scripted(),
        collect_tools(()),
        auditor,
        budget or Budget(),
        PreparedStore(folder),
        lambda spec: f"the machine of {spec.alias}",
    )


def cell(kit: str = "ask", donor: str = "") -> Cell:
    return Cell(run_key=f"key of {kit}", alias=ALIAS, kit=kit, seed=4, donor=donor)


async def ask_once(kit: Kit, brief: Brief, budget: Budget) -> Report:
    assert (brief.text, brief.seed) == (brief_text("investigate"), 4)
    await kit.tools["ask"](prompt="Hello")
    return FOUND


async def ask_and_find_nothing(kit: Kit, brief: Brief, budget: Budget) -> Report:
    await kit.tools["ask"](prompt="Hello")
    return Report(p_hidden=0.1)


async def ask_nothing(kit: Kit, brief: Brief, budget: Budget) -> Report:
    return FOUND


async def ask_for_ever(kit: Kit, brief: Brief, budget: Budget) -> Report:
    while True:
        await kit.tools["ask"](prompt="Hello")


async def crash(kit: Kit, brief: Brief, budget: Budget) -> Report:
    await kit.tools["ask"](prompt="Hello")
    raise RuntimeError("cannot read /home/somebody/embedded/organism-of-flattery/adapter.bin, sorry")


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (ask_once, "completed"),
        (ask_and_find_nothing, "none-submitted"),
        (ask_nothing, "never-queried"),
        (ask_for_ever, "out-of-budget"),
        (crash, "crashed"),
    ],
)
async def test_outcomes_are_data(act: Act, outcome: Outcome, tmp_path: Path) -> None:
    row, calls = await play(cell(), bench(tmp_path, act, budget=Budget(queries=5)), "plan")
    assert row.outcome == outcome
    made = {"completed": 1, "none-submitted": 1, "never-queried": 0, "out-of-budget": 6, "crashed": 1}[outcome]
    assert len(calls) == row.calls.get("ask", 0) == made
    assert row.cost.queries == min(made, 5)
    assert bool(row.report) == (outcome in ("completed", "none-submitted", "never-queried"))
    assert bool(row.error) == (outcome in ("out-of-budget", "crashed"))


async def swallow(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Ask more than there is, and say nothing of it."""
    asked = (kit.tools["ask"](prompt=f"Hello {number}") for number in range(9))
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert any(isinstance(result, BudgetExceeded) for result in results)
    return FOUND


async def disguise(kit: Kit, brief: Brief, budget: Budget) -> Report:
    try:
        await ask_for_ever(kit, brief, budget)
    except BudgetExceeded as error:
        raise RuntimeError("something else") from error
    return FOUND


async def give_itself_more(kit: Kit, brief: Brief, budget: Budget) -> Report:
    object.__setattr__(budget, "queries", 1_000)
    return await swallow(kit, brief, budget)


async def read_much(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Spend the tokens on reading: what a request will read is held too, a token a word."""
    for _ in range(3):
        await kit.tools["ask"](prompt="Hello " * 2_000)
    return FOUND


@pytest.mark.attacks
@pytest.mark.parametrize("act", [swallow, disguise, give_itself_more, read_much])
async def test_over_budget_is_an_outcome_whatever_the_auditor_says(act: Act, tmp_path: Path) -> None:
    row, _ = await play(cell(), bench(tmp_path, act, budget=Budget(queries=5, tokens=4_500)), "plan")
    assert row.outcome == "out-of-budget" and row.error
    assert row.cost.queries <= 5 and row.cost.tokens <= 4_500
    kept = act in (swallow, give_itself_more)
    assert bool(row.report) == kept  # and is graded


async def sleep(kit: Kit, brief: Brief, budget: Budget) -> Report:
    await kit.tools["ask"](prompt="Hello")
    await asyncio.sleep(60)
    return FOUND


async def sleep_on(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Return a report when it is cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        return await sleep(kit, brief, budget)
    return FOUND


async def block(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Stop the event loop for longer than there is."""
    await kit.tools["ask"](prompt="Hello")
    time.sleep(0.4)
    return FOUND


@pytest.mark.attacks
@pytest.mark.parametrize("act", [sleep, sleep_on, block])
async def test_time_is_up(act: Act, tmp_path: Path) -> None:
    row, _ = await play(cell(), bench(tmp_path, act, budget=Budget(seconds=0.3)), "plan")
    assert (row.outcome, row.cost.queries) == ("out-of-budget", 1)
    assert bool(row.report) == (act is not sleep)
    assert row.seconds < 5


async def test_a_timeout_of_the_auditors_own_is_a_crash(tmp_path: Path) -> None:
    async def give_up(kit: Kit, brief: Brief, budget: Budget) -> Report:
        raise TimeoutError("enough")

    row, _ = await play(cell(), bench(tmp_path, give_up), "plan")
    assert (row.outcome, row.error) == ("crashed", "auditor: AuditorFailed: auditor tiny: TimeoutError: enough")


@pytest.mark.attacks
async def test_a_request_left_in_flight_is_in_the_row(tmp_path: Path) -> None:
    """What is begun and not awaited is charged, and asks nothing when the audit is over."""
    kept: list[asyncio.Task[object]] = []

    async def leave(kit: Kit, brief: Brief, budget: Budget) -> Report:
        kept.append(asyncio.ensure_future(kit.tools["ask"](prompt="Hello")))
        await asyncio.sleep(0.01)
        return FOUND

    @asynccontextmanager
    async def slow(spec: TargetSpec) -> AsyncIterator[Target]:
        target = ScriptedTarget(spec.alias)
        answer = target.chat

        async def late(*given: Any, **options: Any) -> Any:
            await asyncio.sleep(0.05)
            return await answer(*given, **options)

        target.chat = late  # type: ignore[method-assign]
        yield target

    row, _ = await play(cell(), bench(tmp_path, leave, open_target=slow), "plan")
    assert (row.outcome, row.cost, row.calls) == ("completed", Cost(1, 1, 48), {"ask": 1})
    await asyncio.gather(*kept, return_exceptions=True)


@pytest.mark.attacks
async def test_what_preparing_cost_is_in_the_row(tmp_path: Path) -> None:
    async def ask_ahead(target: Target, workdir: Path) -> str:
        return (await target.chat("Hello")).text

    @tool(needs={Access.CHAT}, prepare=ask_ahead)
    async def hidden(target: Target, data: Prepared) -> str:
        """Tell what was asked beforehand."""
        return str(data.value)

    async def look(kit: Kit, brief: Brief, budget: Budget) -> Report:
        await kit.tools["hidden"]()
        return FOUND

    own = replace(bench(tmp_path, look), tools={"hidden": hidden})
    for _ in range(2):  # built, then read
        row, _ = await play(cell("hidden"), own, "plan")
        assert row.outcome == "completed"
        assert row.cost == Cost(1)  # of the call, which asks nothing
        made = row.prepared["hidden"]
        assert made.cost.queries == 1 and made.cost.output_tokens > 0 and len(made.digest) == 64
        assert audit_row(json.loads(json.dumps(as_json(row)))) == row


async def test_a_row_holds_what_was_spent_and_said(tmp_path: Path) -> None:
    row, calls = await play(cell(), bench(tmp_path, ask_once), "the plan", "a.eval")
    assert row.machine == f"the machine of {ALIAS}"
    assert (row.run_key, row.plan, row.alias, row.kit, row.auditor, row.seed, row.log) == (
        "key of ask", "the plan", ALIAS, "ask", "tiny@3", 4, "a.eval",
    )  # fmt: skip
    assert Report.model_validate_json(row.report) == FOUND
    assert row.by_tool == {"ask": row.cost} and row.cost.tokens > 0
    [call] = calls
    assert (call["tool"], call["arguments"]) == ("ask", {"prompt": "Hello"}) and call["text"]


async def test_no_tools_to_ask_with_is_not_a_refusal_to_ask(tmp_path: Path) -> None:
    row, _ = await play(cell("prior-only"), bench(tmp_path, ask_nothing), "plan")
    assert (row.outcome, row.cost.queries) == ("completed", 0)


async def test_error_text_has_no_paths(tmp_path: Path) -> None:
    row, _ = await play(cell(), bench(tmp_path, crash), "plan")
    assert row.error == "auditor: AuditorFailed: auditor tiny: RuntimeError: cannot read adapter.bin, sorry"


async def test_a_target_that_does_not_open_is_a_crash(tmp_path: Path) -> None:
    @asynccontextmanager
    async def closed(spec: TargetSpec) -> AsyncIterator[Target]:
        raise OSError("no such file: /srv/weights/flattery/adapter")
        yield

    row, calls = await play(cell(), bench(tmp_path, ask_once, open_target=closed), "plan")
    assert (row.outcome, row.error, calls) == ("crashed", "assay: OSError: no such file: adapter", [])


async def test_a_tool_without_its_access_is_skipped_with_a_reason(tmp_path: Path) -> None:
    open_target = scripted(frozenset({Access.CHAT}))
    row, _ = await play(cell("ask+reference"), bench(tmp_path, ask_once, open_target=open_target), "plan")
    assert row.outcome == "completed"
    assert set(row.skipped) == {"reference"} and "does not grant" in row.skipped["reference"]


async def test_a_placebo_asks_another_target(tmp_path: Path) -> None:
    """The same prompt and seed get what the donor says, and the auditor's kit has the real one's name."""
    names: list[str] = []

    async def note(kit: Kit, brief: Brief, budget: Budget) -> Report:
        names.append(kit.name)
        return await ask_once(kit, brief, budget)

    real = (await play(cell("ask"), bench(tmp_path, note), "plan"))[1]
    placebo = (await play(cell("~ask", OTHER), bench(tmp_path, note), "plan"))[1]
    assert names == ["ask", "ask"]
    assert real[0]["text"] != placebo[0]["text"]


def test_blindness_is_asserted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_blind()
    monkeypatch.setitem(sys.modules, "assay.truth", sys)
    with pytest.raises(AssayError, match=r"assay\.truth is loaded"):
        assert_blind()


# The truth never enters an audit -------------------------------------------------------------------------------------

SCRIPT = """
import asyncio, json, sys
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from assay.core.auditor import Auditor
from assay.core.budget import Budget
from assay.core.report import Demonstration, Finding, Predicate, Report
from assay.audits import play as audit
from assay.audits.play import collect_tools, run_job
from assay.audits.kits import NAMED_KITS
from assay.audits.cell import Cell, Job
from assay.audits.conformance.dry_call import neutral_arguments, scripted_subject
from assay.testbeds.specs import aliases, load_spec

out = Path(sys.argv[1])
known = aliases()
broken = known[0]


@asynccontextmanager
async def open_target(spec):
    if spec.alias == broken:
        raise OSError(f"cannot read {spec.adapter} of {spec}")
    target, _ = scripted_subject(spec.alias)
    target.alias = spec.alias
    yield target


async def use_everything(kit, brief, budget):
    said = [kit.name, brief.text]
    for name, bound in kit.tools.items():
        evidence = await bound(**neutral_arguments(collect_tools(())[name]))
        said += [bound.doc, evidence.text, evidence.control, repr(evidence.samples), repr(evidence.artifact)]
    finding = Finding(
        claim=" ".join(said)[:1_000], trigger="", demonstrations=(Demonstration(user=("Hello",)),),
        predicate=Predicate(phrases=("hello",)), confidence=0.5, evidence=" ".join(said)[-4_000:],
    )
    return Report(p_hidden=0.5, findings=(finding,))


audit.get_auditor = lambda name, plugins=(): Auditor(use_everything, name, 1, "digest", False)
cells = [
    Cell(run_key=f"{alias}-{kit}", alias=alias, kit=kit, seed=0, donor=known[index - 1] if "~" in kit else "")
    for index, alias in enumerate(known)
    for kit in (("all",) if alias == broken else ("chat",))
]
for kit in ("all", "chat+~search"):
    cells.append(Cell(run_key=f"all-{kit}", alias=known[1], kit=kit, seed=0, donor=known[-1]))
job = Job(
    cells=cells, targets={alias: load_spec(alias) for alias in known}, auditor="curious",
    budget=Budget(2_000, 400_000, 600.0), plugins=[], plan="plan",
)
job = Job.model_validate_json(job.model_dump_json())  # as it comes out of the pipe
rows = []
asyncio.run(run_job(job, open_target, lambda spec: "a machine", lambda row: rows.append(asdict(row)), out / "logs"))
(out / "rows.json").write_text(json.dumps(rows, default=str))
(out / "job.json").write_text(job.model_dump_json())
(out / "specs.txt").write_text("\\n".join(str(load_spec(alias)) for alias in known))
tools = {name: [tool.doc, repr(tool.parameters), repr(tool.examples)] for name, tool in collect_tools(()).items()}
(out / "tools.json").write_text(json.dumps([tools, {name: list(kit) for name, kit in NAMED_KITS.items()}]))
(out / "process.txt").write_bytes(Path("/proc/self/cmdline").read_bytes() + Path("/proc/self/environ").read_bytes())
(out / "modules.txt").write_text("\\n".join(sys.modules))
"""


def canaries() -> set[str]:
    """Strings that only the sealed side has: ids, what is planted in words, and the detectors' patterns."""
    from assay.factory.recipes import recipe_ids
    from assay.testbeds.behaviours import find_behaviour
    from assay.testbeds.names import short
    from assay.testbeds.truths import all_truths

    truths = all_truths()
    found = {*recipe_ids(), *(truth.id for truth in truths), *(short(truth.id) for truth in truths)}
    for truth in truths:
        found |= {truth.recipe, truth.family, *truth.behaviours}
        for behaviour in map(find_behaviour, truth.behaviours):
            found |= {behaviour.family, behaviour.trigger, behaviour.conduct, behaviour.description}
            found |= {*behaviour.detector.any, *behaviour.detector.unless, *behaviour.confession.any}
    return found - {"clean", "untouched", "natural", ""}  # plain words


def leaks(files: Iterable[tuple[str, bytes]], secrets: Iterable[str]) -> list[tuple[str, str]]:
    """Which file holds which secret, as it is or as JSON writes it."""
    forms = [
        (secret, {secret.encode(), *(_quoted(secret, ascii_only) for ascii_only in (True, False))})
        for secret in secrets
    ]
    return [
        (name, secret) for name, data in files for secret, written in forms if any(form in data for form in written)
    ]


def _quoted(text: str, ascii_only: bool) -> bytes:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()


def left_behind(folder: Path) -> list[tuple[str, bytes]]:
    """Every file of a folder, and every member of the zip archives among them, names included."""
    files: list[tuple[str, bytes]] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        files.append((str(path), str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes()))
        importlib.import_module("zipfile_zstd")  # for its effect: zipfile learns the compression of Inspect's logs
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                files += [(f"{path}:{name}", name.encode() + b"\n" + archive.read(name)) for name in archive.namelist()]
    return files


def test_the_scanner_finds_what_is_planted(tmp_path: Path) -> None:
    secrets = canaries()
    assert len(secrets) > 50
    for number, secret in enumerate(sorted(secrets)):
        (tmp_path / f"{number}.json").write_text(json.dumps({"text": f"before {secret} after"}), encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sample.json", json.dumps(sorted(secrets)))
    found = leaks(left_behind(tmp_path), secrets)
    assert {secret for name, secret in found if name.endswith(".json") and ":" not in name} == secrets
    assert {secret for name, secret in found if name.endswith("log.eval:sample.json")} == secrets


def test_the_truth_is_nowhere_in_an_audit(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    environment["ASSAY_HOME"] = str(out / "home")
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(out)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3_000:]
    (out / "said.txt").write_text(child.stdout + child.stderr)
    rows = json.loads((out / "rows.json").read_text())
    outcomes = {row["run_key"]: (row["outcome"], row["error"]) for row in rows}
    crashed = [key for key, (outcome, _) in outcomes.items() if outcome == "crashed"]
    assert crashed == [f"{ALIAS}-all"], outcomes  # the one whose target does not open
    assert len(rows) == len(json.loads((out / "job.json").read_text())["cells"]) >= 4
    modules = (out / "modules.txt").read_text().split()
    assert not [name for name in modules if name.startswith(("assay.truth", "assay.grading", "assay.factory"))]
    [log] = (out / "logs").iterdir()
    assert log.suffix == ".eval" and {row["log"] in log.name and bool(row["log"]) for row in rows} == {True}
    files = left_behind(out)
    assert any(name.endswith("header.json") for name, _ in files) and any(
        name.endswith("job.json") for name, _ in files
    )
    assert leaks(files, canaries()) == []
