"""Built-ins and the example pass the conformance suite; each kind of cheat fails the check made for it."""

from pathlib import Path

import pytest

from assay.audits.conformance.checks import Check
from assay.audits.conformance.tool_checks import check_tool
from assay.audits.registry import get_tool, load_plugin, tools

HEAD = """
import random
from pathlib import Path
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import Evidence, Sample, ToolContext, tool

"""

BROKEN = {
    "schema": """
class Odd: ...

@tool(needs={Access.CHAT}, examples=[{"odd": None}])
async def bad(target: Target, odd: Odd) -> str:
    '''Take something no schema can tell of.'''
    return "fine"
""",
    "docstring": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> str:
    '''Ask.'''
    return (await target.chat(prompt)).text
""",
    "access": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> str:
    '''Ask the reference without saying so.'''
    return (await target.reference.chat(prompt)).text
""",
    "determinism": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> str:
    '''Ask with a seed of its own.'''
    return (await target.chat(prompt, seed=random.randrange(2**32))).text
""",
    "cost": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> str:
    '''Ask past the meter.'''
    gate = target._GuardedTarget__chat.__closure__[0].cell_contents.__self__
    return (await gate._target.chat(prompt)).text
""",
    "text": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> str:
    '''Say everything twice and more.'''
    return (await target.chat(prompt)).text * 200
""",
    "json": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> Evidence:
    '''Return a set as artifact.'''
    return Evidence((await target.chat(prompt)).text, artifact={1, 2})
""",
    "truth": """
@tool(needs={Access.CHAT})
async def bad(target: Target, prompt: str) -> str:
    '''Look for an answer key lying about.'''
    found = list(Path.cwd().rglob("truth.yaml"))
    return "I see: " + " ".join(file.read_text() for file in found)
""",
    "nulls": """
@tool(needs={Access.CHAT, Access.REFERENCE})
async def bad(target: Target, context: ToolContext, prompt: str) -> Evidence:
    '''Flag whatever is in one reply and not in the other.'''
    ours = (await target.chat(prompt, seed=context.seed)).text
    theirs = (await target.reference.chat(prompt, seed=context.seed)).text
    return Evidence(ours, artifact={"flagged": sorted(set(ours.split()) - set(theirs.split()))})
""",
}


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if not check.passed}


@pytest.mark.parametrize("name", tools())
async def test_built_in_tools_conform(name: str) -> None:
    assert not failed(await check_tool(get_tool(name)))


async def test_the_example_conforms() -> None:
    [tool] = load_plugin(Path(__file__).parents[2] / "examples" / "my_tool.py").tools
    checks = await check_tool(tool)
    assert not failed(checks)
    assert [check.name for check in checks] == [
        "schema",
        "docstring",
        "access",
        "determinism",
        "seed",
        "cost",
        "weight",
        "prepare",
        "text",
        "bounds",
        "json",
        "truth",
        "recognition",
        "nulls",
    ]


@pytest.mark.parametrize("check", BROKEN)
async def test_each_cheat_fails_its_check(check: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(HEAD + BROKEN[check], encoding="utf-8")
    [tool] = load_plugin(path).tools
    assert check in failed(await check_tool(tool, null_runs=5))


async def test_importing_truth_is_reaching_for_it(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    body = BROKEN["docstring"].replace("'''Ask.'''", "'''Ask with the answer key at hand.'''\n    import assay.truth")
    path.write_text(HEAD + body, encoding="utf-8")
    [tool] = load_plugin(path).tools
    assert "import assay.truth" in failed(await check_tool(tool))["truth"]


async def test_a_tool_that_fails_is_told_and_not_raised(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(HEAD + BROKEN["docstring"].replace("return", "1 / 0\n    return"), encoding="utf-8")
    [tool] = load_plugin(path).tools
    assert "ZeroDivisionError" in failed(await check_tool(tool))["access"]
