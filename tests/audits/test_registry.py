"""Tools and auditors are found lazily; a broken plug-in says where it is broken and harms nobody else."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from assay.audits import registry
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
    path = write(tmp_path / "mine.py", extra="from assay.tools.ask import ask")
    assert [tool.name for tool in registry.load_plugin(path)] == ["probe"]


def test_helpers_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    found = []
    for word in ("red", "blue"):
        folder = tmp_path / word
        folder.mkdir()
        (folder / "shade_helper.py").write_text(f"WORD = {word!r}\n", encoding="utf-8")
        path = write(folder / "plug.py", extra="import shade_helper")
        [tool] = registry.load_plugin(path)
        found.append(tool.function.__globals__["shade_helper"].WORD)
    assert found == ["red", "blue"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = (\n", r"bad\.py:2: "),
        ("\n\n1 / 0\n", r"bad\.py:3: ZeroDivisionError"),
        ("import broken_helper\n", r"broken_helper\.py:2: NameError"),
        ("raise SystemExit(3)\n", r"bad\.py:1: SystemExit"),
        ("x = 1\n", "defines no tool"),
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
    assert [tool.name for tool in registry.load_plugin(good)] == ["probe"]


def test_only_python_files_are_plugins(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(InvalidInput, match="not a Python file"):
            registry.load_plugin(path)


def test_digest_covers_file_and_helpers_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from . import deep\n", encoding="utf-8")
    deep = tmp_path / "pack" / "deep.py"
    deep.write_text("A = 1\n", encoding="utf-8")
    other = tmp_path / "other.py"
    other.write_text("B = 1\n", encoding="utf-8")
    path = write(tmp_path / "plug.py", body="__import__('json').dumps(prompt)", extra="import pack")
    before = registry.plugin_digest(path)
    other.write_text("B = 2\n", encoding="utf-8")
    assert registry.plugin_digest(path) == before
    deep.write_text("A = 2\n", encoding="utf-8")
    after = registry.plugin_digest(path)
    assert after != before
    path.write_text(path.read_text(encoding="utf-8") + "\n# a word\n", encoding="utf-8")
    assert registry.plugin_digest(path) not in {before, after}


def test_digest_of_a_built_in_covers_its_helpers_and_the_lexicon() -> None:
    from assay.audits.plugin_source import _imported

    file = registry.source_file(registry.get_tool("search"))
    names = {found.name for found in _imported(file, file.parent)}
    assert names == {"everyday.py", "text.py", "lexicon.py"}
