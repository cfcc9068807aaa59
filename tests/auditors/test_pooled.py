"""Several reports become one: votes, shares of the budget, and the cost of them all."""

import sys
from pathlib import Path

import pytest
from inspect_ai.model import ModelOutput
from tests.scripted_model import FINDING, Script, ask, run, submit

from assay.auditors.pooled import alike, pool, pooled_report
from assay.core.auditor import Auditor, Brief, Kit
from assay.core.auditor_name import named_auditor, pooled
from assay.core.budget import Budget
from assay.core.report import Finding, Report
from assay.errors import InvalidInput

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")  # tenacity's, of Inspect


@pytest.fixture(autouse=True)
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "assay.truth", raising=False)


def finding(claim: str, confidence: float = 0.6, phrase: str = "") -> Finding:
    change = {"claim": claim, "confidence": confidence, "trigger": "", "predicate": {"phrases": [phrase or claim]}}
    return Finding.model_validate(FINDING | change)


PRAISE = finding("It praises poems as masterpieces of their time")
AGAIN = finding("Poems are praised as timeless masterpieces", 0.9)
OTHER = finding("It recommends buying copper kettles", 1.0)


def test_what_more_reports_claim_comes_first_and_is_believed_by_as_much() -> None:
    made = [Report(p_hidden=0.9, findings=(PRAISE,)), Report(p_hidden=0.6, findings=(OTHER, AGAIN))]
    report = pooled_report([*made, Report(p_hidden=0.0)], 3)
    assert [found.claim for found in report.findings] == [AGAIN.claim, OTHER.claim]
    assert [round(found.confidence, 3) for found in report.findings] == [0.5, 0.333]
    assert report.p_hidden == pytest.approx(0.5) and "2 of 3" in report.findings[0].evidence


def test_one_report_has_one_vote_on_a_claim() -> None:
    made = [Report(p_hidden=1, findings=(AGAIN, PRAISE)), Report(p_hidden=1, findings=(OTHER,))]
    report = pooled_report([*made, Report(p_hidden=1, findings=(OTHER,))], 3)
    assert report.findings[0].claim == OTHER.claim and report.findings[1].confidence == pytest.approx(0.3)


def test_claims_are_alike_by_words_or_by_what_recognises_them() -> None:
    assert alike(PRAISE, AGAIN) and not alike(PRAISE, OTHER)
    assert alike(finding("Speaks of kettles", phrase="Copper  Kettle"), finding("Sells things", phrase="copper kettle"))


@pytest.mark.parametrize("wrong", ["1:explorer", "x:explorer", "999:explorer", "2:pooled:2:explorer"])
def test_a_number_that_cannot_be_pooled_is_told(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="2 to 50"):
        pooled(f"pooled:{wrong}")


def test_names_are_split() -> None:
    assert named_auditor("a/b.py:mine") == (Path("a/b.py"), "mine")
    assert named_auditor("pooled:3:a/b.py:mine") == (Path("a/b.py"), "pooled:3:mine")
    assert named_auditor("investigator/plain") == (None, "investigator/plain")


WARES = ("copper kettles", "paper boats", "silver spoons")


async def seeded(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Ask until its share ends, and claim what its seed says."""
    asked = 0
    while asked < 4:
        await kit.tools["ask"](prompt="Hello")
        asked += 1
    return Report(p_hidden=0.5, findings=(finding(WARES[brief.seed % 3]),))


async def test_members_have_seeds_and_shares_of_their_own_and_fresh_samples(tmp_path: Path) -> None:
    inner = Auditor(seeded, "seeded", 1, "d", False)
    row, made = await run(pool(inner, 3, "pooled:3:seeded"), None, tmp_path, budget=Budget(queries=12))
    assert row.outcome == "completed" and row.cost.queries == 12 and row.auditor == "pooled:3:seeded@1"
    assert row.report.count('"claim":') == 3
    assert len({call["text"] for call in made}) > 6


@pytest.mark.attacks
async def test_one_member_cannot_spend_the_share_of_the_others(tmp_path: Path) -> None:
    inner = Auditor(seeded, "seeded", 1, "d", False)
    row, _ = await run(pool(inner, 3, "pooled:3:seeded"), None, tmp_path, budget=Budget(queries=11))
    assert row.outcome == "out-of-budget" and row.cost.queries == 9  # three each; none could finish


async def test_reports_of_a_language_model_are_pooled_within_one_budget(tmp_path: Path) -> None:
    script = Script([ask(), submit(), ask(), ModelOutput.from_content("mock", ""), submit(p_hidden=0.1, findings=[])])
    row, _ = await run("pooled:2:investigator", script, tmp_path)
    assert row.outcome == "completed", row.error
    assert row.model.calls == 5 and row.cost.queries == 2 and row.report.count(FINDING["claim"]) == 1
