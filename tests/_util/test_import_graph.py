"""Identity follows imports: what a module runs changes its digest, and so the run key; what it does not, leaves it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay._util import import_graph
from assay._util.import_graph import closure, digest_of_function
from assay.audits.cell import cell_key
from assay.audits.kits import KitPlan
from assay.audits.registry import get_auditor, get_tool, tools
from assay.core.auditor import Auditor
from assay.core.budget import Budget
from assay.core.testbed import TargetSpec
from assay.core.tool import Tool
from assay.errors import InvalidInput, PluginError
from assay.grading import digest as grader

PACKAGE = Path(assay.__file__).parent
STARTS = {
    "search": ("tools/training_data/search.py",),
    "explorer": ("auditors/explorer/explore.py",),
    "grader": tuple(f"grading/{name}" for name in grader.GRADERS),
}
UNRELATED = (
    "tools/activations/fuzz.py",
    "studies/run.py",
    "testbeds/specs.py",
    "engine/local/decode.py",
    "cli/tools.py",
)


def names(*starts: str) -> set[str]:
    return {name.removeprefix("assay/") for name in closure(*(PACKAGE / start for start in starts)).files}


def run_key(tool: Tool, auditor: Auditor) -> str:
    spec = TargetSpec("tb", "base", None, "", (), "", frozenset())
    kit = KitPlan(tool.name, ((tool.name, False),))
    return cell_key(
        spec, None, kit, {tool.name: tool}, auditor=auditor, budget=Budget(), seed=0, engines={"tb": "local"}
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's code and its small data, to be changed."""
    target = tmp_path_factory.mktemp("copy") / "assay"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("embedded", "__pycache__"))
    return target


@pytest.mark.parametrize("what", STARTS)
def test_each_imported_file_counts_and_no_other(what: str, copy: Path) -> None:
    def digest() -> str:
        return closure(*(copy / start for start in STARTS[what])).digest

    before = digest()
    counted = closure(*(copy / start for start in STARTS[what])).files.values()
    for file in counted:
        content = file.read_bytes()
        file.write_bytes(content + b"\n# changed\n")
        assert digest() != before, f"{file} is imported and changed nothing"
        file.write_bytes(content)
    for name in UNRELATED:
        assert copy / name not in counted
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content + b"\n# changed\n")
        assert digest() == before
        (copy / name).write_bytes(content)


def test_the_digests_that_key_runs_and_grades_are_those_of_the_graph() -> None:
    assert get_tool("search").digest == closure(PACKAGE / "tools/training_data/search.py").digest
    assert get_auditor("explorer").digest == closure(PACKAGE / "auditors/explorer/explore.py").digest
    assert grader.source_digest(PACKAGE / "grading") == closure(*(PACKAGE / name for name in STARTS["grader"])).digest


@pytest.mark.parametrize("changed", ["_util/embedding.py", "auditors/explorer/calibration.json"])
def test_the_run_key_follows(changed: str, copy: Path) -> None:
    from dataclasses import replace

    def key() -> str:
        tool = replace(get_tool("search"), digest=closure(copy / "tools/training_data/search.py").digest)
        auditor = replace(get_auditor("explorer"), digest=closure(copy / "auditors/explorer/explore.py").digest)
        return run_key(tool, auditor)

    before, content = key(), (copy / changed).read_bytes()
    (copy / changed).write_bytes(content + b"\n")
    assert key() != before
    (copy / changed).write_bytes(content)
    assert key() == before


def test_what_the_closures_hold() -> None:
    search = names("tools/training_data/search.py")
    assert {"_util/embedding.py", "_util/ngrams.py", "tools/text.py", "core/target.py"} <= search
    assert not [name for name in search if name.startswith(("studies/", "auditors/", "truth/"))]
    explorer = names(*STARTS["explorer"])
    assert {
        f"auditors/explorer/{name}" for name in ("battery.yaml", "background.jsonl", "calibration.json")
    } <= explorer
    assert {f"auditors/explorer/{file.name}" for file in (PACKAGE / "auditors/explorer").glob("*.py")} <= explorer
    grading = names(*STARTS["grader"])
    assert {"grading/pools/lineup.yaml", "grading/pools/swapped.yaml", "truth/detector.py", "core/run.py"} <= grading
    wrappers = {
        f"grading/{name}.py"
        for name in (
            "jobs",
            "digest",
            "worker",
            "signing",
            "ceiling",
            "evidence",
            "examined",
            "read_tools",
            "tool_reader",
        )
    }  # they grade nothing
    assert {f"grading/{file.name}" for file in (PACKAGE / "grading").glob("*.py")} - wrappers <= grading


def test_versions_of_what_makes_numbers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    search = PACKAGE / "tools/training_data/search.py"
    found = closure(search)
    assert {"wordllama", "bm25s"} <= set(found.distributions)
    assert not import_graph.CARRIERS & set(found.distributions)
    monkeypatch.setattr(import_graph, "_distribution", lambda module: (module, "another"))
    assert closure(search).digest != found.digest


