"""Tools and auditors are found lazily; a broken plug-in says where it is broken and harms nobody else."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from assay.audits import registry
from assay.audits.kits import parse_kit
from assay.core.tool import PLAIN_ACCESS
from assay.errors import InvalidInput, PluginError, UnknownId

TOOL = '''
from assay.core.access import Access
from assay.core.target import Target
from assay.core.tool import tool
{extra}

@tool(needs={{Access.CHAT}})
async def {name}(target: Target, prompt: str) -> str:
    """Ask the model one question."""
    return {body}
'''


AUDITOR = '''
from assay import Brief, Budget, Kit, Report, auditor

@auditor(version=3)
async def {name}(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Report nothing, whatever it is given."""
    return Report(p_hidden=0.5)
'''


def write(path: Path, name: str = "probe", extra: str = "", body: str = "prompt") -> Path:
    path.write_text(TOOL.format(name=name, extra=extra, body=body), encoding="utf-8")
    return path


def test_names_are_known_without_importing_heavy_packages() -> None:
    code = (
        "import sys; from assay.audits import registry; assert 'ask' in registry.tools(); registry.get_tool('ask');"
        "assert not {'torch', 'transformers', 'inspect_ai', 'numpy', 'assay.truth'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_built_in_tool_loads_under_its_own_name() -> None:
    assert {registry.get_tool(name).name for name in registry.tools()} == set(registry.tools())


def test_unknown_name_offers_the_closest() -> None:
    with pytest.raises(UnknownId, match="close to it: search"):
        registry.get_tool("serch")
    with pytest.raises(UnknownId, match="unknown auditor"):
        registry.get_auditor("nobody")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["assay.core.budget:Budget"], "must be a Tool"),
        (["assay.no_such_module:x"], "cannot be loaded"),
        (["a.b:c", "d.e:f"], "offered twice: a.b:c, d.e:f"),
    ],
)
def test_bad_entry_points_are_told(values: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [metadata.EntryPoint("odd", value, "assay.tools") for value in values]
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: entries)
    with pytest.raises(PluginError, match=said):
        registry.get_tool("odd")


def test_plugin_registers_its_own_tools_and_not_those_it_imports(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", extra="from assay.tools.chat.ask import ask")
    assert [tool.name for tool in registry.load_plugin(path).tools] == ["probe"]


def test_helpers_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    found = []
    for word in ("red", "blue"):
        folder = tmp_path / word
        folder.mkdir()
        (folder / "shade_helper.py").write_text(f"WORD = {word!r}\n", encoding="utf-8")
        path = write(folder / "plug.py", extra="import shade_helper")
        [tool] = registry.load_plugin(path).tools
        found.append(tool.function.__globals__["shade_helper"].WORD)
    assert found == ["red", "blue"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = (\n", r"bad\.py:2: "),
        ("\n\n1 / 0\n", r"bad\.py:3: ZeroDivisionError"),
        ("import broken_helper\n", r"broken_helper\.py:2: NameError"),
        ("raise SystemExit(3)\n", r"bad\.py:1: SystemExit"),
        ("x = 1\n", "defines no tool and no auditor"),
        (TOOL.format(name="p", extra="", body="prompt") + "q = tool(needs=())(p.function)\n", "'p' twice"),
        (TOOL.format(name="p", extra="", body="prompt").replace("async ", ""), "must be an async function"),
    ],
)
def test_broken_plugin_names_file_line_and_reason(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "broken_helper.py").write_text("\nnowhere\n", encoding="utf-8")
    bad = tmp_path / "bad.py"
    bad.write_text(text, encoding="utf-8")
    with pytest.raises(PluginError, match=said):
        registry.load_plugin(bad)
    good = write(tmp_path / "good.py")
    assert [tool.name for tool in registry.load_plugin(good).tools] == ["probe"]


def test_only_python_files_are_plugins(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(InvalidInput, match="not a Python file"):
            registry.load_plugin(path)


def test_a_file_gives_tools_and_auditors(tmp_path: Path) -> None:
    path = write(tmp_path / "both.py", extra=AUDITOR.format(name="idle"))
    plugin = registry.load_plugin(path)
    assert ([t.name for t in plugin.tools], [a.title for a in plugin.auditors]) == (["probe"], ["idle@3 (no LLM)"])
    assert registry.get_auditor("idle", [path]) is registry.collect_auditors([path])["idle"] is plugin.auditors[0]
    assert registry.collect_tools([path, path])["probe"] is plugin.tools[0]  # one file given twice is one plug-in
    assert set(registry.collect_tools([path])) == {"probe", *registry.tools()}
    assert registry.get_auditor("explorer", [path]).name == "explorer"
    with pytest.raises(UnknownId, match=r"Known: .*\bexplorer, idle\b"):
        registry.get_auditor("nobody", [path])


def test_an_edited_plugin_is_loaded_anew_and_is_another(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py")
    [before] = registry.load_plugin(path).tools
    assert registry.load_plugin(path).tools[0] is before
    write(path, body="prompt + '?'")
    [after] = registry.load_plugin(path).tools
    assert after is not before and after.digest != before.digest


@pytest.mark.parametrize("kind", ["tool", "auditor"])
def test_a_plugin_replaces_nothing_that_is_installed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    if kind == "tool":
        write(path, name="ask")
        collect, said = registry.collect_tools, "assay.tools.chat.ask:ask"
    else:
        path.write_text(AUDITOR.format(name="explorer"), encoding="utf-8")
        collect, said = registry.collect_auditors, "assay.auditors.explorer:explorer"
        with pytest.raises(PluginError, match=said):
            registry.get_auditor("explorer", [path])
    with pytest.raises(PluginError, match=rf"is defined by {path} and by the installed {said}"):
        collect([path])


def test_two_plugins_with_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.py"), write(tmp_path / "other.py")
    with pytest.raises(PluginError, match=rf"{other} and by {one}"):
        registry.collect_tools([one, other])


def test_a_tool_with_a_kits_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'chat' has the name of a kit"):
        parse_kit("ask", registry.collect_tools([write(tmp_path / "mine.py", name="chat")]))


def test_every_tool_says_what_it_is_after_and_what_it_costs() -> None:
    for name in registry.tools():
        assert registry.get_tool(name).source.strip() and registry.get_tool(name).weight in ("light", "medium", "heavy")
    assert {name for name in registry.tools() if registry.get_tool(name).source == PLAIN_ACCESS} == {
        "ask",
        "converse",
        "many",
        "system",
    }
