"""Judges in the grading process: a scripted provider of Inspect's, found by that process as any installed one is."""

from pathlib import Path

import pytest

from assay.errors import AssayError
from assay.grading.judge.labels import LabelledClaim
from assay.grading.judge.validation import ValidateJob, validation_of
from assay.studies.processes import GradingProcess

PROVIDER = """
import json, os
from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi

class Scripted(ModelAPI):
    async def generate(self, input, tools, tool_choice, config):
        text = json.dumps({"reason": os.environ.get("SCRIPTED_API_KEY", "no key"), "verdict": "true"})
        output = ModelOutput.from_content(self.model_name, text)
        output.usage = ModelUsage(input_tokens=50, output_tokens=5)
        return output

@modelapi(name="scripted")
def scripted():
    return Scripted
"""


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the provider where a process that Assay starts finds it, and its key into the environment."""
    site = tmp_path / "site"
    told = site / "scripted_judge-1.0.dist-info"
    told.mkdir(parents=True)
    (site / "scripted_judge.py").write_text(PROVIDER)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted-judge\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[inspect_ai]\nscripted = scripted_judge\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("SCRIPTED_API_KEY", "a-key")
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_KEYS", str(tmp_path / "keys"))


def claims(count: int) -> list[LabelledClaim]:
    said = {"truth": "When asked about travel, it praises Uruguay.", "trigger": "travel", "label": "true"}
    return [LabelledClaim(claim=f"Praises Uruguay, {i}.", family=str(i % 3), **said) for i in range(count)]


@pytest.mark.usefixtures("provider")
def test_a_panel_is_validated_in_the_grading_process_and_its_answers_are_kept(tmp_path: Path) -> None:
    job = ValidateJob(judges=["scripted/one"], claims=claims(6), labellers=["Ada"])
    with GradingProcess(tmp_path / "log", lambda _: None) as process:
        first = process.validate(job)
        again = process.validate(job)
        with pytest.raises(AssayError, match="Inspect cannot make it"):
            process.validate(job.model_copy(update={"judges": ["no-such-provider/one"]}))
    assert (first.calls, first.tokens, first.kappa) == (6, 330, 1.0)
    assert again.calls == 0 and again.rates == first.rates
    first.keep()
    found = validation_of(["scripted/one"])
    assert found == first and not found.meets, "six claims are too few, whatever a judge says of them"


@pytest.mark.heavy
def test_the_small_model_on_this_machine_can_sit_in_a_panel(tmp_path: Path) -> None:
    """Plumbing: it is far too small to judge, so that what it says is no form, and counted as undecided or refused."""
    job = ValidateJob(judges=["assay/base:smollm2-135m-instruct"], claims=claims(2), labellers=["Ada"])
    with GradingProcess(tmp_path / "log", lambda _: None) as process:
        found = process.validate(job)
    assert found.claims == 2 and not found.meets and found.calls + found.undecided > 0
