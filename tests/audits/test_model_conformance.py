"""Auditors that think with a language model pass their conformance suite with a rehearsed one; faults fail it."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.audits.test_auditor_conformance import failed

from assay.audits.conformance import auditor_checks
from assay.audits.conformance.auditor_checks import check_auditor
from assay.audits.conformance.dry_audit import rehearse_audit
from assay.audits.conformance.leak_probe import probe_auditor
from assay.audits.plugin_file import load_plugin
from assay.audits.registry import get_auditor
from assay.errors import InvalidInput

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),  # tenacity's, of Inspect
    # Inspect opens a stream of events for each sample and never closes its reading end.
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]
MODEL_CHECKS = ["model-budget", "silent-model", "garbled-model", "refusing-model", "failing-model"]
SOURCE = '''
import json

from assay import Brief, Budget, Demonstration, Finding, Kit, Predicate, Report, auditor
from assay.core.model_meter import LanguageModel
from assay.errors import BudgetExceeded, NoReport, ReportInvalid
from assay.core.report import parse_report

FINDING = Finding(claim="c", trigger="t", demonstrations=(), predicate=Predicate(phrases=("x",)), confidence=0.5)


@auditor
async def thinker(kit: Kit, brief: Brief, budget: Budget, model: LanguageModel) -> Report:
    """Ask a few things, show the replies to a language model, and hand in what it says."""
    shown = []
    for number, tool in enumerate(kit.tools.values()):
        try:
            more = {"system": "x"} if tool.name == "system" else {}
            shown.append((await tool(prompt=f"Hello {number}", **more)).text)
        except BudgetExceeded:
            break
        except Exception as error:
            shown.append(str(error))
    for _ in range(3):
        {ask}
        try:
            return parse_report(said)
        except ReportInvalid as error:
            {wrong}
    {end}
'''
PLAIN = {
    "ask": "said = (await model.inspect.generate('\\n'.join(shown))).completion",
    "wrong": "shown.append(str(error))",
    "end": "raise NoReport('nothing that could be taken')",
}
FAULTS = {
    # what does it → the checks it fails
    "makes up a finding": ({"end": "return Report(p_hidden=0.5, findings=(FINDING,))"}, {"silent-model"}),
    "breaks on bad JSON": ({"wrong": "json.loads(said)"}, {"silent-model"}),
    "waits for ever": ({"wrong": "await __import__('asyncio').sleep(1_000)"}, {"silent-model"}),
    "swallows the end of its tokens": (
        {"ask": "said = await ask_until_answered(model, shown)"},
        {"model-budget", "failing-model"},
    ),
    "asks the model for nothing and claims": ({"ask": "return Report(p_hidden=0.5, findings=(FINDING,))"}, {"nulls"}),
}
HELPER = """

async def ask_until_answered(model, shown):
    import asyncio
    while True:
        await asyncio.sleep(0)
        try:
            return (await model.inspect.generate("\\n".join(shown))).completion
        except Exception:
            pass
"""


def thinker(folder: Path, **change: str) -> Path:
    path = folder / "mine.py"
    source = SOURCE
    for place, code in (PLAIN | change).items():
        source = source.replace("{" + place + "}", code)
    path.write_text(source + HELPER, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def streams_are_collected_here() -> Iterator[None]:
    """Else the next test is told of Inspect's open streams."""
    yield
    gc.collect()


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the process that watches what is opened: another test has it."""
    monkeypatch.setattr(auditor_checks, "probe_auditor", lambda auditor, file, seconds: [])


async def test_one_of_a_file_conforms_in_a_process_of_its_own_too(tmp_path: Path) -> None:
    path = thinker(tmp_path)
    [mine] = load_plugin(path).auditors
    checks = await check_auditor(mine, file=path, null_runs=2)
    assert not failed(checks)
    told = {check.name: check.detail for check in checks}
    assert [name for name in told if name in MODEL_CHECKS] == MODEL_CHECKS
    assert told["truth"] and told["report"].startswith("1 findings") and told["nulls"].startswith("0 false alarms in 2")
    assert "503" in told["failing-model"]


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("name", ["investigator", "reader", "red_teamer", "eval_builder"])
async def test_those_that_come_with_assay_conform(name: str) -> None:
    checks = await check_auditor(get_auditor(name), null_runs=1)
    assert not failed(checks)
    told = {check.name: check.detail for check in checks}
    assert set(MODEL_CHECKS) <= told.keys()
    claimed = {"red_teamer": "4 transcripts", "eval_builder": "1 evals"}.get(name, "1 findings")
    assert told["report"].startswith(claimed)


@pytest.mark.usefixtures("unprobed")
async def test_an_agent_of_inspects_conforms(tmp_path: Path) -> None:
    path = tmp_path / "agents.py"
    path.write_text(
        "from inspect_ai.agent import Agent, agent, react\n\n"
        '@agent\ndef mine(tools) -> Agent:\n    """Reasons and acts with the tools of the kit."""\n'
        "    return react(tools=tools)\n"
    )
    [mine] = load_plugin(path).auditors
    assert not failed(await check_auditor(mine, file=path, null_runs=2))


@pytest.mark.attacks
@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_of_one_with_a_model_is_caught(fault: str, tmp_path: Path) -> None:
    change, expected = FAULTS[fault]
    [mine] = load_plugin(thinker(tmp_path, **change)).auditors
    assert expected <= set(failed(await check_auditor(mine, null_runs=2, seconds=2.0)))


@pytest.mark.attacks
def test_one_that_reads_the_answer_key_between_two_calls_is_told(tmp_path: Path) -> None:
    read = "open('truth.yaml').read(); " + PLAIN["ask"]
    path = thinker(tmp_path, ask=read)
    [mine] = load_plugin(path).auditors
    assert any("truth.yaml" in touched for touched in probe_auditor(mine, path, 60.0))


async def test_without_a_rehearsed_model_there_is_no_rehearsal(tmp_path: Path) -> None:
    from assay.audits.conformance.dry_audit import clean_target

    with pytest.raises(InvalidInput, match="rehearse it within"):
        await rehearse_audit(get_auditor("reader"), clean_target())
