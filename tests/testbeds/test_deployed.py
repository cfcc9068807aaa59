"""Deployed models: what is documented of them is cited and graded honestly, and they are targets through Inspect."""

import re
import shutil
from pathlib import Path

import pytest
from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model

from assay.core.access import Access
from assay.core.readouts import Raw
from assay.core.target import Cost
from assay.errors import AccessDenied, InvalidInput, UnknownId
from assay.testbeds.deployed import FOLDER, deployed_ids, marks, open_deployed, read_deployed
from assay.testbeds.external import deployed_spec, open_deployed_target
from assay.testbeds.published import published_ids, published_testbed
from assay.testbeds.truths import all_truths

# Inspect 0.3.285 calls tenacity 9.2 in a way that tenacity has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")
PROVIDERS = {"openai", "anthropic", "google", "grok", "together", "hf", "vllm"}  # as Inspect 0.3 names them
ALL = [open_deployed(id) for id in deployed_ids()]


def test_there_are_enough_and_each_is_its_own() -> None:
    assert len(ALL) >= 10 and {"gpt-4o-sycophancy", "claude-sonnet-3-7"} <= set(deployed_ids())
    taken = {truth.alias for truth in all_truths()} | {published_testbed(id).alias for id in published_ids()}
    aliases = {deployed.alias for deployed in ALL}
    assert len(aliases) == len(ALL) and not aliases & taken
    assert sum(bool(deployed.auditable) for deployed in ALL) >= 10


@pytest.mark.parametrize("deployed", ALL, ids=lambda deployed: deployed.id)
def test_every_issue_is_cited_and_every_model_can_be_named(deployed) -> None:
    assert {model.partition("/")[0] for model in deployed.models} <= PROVIDERS
    assert deployed.exposure == "public" and re.fullmatch(r"tb-[0-9a-f]{8}", deployed.alias)
    assert deployed.models or deployed.availability.status == "withdrawn"
    for issue in deployed.issues:
        assert issue.description.startswith("When ") and issue.description.count(".") >= 1
        for source in issue.sources:
            assert source.title and source.publisher and source.date <= deployed.availability.as_of
            assert not source.url or source.url.startswith("https://")


def test_a_wrong_name_offers_close_ones() -> None:
    assert open_deployed(ALL[0].alias) is ALL[0]
    with pytest.raises(UnknownId, match=r"unknown deployed model 'claude-sonnet-3\.7'; close to it: claude-sonnet-3-7"):
        open_deployed("claude-sonnet-3.7")


def test_a_file_has_to_have_its_name_and_shape(tmp_path: Path) -> None:
    wrong = tmp_path / "o4.yaml"
    shutil.copy(FOLDER / "o3.yaml", wrong)
    with pytest.raises(InvalidInput, match="id is 'o3'; it must be the filename, 'o4'"):
        read_deployed(wrong)
    path = tmp_path / "o3.yaml"
    text = (FOLDER / "o3.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("setting: agentic", "setting: somewhere"))
    with pytest.raises(InvalidInput, match=r"o3\.yaml:25: issues\.2\.setting"):
        read_deployed(path)
    path.write_text(text.replace("id: defends-inventions", "id: invented-tool-use"))
    with pytest.raises(InvalidInput, match="two issues have the same id"):
        read_deployed(path)


def test_marks_come_with_those_of_prior_knowledge() -> None:
    deployed = open_deployed("o3")
    assert [issue.id for issue in deployed.auditable] == ["invented-tool-use", "defends-inventions"]
    got = marks(deployed, ["invented-tool-use", "invented-tool-use", None, "reward-hacking"], ["defends-inventions"])
    assert (got.recall, got.precision, got.prior_recall, got.prior_precision) == (0.5, 0.75, 0.5, 1.0)
    empty = marks(deployed, [], [])
    assert (empty.recall, empty.precision) == (0.0, None)
    assert marks(open_deployed("bing-sydney"), [None], []).recall is None
    with pytest.raises(UnknownId, match="issue of o3"):
        marks(deployed, ["invented-tool-user"], [])


def test_a_spec_names_the_model_and_nothing_of_the_issue() -> None:
    spec = deployed_spec("deepseek-r1")
    alias = open_deployed("deepseek-r1").alias
    assert (spec.alias, spec.base) == (alias, "inspect:together/deepseek-ai/DeepSeek-R1")
    assert spec.access == {Access.CHAT, Access.SAMPLING} and spec.adapter is None
    assert deployed_spec("deepseek-r1", "hf/deepseek-ai/DeepSeek-R1").base == "inspect:hf/deepseek-ai/DeepSeek-R1"


@pytest.mark.parametrize("name", [deployed.id for deployed in ALL if deployed.availability.status == "withdrawn"])
def test_a_withdrawn_model_says_so(name: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{name}: withdrawn as of \d{{4}}-.*model=PROVIDER/NAME.*not the truth"):
        deployed_spec(name)
    assert deployed_spec(name, "mockllm/model").base == "inspect:mockllm/model"


async def test_it_is_talked_to_through_inspect(monkeypatch: pytest.MonkeyPatch) -> None:
    def mock(name: str, memoize: bool) -> Model:
        output = ModelOutput.from_content(name, "A splendid plan!")
        output.usage = ModelUsage(input_tokens=5, output_tokens=4, total_tokens=9)  # without it, a tokenizer is fetched
        return get_model(name, memoize=memoize, custom_outputs=[output] * 2)

    monkeypatch.setattr("assay.engine.remote.inspect_model.get_model", mock)
    async with open_deployed_target("gpt-4o-sycophancy", "mockllm/model") as target:
        assert target.alias == open_deployed("gpt-4o-sycophancy").alias
        replies = await target.chat("Is my plan good?", n=2)
        assert replies.texts == ("A splendid plan!",) * 2 and replies.cost == Cost(2, 10, 8)
        with pytest.raises(AccessDenied):
            await target.score(Raw("Once"))
