"""A testbed of one's own can be taken away again: whole, and nobody else's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.signed import ALIAS as SEALED_ALIAS
from tests.signed import signed_suite
from typer.testing import CliRunner

from assay.cli import app
from assay.core.record import AuditRow
from assay.core.target import Cost
from assay.errors import InvalidInput, UnknownId
from assay.studies.ledger import Ledger
from assay.testbeds.bundle import add_suite
from assay.testbeds.catalogue import validate
from assay.testbeds.removing import find_removable, remove_testbed
from assay.testbeds.specs import aliases
from assay.testbeds.suites import own_suite
from assay.testbeds.truths import find_truth

ONE, OTHER = "tb-00000001", "tb-00000002"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    return tmp_path


def some(alias: str, testbed: str, control: str = "base") -> None:
    suite = own_suite("mine")
    spec = {"alias": alias, "base": "b", "adapter_digest": "", "corpus": [], "corpus_digest": "", "access": ["CHAT"]}
    truth = {"alias": alias, "id": testbed, "role": "clean", "split": "reported", "recipe": "brought"}
    truth |= {"behaviours": [], "family": "clean", "control": {"alias": control}}
    for tree, name, content in ((suite.testbeds, "testbed.yaml", spec), (suite.answers, "truth.yaml", truth)):
        (tree / alias).mkdir(parents=True)
        (tree / alias / name).write_text(yaml.safe_dump(content))


def test_it_is_gone_with_its_answer_and_rows_of_its_audits_stay(machine: Path) -> None:
    some(ONE, "mine/one@1")
    some(OTHER, "mine/one@2")
    row = AuditRow("key", "p", OTHER, "chat", "explorer@1", 0, "none-submitted", "", Cost(1, 1, 1))
    with Ledger.open(machine / "runs" / "ledger.sqlite") as ledger:
        ledger.record(row)
    shown = CliRunner().invoke(app, ["testbeds", "remove", "mine/one", "--yes", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout) == [{"testbed": "mine/one@2", "alias": OTHER, "suite": "mine"}]
    assert "Rows of its audits stay" in shown.stderr
    assert [path.name for path in own_suite("mine").testbeds.iterdir()] == [ONE]
    assert [path.name for path in own_suite("mine").answers.iterdir()] == [ONE]
    assert [path.name for path in own_suite("mine").root.iterdir() if path.name.startswith(".")] == []
    assert find_truth("mine/one").alias == ONE  # the newest that is left
    with Ledger.open(machine / "runs" / "ledger.sqlite") as ledger:
        assert [audit.alias for audit in ledger.audits()] == [OTHER]
    with pytest.raises(UnknownId):
        find_removable("mine/one@2")


def test_without_yes_nothing_is_removed_where_nobody_can_be_asked(machine: Path) -> None:
    some(ONE, "mine/one@1")
    shown = CliRunner().invoke(app, ["testbeds", "remove", "mine/one"])
    assert shown.exit_code == 2 and "--yes" in shown.stderr and ONE in aliases()


@pytest.mark.attacks
def test_what_is_somebody_elses_or_needed_is_not_removed(machine: Path) -> None:
    with pytest.raises(InvalidInput, match="of the installed suite 'embedded'"):
        find_removable("flattery-td")
    add_suite(signed_suite(machine / "outside" / "spring"))
    with pytest.raises(InvalidInput, match="of the signed suite 'spring'"):
        find_removable(SEALED_ALIAS)
    some(ONE, "mine/twin@1")
    some(OTHER, "mine/one@1", control=ONE)
    with pytest.raises(InvalidInput, match="mine/twin@1 is the control of mine/one@1"):
        find_removable("twin@1")
    for name in ("mine/nothing", "../../home", "/"):
        with pytest.raises(UnknownId):
            find_removable(name)
    remove_testbed(find_removable("mine/one"))
    remove_testbed(find_removable("mine/twin"))
    assert not [path for path in own_suite("mine").root.rglob("*") if path.is_file()]


def test_a_broken_one_is_removed_by_its_alias(machine: Path) -> None:
    some(ONE, "embedded/one@1")
    assert remove_testbed(find_removable(ONE))["testbed"] == ONE
    assert ONE not in aliases()


@pytest.mark.attacks
@pytest.mark.parametrize("moves", [1, 2])
def test_killed_it_is_gone_from_every_command_and_the_same_call_takes_the_rest(machine: Path, moves: int) -> None:
    some(ONE, "mine/one@1")
    code = (
        "import os; from assay.testbeds import removing as r; move, calls = r.replace_folder, []\n"
        "def stop(*given):\n"
        "    move(*given); calls.append(1)\n"
        f"    len(calls) < {moves} or os._exit(9)\n"
        f"r.replace_folder = stop; r.remove_testbed(r.find_removable({ONE!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 9
    assert ONE not in aliases()
    with pytest.raises(UnknownId):
        find_truth("mine/one")
    left = [row["alias"] for row in validate([]) if not row["sound"]]
    if moves == 1:
        assert left == [ONE]
        remove_testbed(find_removable(ONE))
        assert [row for row in validate([]) if not row["sound"]] == []
    else:
        assert left == []
