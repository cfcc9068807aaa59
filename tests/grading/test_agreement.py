"""How judges agree with labels is measured rightly; a validation that is forged, old or too small counts for nought."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.grading.judges import Asked, blocks, panel, verdict

from assay.grading.judge import validation as module
from assay.grading.judge.agreement import LEAST, kappa, rates_by_kind
from assay.grading.judge.labels import LABEL_OF, ClaimKind, LabelledClaim, read_labelled
from assay.grading.judge.rubric import Rubric
from assay.grading.judge.validation import ValidateJob, Validation, is_validated, validate_job, validation_of
from assay.grading.signing import Signer

pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")
CLAIMS = Path(__file__).parents[2] / "bench" / "claims"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_KEYS", str(tmp_path / "keys"))


def claims(**counts: int) -> list[LabelledClaim]:
    """So many claims of each kind, in ten families, that say what they are."""
    made: list[LabelledClaim] = []
    for name, count in counts.items():
        kind: ClaimKind = name.replace("_", "-")  # type: ignore[assignment]
        for number in range(count):
            said = {"truth": "t", "claim": f"{kind} {number}", "trigger": "", "family": f"f{number % 10}"}
            made.append(LabelledClaim(**said, label=LABEL_OF[kind], kind=kind))
    return made


def knows(*wrong: str) -> Callable[[Asked], dict[str, str]]:
    """A judge that knows what each claim is, and accepts these wrong ones too."""

    def says(asked: Asked) -> dict[str, str]:
        said = blocks(asked)["finding"]["claim"]
        return verdict("true" if said.startswith("true ") or said in wrong else LABEL_OF[said.split()[0]])

    return says


async def validated(labelled: list[LabelledClaim], *judges: Callable[[Asked], object]) -> Validation:
    told: list[object] = []
    names = [f"mock/{seat}" for seat in range(len(judges))]
    job = ValidateJob(judges=names, claims=labelled, labellers=["Ada"])
    await validate_job(job, panel(*judges), lambda _, data: told.append(data), Signer.here())
    found = Validation.model_validate(told[0])
    found.keep()
    return found


def test_kappa_is_cohens() -> None:
    ours = ["yes"] * 25 + ["no"] * 25
    theirs = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(ours, theirs) == pytest.approx(0.4)
    assert kappa([1, 1], [1, 1]) == 1.0 and kappa([1, 0], [0, 1]) == -1.0


def test_rates_are_by_kind_with_families_as_clusters() -> None:
    labelled = claims(true=40, near_miss=40, vague=40)
    one_family = [one.model_copy(update={"family": "f" if i < 20 else str(i)}) for i, one in enumerate(labelled)]
    accepted = [i < 20 for i in range(120)]
    alike, apart = rates_by_kind(one_family, accepted)[0], rates_by_kind(labelled, accepted)[0]
    assert (alike.kind, alike.claims, alike.accepted, alike.met) == ("true", 40, 0.5, False)
    assert alike.interval[1] - alike.interval[0] > apart.interval[1] - apart.interval[0]


async def test_a_judge_that_reads_as_people_do_is_validated() -> None:
    found = await validated(claims(true=40, near_miss=40, vague=50, wrong=3), knows("near-miss 1"))
    assert found.meets and found.undecided == 0 and found.kappas["mock/0"] > 0.98
    assert {rate.kind: rate.accepted for rate in found.rates}["near miss"] == 1 / 40
    assert is_validated(["mock/0"]) and not is_validated(["mock/1"]) and not is_validated(["mock/0", "mock/1"])


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [
        ({"true": 40, "near_miss": 40, "vague": 50}, ["near-miss 1", "near-miss 2", "near-miss 3"]),
        ({"true": 40, "near_miss": 40, "vague": 50}, ["vague 1", "vague 2"]),
        ({"true": LEAST - 1, "near_miss": 40, "vague": 50}, []),
        ({"true": 40, "vague": 50}, []),
        ({"true": 40, "near_miss": 40}, []),
    ],
    ids=["accepts near misses", "accepts vague ones", "few true ones", "no near misses", "no vague ones"],
)
async def test_below_any_bar_or_on_too_little_nobody_is_validated(counts: dict[str, int], wrong: list[str]) -> None:
    found = await validated(claims(**counts), knows(*wrong))
    assert not found.meets and not is_validated(["mock/0"])


async def test_a_judge_that_fails_is_no_reader() -> None:
    found = await validated(claims(true=40, near_miss=40, vague=50), lambda _: "no form")
    assert found.undecided == 130 and not found.meets


async def test_of_two_judges_both_must_accept() -> None:
    both = await validated(claims(true=40, near_miss=40, vague=50), knows("near-miss 1"), knows("near-miss 2"))
    rates = {rate.kind: rate.accepted for rate in both.rates}
    assert both.split == 2 and rates["near miss"] == 0 and both.meets


@pytest.mark.attacks
async def test_a_record_that_no_grader_signed_validates_nobody() -> None:
    found = await validated(claims(true=40, near_miss=40, vague=50), knows("vague 1", "vague 2"))
    forged = found.model_copy(update={"meets": True})
    forged.keep()
    assert not is_validated(["mock/0"]) and validation_of(["mock/0"]) is None
    moved = found.model_copy(update={"panel": ["mock/9"], "digest": module.panel_digest(["mock/9"])})
    moved.keep()
    assert not is_validated(["mock/9"])


async def test_another_rubric_is_not_validated_by_the_earlier_ones_record(monkeypatch: pytest.MonkeyPatch) -> None:
    await validated(claims(true=40, near_miss=40, vague=50), knows())
    assert is_validated(["mock/0"])
    monkeypatch.setattr("assay.grading.judge.digest.rubric", lambda name: Rubric(name, "be kind"))
    assert not is_validated(["mock/0"])


def test_the_claims_of_the_benchmark_can_be_judged() -> None:
    labelled, labeller = read_labelled(CLAIMS / "test.yaml")
    assert labeller == "as written (test.yaml)" and len({one.family for one in labelled}) > 10
    assert {one.kind for one in labelled} == set(LABEL_OF)
    claims_of = {rate.kind: rate.claims for rate in rates_by_kind(labelled, [True] * len(labelled))}
    assert all(claims_of[group] >= LEAST for group in ("true", "near miss", "vague"))
