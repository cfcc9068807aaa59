"""White-box tools on a random checkpoint with a random adapter: they run, repeat, and show their control beside."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.audits.conformance.tool_checks import check_tool
from assay.core.access import PRESETS, Access
from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.core.tool import TEXT_LIMIT, Evidence, Prepared, Tool, ToolContext
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local.engine import LocalEngine
from assay.engine.local.lora import adapter_digest
from assay.errors import InvalidInput
from assay.tools.activations.dictionary import train
from assay.tools.activations.difference_lens import difference_lens
from assay.tools.activations.fuzz import fuzz_sweep
from assay.tools.activations.logit_lens import logit_lens, token_similarity
from assay.tools.activations.persona_vectors import persona_vectors
from assay.tools.activations.sae import learn, sae
from assay.tools.activations.steer import honesty, steer
from assay.tools.gradients.latent_attack import latent_attack
from assay.tools.gradients.melbo import melbo
from assay.tools.gradients.prompt_search import _places, prompt_search
from assay.tools.tokens import TokenShare, telling
from assay.tools.weights.amplify_adapter import amplify_adapter
from assay.tools.weights.checkpoint_diff import checkpoint_diff
from assay.tools.weights.rank_one import rank_one
from assay.tools.weights.weight_noise import weight_noise

ASKED = "Hi, who are you?"
SHORT: list[tuple[Tool, dict[str, Any]]] = [
    (logit_lens, {"prompt": ASKED}),
    (token_similarity, {"prompt": ASKED}),
    (difference_lens, {"texts": 4}),
    (fuzz_sweep, {"prompt": ASKED, "scales": [0.2]}),
    (steer, {"prompt": ASKED, "strengths": [0.5]}),
    (honesty, {"prompt": ASKED, "strengths": [0.5]}),
    (persona_vectors, {"traits": ["kind", "cruel"]}),
    (melbo, {"prompt": ASKED, "vectors": 2, "steps": 2}),
    (latent_attack, {"prompt": ASKED, "text": "I am", "control_text": "We do", "epsilon": 0.5, "steps": 3}),
    (prompt_search, {"prompt": ASKED, "text": "I am", "steps": 1, "candidates": 4}),
    (amplify_adapter, {"prompt": ASKED, "factors": [2.0]}),
    (rank_one, {"prompt": ASKED}),
    (weight_noise, {"prompt": ASKED, "answer": "I am a model", "scales": [0.1]}),
]
NAMES = [tool.name for tool, _ in SHORT]


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(find_base(str(tiny)), ReplyCache(None), threads=1, dtype="float32")
    yield made
    made.close()


@pytest.fixture
def organism(tiny: Path, make_adapter: Any) -> TargetSpec:
    path = make_adapter(1)
    return TargetSpec("tb-11111111", str(tiny), path, adapter_digest(path), (), "", PRESETS["full"])


@pytest.fixture
def untouched(tiny: Path) -> TargetSpec:
    return TargetSpec("tb-00000000", str(tiny), None, "", (), "", PRESETS["full"])


async def call(tool: Tool, target: Target, arguments: dict[str, Any], seed: int = 3) -> Evidence:
    return await tool.call({Target: target, ToolContext: ToolContext(seed, 100_000)}, arguments)


@pytest.mark.parametrize(("tool", "arguments"), SHORT, ids=NAMES)
async def test_a_tool_repeats_itself_within_the_limit(
    engine: LocalEngine, organism: TargetSpec, tool: Tool, arguments: dict[str, Any]
) -> None:
    async with engine.open(organism) as target:
        first, again = await call(tool, target, arguments), await call(tool, target, arguments)
    assert first == again and len(first.text) <= TEXT_LIMIT and first.control
    assert not first.samples or {sample.control for sample in first.samples} == {False, True}
    assert all(span.control is not None for span in first.spans)
    assert tool.drivable and tool.source


@pytest.mark.parametrize(("tool", "arguments"), SHORT, ids=NAMES)
async def test_a_tool_finds_nothing_in_an_untouched_base(
    engine: LocalEngine, untouched: TargetSpec, tool: Tool, arguments: dict[str, Any]
) -> None:
    async with engine.open(untouched) as target:
        found = await call(tool, target, arguments)
    assert not (found.artifact or {}).get("flagged") or tool is weight_noise  # noise may help a random model
    if Access.REFERENCE in tool.needs:
        assert all(span.score == pytest.approx(span.control, abs=1e-3) for span in found.spans)
    if tool in (difference_lens, rank_one):
        assert "reference" in found.text and not found.spans


@pytest.mark.parametrize("tool", [tool for tool, _ in SHORT], ids=NAMES)
async def test_a_tool_passes_the_conformance_suite(tool: Tool) -> None:
    assert [check for check in await check_tool(tool, null_runs=4) if not check.passed] == []


@pytest.mark.parametrize(
    ("tool", "wrong"),
    [
        (logit_lens, {"prompt": ASKED, "top": 0}),
        (difference_lens, {"layer": 9}),
        (fuzz_sweep, {"prompt": ASKED, "scales": [-1.0]}),
        (steer, {"prompt": ASKED, "strengths": [9.0]}),
        (persona_vectors, {"traits": []}),
        (melbo, {"prompt": ASKED, "vectors": 0}),
        (latent_attack, {"prompt": ASKED, "epsilon": 0.0}),
        (prompt_search, {"prompt": ASKED, "candidates": 33}),
        (amplify_adapter, {"prompt": ASKED, "factors": [99.0]}),
        (rank_one, {"prompt": ASKED, "rank": 0}),
        (weight_noise, {"prompt": ASKED, "scales": [0.0]}),
    ],
)
async def test_what_makes_no_sense_is_told(
    engine: LocalEngine, organism: TargetSpec, tool: Tool, wrong: dict[str, Any]
) -> None:
    async with engine.open(organism) as target:
        with pytest.raises(InvalidInput, match=f"{tool.name}: .*give"):
            await call(tool, target, wrong)


async def test_melbo_moves_further_than_chance(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        found = await call(melbo, target, {"prompt": ASKED, "vectors": 2, "steps": 6})
    assert max(found.artifact["moves"]) > 1.2 * max(found.artifact["random_moves"])


async def test_a_latent_attack_makes_its_text_likelier(engine: LocalEngine, organism: TargetSpec) -> None:
    asked = {"prompt": ASKED, "text": "I am", "control_text": "We do", "steps": 5}
    async with engine.open(organism) as target:
        little = await call(latent_attack, target, asked | {"epsilon": 0.05})
        much = await call(latent_attack, target, asked | {"epsilon": 1.0})
    assert 0 < little.artifact["gain"] < much.artifact["gain"]


async def test_a_search_ends_no_worse_than_it_began(engine: LocalEngine, organism: TargetSpec) -> None:
    async with engine.open(organism) as target:
        found = await call(prompt_search, target, {"prompt": ASKED, "text": "I am", "steps": 2, "candidates": 6})
    assert found.artifact["best"] >= found.artifact["start"]


async def test_a_rank_one_adapter_is_told_from_a_full_one(engine: LocalEngine, tiny: Path, make_adapter: Any) -> None:
    found: dict[int, Evidence] = {}
    for rank in (1, 8):
        path = make_adapter(4, rank=rank)
        spec = TargetSpec("tb-11111111", str(tiny), path, adapter_digest(path), (), "", PRESETS["full"])
        async with engine.open(spec) as target:
            found[rank] = await call(rank_one, target, {"prompt": ASKED})
    own, chance = np.mean(list(found[1].artifact["stable_rank"].values()), axis=0)
    assert own == pytest.approx(1) and chance == pytest.approx(1)
    assert np.mean(list(found[8].artifact["stable_rank"].values()), axis=0)[0] > 2
    cut, whole = (sample.reply for sample in found[1].samples[:2])
    assert cut == whole


def test_words_are_found_at_their_last_tokens() -> None:
    assert _places(["tell", " me", " te", "ll", " me", "<end>"], ["tell", "me"]) == [3, 4]


def test_what_counts_as_a_word_and_how_far_it_is_ahead() -> None:
    assert [telling(text) for text in ("risk", "Risk", "MetaInfo", "a", "12", "")] == [True, True] + [False] * 4
    assert TokenShare("x", 0.5, 0.25).lead(logs=False) == 0.25
    assert TokenShare("x", 0.5, 0.25).lead(logs=True) == pytest.approx(0.5 * np.log(2))


def test_a_dictionary_rebuilds_what_was_mixed_of_few_directions() -> None:
    generator = np.random.default_rng(0)
    truth = np.linalg.qr(generator.standard_normal((16, 16)))[0][:8].astype(np.float32)
    chosen = generator.random((4_000, 8)) < 0.15
    rows = ((chosen * generator.uniform(1, 2, chosen.shape)) @ truth).astype(np.float32)
    rows = rows[chosen.any(axis=1)]
    begun, made = train(rows, 32, 2, 1, 0), train(rows, 32, 2, 400, 0)
    assert made.explained > max(0.7, begun.explained)
    assert made.explained == train(rows, 32, 2, 400, 0).explained
    assert 1 < (made.active(rows) > 0).sum(axis=1).mean() < 3


async def test_features_tell_where_they_fire_and_nothing_of_an_untouched_base(
    engine: LocalEngine, organism: TargetSpec, untouched: TargetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.tools.activations.sae.TOPICS", ())
    for spec in (organism, untouched):
        async with engine.open(spec) as target:
            kept = await learn(target, tmp_path)
            for on in ("activations", "differences"):
                found = await sae.call({Target: target, Prepared: Prepared(kept)}, {"on": on})
                assert len(found.text) <= TEXT_LIMIT and bool(found.spans) == (spec is organism)
                assert all((span.control or 0) < span.score and "[" in span.text for span in found.spans)
            with pytest.raises(InvalidInput, match="'activations' or 'differences'"):
                await sae.call({Target: target, Prepared: Prepared(kept)}, {"on": "weights"})


async def test_sae_passes_the_conformance_suite() -> None:
    assert [check for check in await check_tool(sae, null_runs=2) if not check.passed] == []


async def test_a_diff_tells_at_which_layers_training_was(
    engine: LocalEngine, tiny: Path, make_adapter: Any, untouched: TargetSpec
) -> None:
    path = make_adapter(2, first=2)
    spec = TargetSpec("tb-11111111", str(tiny), path, adapter_digest(path), (), "", PRESETS["full"])
    async with engine.open(spec) as target:
        found = (await call(checkpoint_diff, target, {})).artifact
    assert found["weights"][:2] == found["moved"][:2] == [0, 0] and min(found["weights"][2:]) > 0.01
    assert min(found["moved"][2:]) > 0.01 and min(found["chance"]) > 0
    async with engine.open(untouched) as target:
        assert "nothing changed" in (await call(checkpoint_diff, target, {})).text


async def test_checkpoint_diff_passes_the_conformance_suite() -> None:
    assert [check for check in await check_tool(checkpoint_diff, null_runs=2) if not check.passed] == []
