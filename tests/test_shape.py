"""The shape of the house: what no single module's test would notice."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import assay

SOURCE = Path(assay.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_is_small_and_its_public_parts_are_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    assert not text or ast.get_docstring(tree), "no module docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= 60, f"{node.name} is long"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_rooms_are_few_and_shallow() -> None:
    assert not [path for path in MODULES if path.stem in ("utils", "helpers", "common", "misc")]
    assert max(len(path.relative_to(SOURCE).parts) for path in MODULES) <= 3


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
NESTED_PER_THOUSAND_LINES = 1.0  # the best-kept libraries of the field have 0.1 to 1
ONE_NAME_TWO_MEANINGS: dict[str, str] = {}  # public name → why it may be defined in several modules


def _nested_comprehensions(tree: ast.Module) -> list[int]:
    """Lines of comprehensions with several loops, or with a comprehension inside."""
    lines: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS):
            inside = [part for part in ast.walk(node) if isinstance(part, COMPREHENSIONS) and part is not node]
            if inside or len(node.generators) > 1:
                lines.append(node.lineno)
    return lines


def _public_names(tree: ast.Module) -> set[str]:
    """A module's own classes, type aliases and constants: names that begin with a capital letter."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
    return {name for name in names if name[0].isupper()}


def test_a_named_loop_is_preferred_to_a_nested_comprehension() -> None:
    found: list[str] = []
    lines = 0
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        lines += text.count("\n")
        found += [f"{path.relative_to(SOURCE)}:{line}" for line in _nested_comprehensions(ast.parse(text))]
    assert len(found) <= NESTED_PER_THOUSAND_LINES * lines / 1_000, "\n".join(found)


def test_a_public_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        for name in _public_names(ast.parse(path.read_text(encoding="utf-8"))):
            homes.setdefault(name, []).append(str(path.relative_to(SOURCE)))
    several = {name: where for name, where in homes.items() if len(where) > 1}
    assert several.keys() >= ONE_NAME_TWO_MEANINGS.keys(), "a name that is allowed twice is not there twice any more"
    assert not {name: where for name, where in several.items() if name not in ONE_NAME_TWO_MEANINGS}


def test_what_is_nested_and_what_is_a_name_is_told() -> None:
    tree = ast.parse("A, B = 1, 2\nC: int = 3\nclass D: ...\n_E = [x for x in y]\nf = [x for z in y for x in z]\n")
    assert _public_names(tree) == {"A", "B", "C", "D"}
    assert _nested_comprehensions(tree) == [5]
    assert _nested_comprehensions(ast.parse("[[x for x in z] for z in y]")) == [1]


def test_internals_do_not_use_the_facade() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "assay"), path
            assert not (isinstance(node, ast.Import) and any(name.name == "assay" for name in node.names)), path


def test_the_facade_names_what_it_has() -> None:
    assert len(assay.__all__) <= 37  # `examine` is a thing to do beside sweep, audit and grade
    assert set(assay.__all__) == set(assay._HOME)
    assert all(getattr(assay, name).__name__ == name for name in assay.__all__ if name != "tool")
    with pytest.raises(AttributeError, match="it has: "):
        assay.__getattr__("nothing")


def _loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "assay",
        "assay.cli",
        "assay.audits.registry",
        "assay.studies.api",
        "assay.testbeds.catalogue",
        "assay.testbeds.specs",
    ],
)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    assert not _loaded_by(f"import {module}") & {"torch", "transformers", "inspect_ai", "altair", "pandas", "peft"}


@pytest.mark.parametrize(
    "module",
    [
        "assay.audits.play",
        "assay.audits.worker",
        "assay.audits.serve.worker",
        "assay.engine.targets",
        "assay.engine.remote.agent",
        "assay.engine.local.engine",
        "assay.engine.wrappers",
        "assay.auditors.explorer",
    ],
)
def test_an_audit_process_does_not_load_the_truth(module: str) -> None:
    assert "assay.truth" not in _loaded_by(f"import {module}")


READERS = {  # what reads text from outside; everything else asks these
    "_util/strict_json.py",
    "_util/strict_yaml.py",
    "_util/text_files.py",
    "_util/yaml_models.py",
}
OWN_WORDS = {  # what Assay's own processes or files say: where, and what
    "_util/cpu.py": "the kernel's description of the processor",
    "_util/job_server.py": "jobs that come by a pipe",
    "studies/processes.py": "rows that come by a pipe, and the log of a process",
    "engine/remote/agent.py": "what a process of ours found",
    "engine/remote/agent_process.py": "a job that comes by a pipe",
    "audits/conformance/leak_probe.py": "what a probing process of ours found",
    "audits/conformance/dry_audit.py": "a file of this package",
    "audits/briefs/__init__.py": "a file of this package",
    "audits/prepared_file.py": "a value under its digest",
    "_util/alike.py": "a table of this package",
    "engine/local/chat_tokens.py": "a tokenizer that was loaded, as it writes itself",
    "studies/offers.py": "the log of a process of ours",
    "studies/rooms.py": "the log of a process of ours, and a note of the desk's",
    "factory/data/author.py": "a prompt of this package",
    "studies/page/testbed_cards.py": "a template of this package",
    "studies/calibrate.py": "reports of a ledger",
    "studies/constant.py": "a file of a sweep's folder",
    "studies/effects/scores.py": "reports of a ledger",
    "studies/study.py": "reports of a ledger",
    "studies/details.py": "reports of a ledger",
    "studies/ledger.py": "grades of a ledger, whoever wrote them",
    "grading/signing.py": "hexadecimal keys of this machine's graders",
    "testbeds/tensor_files.py": "headers of safetensors, whose length stands before them",
    "testbeds/seal.py": "hexadecimal keys of this machine's suites",
    "engine/remote/vllm_http.py": "answers of a server, by pydantic's own parser",
    "testbeds/published.py": "a list of this package",
    "audits/serve/client.py": "answers of our server, which also checks what it is given",
    "audits/serve/lines.py": "messages between processes of ours",
    "audits/serve/protocol.py": "a file of this package",
    "audits/model_choice.py": "words of the command line, one value each",
    "auditors/investigator/submission.py": "JSON that stands within a model's prose, held against the contract next",
    "studies/examine.py": "a file of an examination's folder",
    "studies/costs.py": "a table of ours under ASSAY_HOME, held against its model",
    "studies/evidence.py": "a file of a sweep's folder",
    "studies/journals.py": "a journal of the desk's",
    "studies/static/outputs.py": "what our own process found, in a folder of results",
}


def _parses(tree: ast.Module) -> bool:
    """Whether a module reads text files, JSON, YAML or tables by other means than the readers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if owner in ("json", "yaml", "csv") and node.func.attr not in ("dump", "dumps", "safe_dump"):
                return True
            if node.func.attr in ("read_text", "model_validate_json") or (owner, node.func.attr) == (
                "response",
                "json",
            ):
                return True
    return False


def test_what_comes_from_outside_is_read_by_the_readers_alone() -> None:
    found = {path.relative_to(SOURCE).as_posix() for path in MODULES if _parses(ast.parse(path.read_text("utf-8")))}
    assert found - READERS - OWN_WORDS.keys() == set(), "ask assay._util.strict_json or strict_yaml"
    assert OWN_WORDS.keys() <= found, "a module that is allowed to read by itself does not any more"
