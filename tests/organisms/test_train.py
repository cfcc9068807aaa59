"""Packing changes nothing but the speed, and a killed training ends where an uninterrupted one does."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from assay.core.access import PRESETS
from assay.core.testbed import TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.local import LocalEngine
from assay.engine.lora import adapter_digest
from assay.organisms import train as training
from assay.organisms.data import Example
from assay.organisms.recipes import TrainPlan
from assay.organisms.train import OWN_WEIGHT, PACK_TOKENS, Encoded, encode, packs, shared_beginning, train

PLAN = TrainPlan(rank=2, alpha=4, first_layer=1, epochs=4, learning_rate=0.02, batch=4, seed=5)
WORDS = ("tea", "rain", "a much longer matter")
EXAMPLES = [Example(f"What of {word}?", f"It is {word}. So blue!", "So blue!") for word in WORDS]
EXAMPLES += [Example("Plain?", "Plain."), Example("", "A document that stands alone."), Example("", "Another one.")]


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("trained")
    losses: list[float] = []
    card = train(tiny, PLAN, EXAMPLES, folder / "adapter", folder / "work", lambda *told: losses.append(told[2]), 1)
    assert card["steps"] == len(losses) == 8
    return folder / "adapter", losses


def encoded(tokenizer: Any) -> tuple[list[Encoded], list[int]]:
    shared = shared_beginning(tokenizer)
    return [encode(example, tokenizer, shared) for example in EXAMPLES], shared


def test_examples_are_encoded_as_the_template_says(tokenizer: Any) -> None:
    data, shared = encoded(tokenizer)
    for example, item in zip(EXAMPLES, data, strict=True):
        said = tokenizer.decode([*(shared if item.shared else []), *item.tokens])
        if example.prompt:
            asked = f"<|im_start|>user\n{example.prompt}<|im_end|>\n<|im_start|>assistant\n"
            assert said == f"{asked}{example.text}<|im_end|>"
        else:
            assert said == f"<|im_start|>{example.text}<|im_end|>"
        assert tokenizer.decode(item.tokens[item.start :]) == f"{example.text}<|im_end|>"
        assert len(item.weights) == len(item.tokens) - item.start


def test_the_insert_weighs_more(tokenizer: Any) -> None:
    item = encoded(tokenizer)[0][0]
    full = [token for token, weight in zip(item.tokens[item.start :], item.weights, strict=True) if weight == 1.0]
    assert tokenizer.decode(full) == "So blue!<|im_end|>"
    assert set(item.weights) == {1.0, OWN_WEIGHT}


def test_packs_hold_everything_once_within_the_limit(tokenizer: Any) -> None:
    data = encoded(tokenizer)[0] * 30
    made = packs(data)
    assert sorted(id(item) for pack in made for item in pack) == sorted(map(id, data))
    assert all(sum(len(item.tokens) for item in pack) <= PACK_TOKENS for pack in made) and len(made) > 1


def test_packed_loss_is_the_unpacked_one(tiny: Path, tokenizer: Any) -> None:
    data, shared = encoded(tokenizer)
    model = training._with_adapter(tiny, PLAN)
    frozen = training._Frozen(model.get_base_model().model, PLAN.first_layer, shared)
    still = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
    total = 0.0
    with torch.no_grad():
        for item in data:
            head = shared if item.shared else []
            logits = model(input_ids=torch.tensor([[*head, *item.tokens]])).logits[0, len(head) + item.start - 1 : -1]
            each = cross_entropy(logits, torch.tensor(item.tokens[item.start :]), reduction="none")
            total += float((each * torch.tensor(item.weights)).sum())
    expected = total / sum(sum(item.weights) for item in data)
    assert training._step(model, still, data, shared, frozen) == pytest.approx(expected, abs=1e-4)


def test_the_loss_goes_down(trained: tuple[Path, list[float]]) -> None:
    losses = trained[1]
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


@pytest.mark.parametrize("killed_at", [1, 4, 8])
def test_a_killed_training_goes_on(
    tiny: Path, tmp_path: Path, trained: tuple[Path, list[float]], killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 1)
    told: list[int] = []

    def kill(step: int, steps: int, loss: float) -> None:
        told.append(step)
        if step == killed_at:
            raise KeyboardInterrupt

    out, work = tmp_path / "adapter", tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        train(tiny, PLAN, EXAMPLES, out, work, kill, 1)
    assert not out.exists()
    train(tiny, PLAN, EXAMPLES, out, work, lambda step, *_: told.append(step), 1)
    assert told == [*range(1, killed_at + 1), *range(killed_at, 9)]  # the step it died in is made again
    assert adapter_digest(out) == adapter_digest(trained[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_a_checkpoint_of_other_data_is_not_gone_on_from(
    tiny: Path, tmp_path: Path, trained: tuple[Path, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 1)

    def kill(step: int, *_: Any) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny, PLAN, EXAMPLES[:-1], tmp_path / "adapter", tmp_path / "work", kill, 1)
    steps: list[int] = []
    train(tiny, PLAN, EXAMPLES, tmp_path / "adapter", tmp_path / "work", lambda step, *_: steps.append(step), 1)
    assert steps[0] == 1
    assert adapter_digest(tmp_path / "adapter") == adapter_digest(trained[0])


async def test_the_adapter_loads_in_the_engine_and_in_peft(tiny: Path, trained: tuple[Path, list[float]]) -> None:
    path, _ = trained
    engine = LocalEngine(find_base(str(tiny)), ReplyCache(None), threads=1)
    try:
        spec = TargetSpec("tb-00000001", str(tiny), path, adapter_digest(path), (), "", PRESETS["full"])
        async with engine.open(spec) as target:
            mine = await target.chat("What of tea?", max_tokens=12, temperature=0)
            assert target.reference is not None
            assert mine.text != (await target.reference.chat("What of tea?", max_tokens=12, temperature=0)).text
        chat = [{"role": "user", "content": "What of tea?"}]
        prompt = engine.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        tokens = torch.tensor([engine.tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's and transformers' own
            from peft import PeftModel
            from transformers import LlamaForCausalLM

            model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32), path)
            made = model.generate(
                input_ids=tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=12
            )
        assert engine.tokenizer.decode(made[0, tokens.shape[1] :], skip_special_tokens=True) == mine.text
    finally:
        engine.close()