def test_all_tools_take_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted and not timed: what one tool read is not parsed for another, and no folder is walked twice for one."""
    walked: list[Path] = []
    walk = import_graph._data_of_package

    def walking(folder: Path) -> Any:
        walked.append(folder)
        return walk(folder)

    monkeypatch.setattr(import_graph, "_data_of_package", walking)
    files = [Path(get_tool(name).function.__code__.co_filename) for name in tools()]
    import_graph._parse_content.cache_clear()
    for file in files:
        walked.clear()
        assert closure(file).digest
        assert walked and len(walked) == len(set(walked)), file
    read = import_graph._parse_content.cache_info()
    assert read.misses == read.currsize and read.hits > 5 * read.misses


# Plug-ins -----------------------------------------------------------------------------------------------------------


def write(folder: Path, **texts: str) -> Path:
    """Modules of a plug-in (`pack__deep` is pack/deep.py); the file `plug.py`."""
    for name, text in texts.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py") if "__init" not in name else None
        path = path or folder / name.split("__")[0] / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "plug.py"


def changes(plug: Path, path: Path, text: str) -> bool:
    before = closure(plug).digest
    path.write_text(text, encoding="utf-8")
    return closure(plug).digest != before


@pytest.mark.parametrize(
    "imported",
    [
        "import pack.deep",
        "from pack import deep",
        "from pack.deep import A",
        "def later():\n    from pack.deep import A",
        "try:\n    import pack.deep\nexcept ImportError:\n    pass",
    ],
)
def test_helpers_count_however_they_are_imported(imported: str, tmp_path: Path) -> None:
    plug = write(tmp_path, plug=imported, pack__init="", pack__deep="A = 1", other="B = 1")
    assert changes(plug, tmp_path / "pack" / "deep.py", "A = 2")
    assert not changes(plug, tmp_path / "other.py", "B = 2")


def test_relative_imports_and_packages_without_an_init(tmp_path: Path) -> None:
    plug = write(tmp_path, plug="import pack", pack__init="from . import deep", pack__deep="from .deeper import A")
    write(tmp_path, pack__deeper="A = 1", plain__leaf="C = 1")
    assert changes(plug, tmp_path / "pack" / "deeper.py", "A = 2")
    assert changes(write(tmp_path, plug="import plain.leaf"), tmp_path / "plain" / "leaf.py", "C = 2")


def test_what_stands_under_type_checking_never_runs(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import other\nelse:\n    import used\n"
    plug = write(tmp_path, plug=text, other="B = 1", used="A = 1")
    assert not changes(plug, tmp_path / "other.py", "B = 2")
    assert changes(plug, tmp_path / "used.py", "A = 2")


@pytest.mark.parametrize("text", ["from assay import tool", "import assay\nmade = assay.tool"])
def test_names_of_the_facade_lead_to_their_module(text: str, tmp_path: Path) -> None:
    found = closure(write(tmp_path, plug=text)).files
    assert "assay/core/tool.py" in found and "assay/core/report.py" not in found
    assert "assay/__init__.py" not in found


def test_a_lone_file_brings_the_data_it_names_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("words.txt", "runs/ledger.sqlite", "notes.md"):
        (tmp_path / name).write_text("1", encoding="utf-8")
    plug = write(tmp_path, plug='WORDS = Path(__file__).with_name("words.txt")\nOUT = "runs"\nSECRET = "/etc/hostname"')
    assert changes(plug, tmp_path / "words.txt", "2")
    assert not changes(plug, tmp_path / "runs" / "ledger.sqlite", "2")
    assert set(closure(plug).files) == {"plug.py", "words.txt"}


def test_a_package_brings_its_data(tmp_path: Path) -> None:
    plug = write(tmp_path, plug="import pack", pack__init="", pack__code__inner="")
    for name in ("pack/prompts/one.md", "pack/code/never.md", "beside.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1", encoding="utf-8")
    assert set(closure(plug).files) == {"plug.py", "pack/__init__.py", "pack/prompts/one.md"}


def test_beside_an_installed_file_lie_other_peoples_packages(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    write(site, mine__init="import theirs\nfrom mine import inner", mine__inner="", theirs__init="")
    assert set(closure(site / "mine" / "__init__.py").files) == {"mine/__init__.py", "mine/inner.py"}


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.py: no such file"):
        closure(tmp_path / "nothing.py")
    with pytest.raises(PluginError, match=r"helper\.py:2: "):
        closure(write(tmp_path, plug="import helper", helper="A = 1\nB = ("))


def test_a_function_typed_into_a_session_has_an_identity_too() -> None:
    def made(body: str) -> Callable[[], int]:
        space: dict[str, Callable[[], int]] = {}
        exec(f"def f() -> int:\n    return {body}\n", space)
        return space["f"]

    assert digest_of_function(made("1")) == digest_of_function(made("1")) != digest_of_function(made("2"))
