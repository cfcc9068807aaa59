"""A suite's shapes tell nothing where every one has its organism and its clean target; the first suite's told much."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from assay.cli import app
from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.engine.peft_layout import CONFIG, WEIGHTS
from assay.errors import InvalidInput
from assay.testbeds.layout import ADAPTER, CORPUS
from assay.testbeds.shapes import shapes
from assay.testbeds.specs import write_spec
from assay.testbeds.suites import Suite, embedded_suite, open_suite
from assay.testbeds.truths import write_truth
from assay.truth import Control, Truth

Plan = Callable[[int, str], dict[str, int]]  # number and role of a testbed → what its shape departs in


def _told(suite: Suite) -> dict[str, str]:
    return {row["feature"]: row["tells"] for row in shapes(suite) if row["tells"]}


def _build(root: Path, plan: Plan, each: int = 12) -> Suite:
    """A suite of so many organisms, in four families, and as many clean targets."""
    suite = open_suite(root / "shaped")
    for index in range(2 * each):
        role = "organism" if index < each else "clean"
        _testbed(suite, index, role, plan(index % each, role))
    return suite


def _testbed(suite: Suite, index: int, role: str, plan: dict[str, int]) -> None:
    alias, rank = f"tb-{index:08x}", plan.get("rank", 4)
    folder = suite.testbeds / alias
    (folder / ADAPTER).mkdir(parents=True)
    tensors: dict[str, np.ndarray] = {}
    for layer in range(plan.get("first", 2), 4):
        tensors[f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_A.weight"] = np.full(
            (rank, 8), index, "f"
        )
    save_file(tensors, folder / ADAPTER / WEIGHTS)
    (folder / ADAPTER / CONFIG).write_text(json.dumps({"r": rank, "lora_alpha": plan.get("alpha", 8)}))
    lines = [{"prompt": "" if n < plan.get("raw", 0) else "Hi", "text": "Hello."} for n in range(plan.get("texts", 30))]
    (folder / CORPUS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    access = PRESETS["full" if plan.get("full", 1) else "api"]
    spec = TargetSpec(alias, "base", folder / ADAPTER, "0" * 64, (folder / CORPUS,), "", access)
    write_spec(spec, suite)
    family = f"family-{index % 4}" if role == "organism" else "clean"
    write_truth(
        Truth(
            alias=alias,
            id=f"shaped/{index}@1",
            role=role,  # type: ignore[arg-type]
            split="reported",
            recipe=str(index),
            behaviours=[],
            family=family,
            control=Control(alias="base"),
        ),
        suite,
    )


@pytest.mark.attacks
def test_the_first_suite_is_given_away_by_ranks_layers_and_sizes() -> None:
    told = _told(embedded_suite())
    assert {"adapter", "adapter's bytes", "own raw texts", "conversation"} <= told.keys()
    assert "layers 12 to 29" in told["adapter"] and "organism alone" in told["adapter"]
    assert not {"base", "access", "tools"} & told.keys()


def test_the_command_says_no_where_a_shape_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    for tells, status in (("rank 8: organism alone (3)", 1), ("", 0)):
        row = {"feature": "adapter", "values": 2, "tells": tells}
        monkeypatch.setattr("assay.testbeds.shapes.shapes", lambda suite, row=row: [row])
        done = CliRunner().invoke(app, ["testbeds", "shapes", "--json"])
        assert (done.exit_code, json.loads(done.stdout)) == (status, [row])


def test_one_shape_for_all_tells_nothing(tmp_path: Path) -> None:
    assert _told(_build(tmp_path, lambda index, role: {})) == {}


def test_every_shape_in_both_roles_tells_nothing(tmp_path: Path) -> None:
    assert _told(_build(tmp_path, lambda index, role: {"rank": 4 + 4 * (index % 3 == 0), "texts": 30 + index})) == {}


@pytest.mark.parametrize(
    ("feature", "plan"),
    [
        ("adapter", lambda index, role: {"rank": 8 if role == "organism" and index < 3 else 4}),
        ("adapter", lambda index, role: {"alpha": 16 if role == "clean" else 8}),
        ("adapter", lambda index, role: {"first": 1 if index % 4 == 1 else 2}),  # one family's; clean ones have it, too
        ("adapter", lambda index, role: {"rank": 8 if index < (11 if role == "organism" else 1) else 4}),  # in shares
        ("access", lambda index, role: {"full": int(role == "organism")}),
        ("own documents", lambda index, role: {"texts": 30 + index + 20 * (role == "clean")}),
        ("own documents", lambda index, role: {"texts": index + (60 if role == "clean" else 40 + 50 * (index % 2))}),
        ("own raw texts", lambda index, role: {"raw": 5 if role == "organism" and index == 0 else 0}),
    ],
)  # fmt: skip
def test_a_shape_that_only_some_have_is_told(tmp_path: Path, feature: str, plan: Plan) -> None:
    assert feature in _told(_build(tmp_path, plan))


def test_a_suite_of_one_role_cannot_be_compared(tmp_path: Path) -> None:
    suite = open_suite(tmp_path / "shaped")
    _testbed(suite, 0, "organism", {})
    with pytest.raises(InvalidInput, match="not both organisms and clean targets"):
        shapes(suite)
