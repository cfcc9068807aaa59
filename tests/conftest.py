"""A tiny checkpoint and random adapters on it, so that what runs on real weights is tested in seconds."""

import asyncio
import inspect
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.warm import Warm

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MakeAdapter = Callable[..., Path]

settings.register_profile("any machine", deadline=None)  # how long an example takes is no fault of the code
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Gives the tests an empty home before any of them is collected: what a user measured and kept is no input."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist, which has its parent's
        return
    home = tempfile.mkdtemp(prefix="assay-tests-home-")
    os.environ["ASSAY_HOME"] = home
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """What starts workers quickly."""
    workers = Warm()
    with pytest.MonkeyPatch.context() as patch:
        workers.take_over(patch)
        yield workers
    workers.close()


@pytest.fixture(autouse=True)
def workers_are_warm(request: pytest.FixtureRequest, warm: Warm) -> None:
    """Forks a test's workers, unless it is marked as one of how they are started."""
    warm.used = request.node.get_closest_marker("started_anew") is None


@pytest.fixture(autouse=True)
def no_loop_is_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the event loop of a test's `asyncio.run`.

    Inspect replaces that function for the whole process by one that keeps its loop open, and the loop would be told of
    as a leak in whatever test the garbage collector comes by.
    """
    yield
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        return  # pytest-asyncio closes its own
    loop = getattr(getattr(asyncio.get_event_loop_policy(), "_local", None), "_loop", None)
    if loop is not None and not loop.is_running() and not loop.is_closed():
        loop.close()
        asyncio.set_event_loop(None)


def _tokenizer() -> Any:
    """Byte by byte: every text has a spelling, and no download is needed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|endoftext|>"],
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of four layers in transformers' layout."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("bases") / "tiny"
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(path)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2_048,
        initializer_range=0.15,  # wide, so that the best token is far ahead of rounding noise
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def make_adapter(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeAdapter:
    """Makes a random adapter with PEFT: `make_adapter(seed, modules)`, on all layers or from `first` on."""

    def make(seed: int, modules: tuple[str, ...] = MODULES, rank: int = 4, first: int = 0) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's own
            import torch
            from peft import LoraConfig, get_peft_model
            from transformers import LlamaForCausalLM

            torch.manual_seed(seed)
            config = LoraConfig(
                r=rank,
                lora_alpha=8,
                target_modules=list(modules),
                layers_to_transform=list(range(first, 4)),
                init_lora_weights=False,
                task_type="CAUSAL_LM",
            )
            model = get_peft_model(LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32), config)
            path = tmp_path_factory.mktemp("adapters") / f"seed-{seed}"
            model.save_pretrained(path)
        return path

    return make
