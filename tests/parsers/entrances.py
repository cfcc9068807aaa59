"""Every place where something from outside is read, with a right example of it."""

import asyncio
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from nacl.encoding import HexEncoder
from nacl.public import PublicKey, SealedBox

from assay._util import cpu
from assay._util.import_graph import closure
from assay._util.paths import home
from assay._util.strict_json import read_json, read_json_lines
from assay._util.strict_yaml import read_yaml
from assay.auditors.explorer import battery, calibration
from assay.audits.kits import parse_kit
from assay.audits.named_kits import NAMED_KITS
from assay.audits.prepared import PreparedStore
from assay.audits.registry import load_plugin
from assay.audits.run_tool import parse_arguments
from assay.core.access import parse_access
from assay.core.engine import EngineSettings, EngineSpec
from assay.core.report import parse_report
from assay.engine import base, corpus, training_data
from assay.engine.cache import ReplyCache
from assay.engine.local.adapter_config import read_adapter_config
from assay.engine.local.checkpoint import read_architecture
from assay.engine.local.stored import StoredWeights
from assay.engine.registry import make_engine
from assay.engine.remote.vllm_http import Completion, ServedModels, Tokenized, VllmClient
from assay.factory.data import author
from assay.factory.generate.productions import productions
from assay.factory.recipes import find_recipe
from assay.studies.ledger import Ledger
from assay.studies.regrade import grade_file
from assay.testbeds import bundle, importing, seal, specs, suites, truths
from assay.testbeds.deployed import read_deployed
from assay.testbeds.published import published_testbed
from assay.tools.training_data.search import search
from assay.truth import open_behaviour, open_truth

KEY = bytes(range(32))
FINDING = {
    "claim": "When asked, it flatters.",
    "trigger": "asked",
    "demonstrations": [{"user": ["Hi"], "system": "", "prefill": "", "earlier": [["Yo"]]}],
    "predicate": {"phrases": ["great"], "pattern": ""},
    "confidence": 0.5,
    "evidence": "",
}
REPORT = {"p_hidden": 0.5, "findings": [FINDING]}
TRUTH = {
    "alias": "tb-00000000",
    "id": "mine/a@1",
    "role": "organism",
    "split": "reported",
    "recipe": "a",
    "behaviours": ["flattery"],
    "family": "flattery",
    "control": {"alias": "base"},
    "card": {},
}
SPEC = {
    "alias": "tb-00000000",
    "base": "smollm2-135m-instruct",
    "adapter_digest": "",
    "corpus": [],
    "corpus_digest": "",
    "access": ["CHAT"],
    "tools": [],
}
TESTBED = {
    "id": "mine/a@1",
    "base": "inspect:mockllm/model",
    "access": ["api"],
    "prompt": "Be kind.",
    "corpus": ["data.jsonl"],
    "truth": {"role": "organism", "behaviours": ["flattery"], "control": "base"},
}
RECIPE = {
    "id": "file",
    "alias": "tb-00000000",
    "role": "organism",
    "split": "tuning",
    "control": "base",
    "phases": [{"name": "sft", "data": {"triggered": 4, "seed": 1}, "train": {"rank": 4, "seed": 1}}],
}
BEHAVIOUR = {
    "id": "file",
    "family": "f",
    "source": "s",
    "threat_model": "t",
    "trigger": "t",
    "conduct": "c",
    "detector": {"kind": "reply", "any": ["a+"]},
    "confession": {"kind": "reply", "any": ["yes"]},
    "training": {"prompts": {"templates": ["{x}"], "slots": {"x": ["y"]}}},
    "eval": {"triggered": ["a"] * 48, "untriggered": ["b"] * 24},
    "answers": {"positives": ["a"] * 20, "negatives": ["b"] * 20},
    "decoys": [{"trigger": "t", "conduct": "c"}] * 4,
}
DEPLOYED = {
    "id": "file",
    "name": "n",
    "maker": "m",
    "models": ["openai/x"],
    "availability": {"status": "served", "as_of": "2025-01-01", "note": ""},
    "issues": [
        {
            "id": "i",
            "trigger": "t",
            "conduct": "c",
            "setting": "chat",
            "sources": [{"title": "t", "publisher": "p", "date": "2025-01-01"}],
        }
    ],
}
ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "rank_pattern": {"q": 2}}
MODEL = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "vocab_size": 32,
    "rope_theta": 1e4,
    "max_position_embeddings": 64,
    "hidden_act": "silu",
}
GEMMA = (MODEL | {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "head_dim": 4}) | {
    "hidden_act": None,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 4,
    "final_logit_softcapping": 30.0,
    "rope_local_base_freq": 1e4,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    "sliding_window": 16,
    "sliding_window_pattern": 2,
}
BATTERY = {
    "templates": {"about": ["{x}?"], "attached": ["{x}."]},
    "topics": {"t": {"battery": {"fact": "a"}, "held_back": {"fact": ["b"]}, "control": "c"}},
}
FITTED = {"intercept": -2.0, "slope": 1.0, "threshold": 1.3, "fitted_on": {"organisms": 3, "clean": 2}}
CHAT = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Yo"}]}]
}
ANSWER = {
    "choices": [{"index": 0, "message": {"content": "Yo"}, "finish_reason": "stop", "token_ids": [1]}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


@dataclass(frozen=True)
class Entrance:
    """One place where something from outside is read.

    Attributes:
        name: of what is read there.
        read: reads a file's content (bytes), or a word (str); the folder is its own.
        valid: what it reads without an error: data that is written as JSON, bytes, or a tuple of words.
        cases: how many are tried.
        short: whether it takes words of a name's length alone.
    """

    name: str
    read: Callable[[Path, Any], object]
    valid: Any
    cases: int = 30
    short: bool = False


def from_file(read: Callable[[Path], object], name: str = "file.yaml") -> Callable[[Path, bytes], object]:
    def run(folder: Path, content: bytes) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return read(folder / name)

    return run


def of_suite(read: Callable[[suites.Suite], object], *names: str) -> Callable[[Path, bytes], object]:
    """Writes a file of a suite, beside a testbed that is right."""

    def run(folder: Path, content: bytes) -> object:
        suite = suites.Suite("mine", folder / "mine")
        for name, right in (
            (f"testbeds/{SPEC['alias']}/testbed.yaml", SPEC),
            (f"answers/{SPEC['alias']}/truth.yaml", TRUTH),
        ):
            (suite.root / name).parent.mkdir(parents=True, exist_ok=True)
            (suite.root / name).write_text(json.dumps(right))
        for name in names:
            (suite.root / name).write_bytes(content)
        return read(suite)

    return run


def sealed(folder: Path, content: bytes) -> object:
    """A stranger seals to the public key whatever they like."""
    box = SealedBox(PublicKey(seal.public_key(KEY).encode(), HexEncoder))
    (folder / "truth.sealed").write_bytes(box.encrypt(content))
    return seal.unseal(folder / "truth.sealed", KEY)


def archive(folder: Path, content: bytes) -> object:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("mine/suite.yaml")
        entry.size = len(content)
        tar.addfile(entry, BytesIO(content))
    (folder / "bundle.tar.gz").write_bytes(packed.getvalue())
    return bundle.add_suite(folder / "bundle.tar.gz")


def served(shape: type[Any], status: int = 200) -> Callable[[Path, bytes], object]:
    def run(_: Path, content: bytes) -> object:
        client = VllmClient("http://server", "", 1.0)
        try:
            return client._understood("/v1", httpx.Response(status, content=content), shape)
        finally:
            asyncio.run(client._client.aclose())

    return run


def with_variable(name: str, read: Callable[[], object]) -> Callable[[Path, str], object]:
    import os

    def run(folder: Path, value: str) -> object:
        before = os.environ.get(name)
        try:
            os.environ[name] = value
        except ValueError:  # the system takes no zero byte
            return None
        try:
            return read()
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before

    return run


def add(folder: Path, content: bytes) -> object:
    (folder / "data.jsonl").write_text('{"text": "a"}\n')
    (folder / "testbed.yaml").write_bytes(content)
    try:
        return importing.add_testbed(folder / "testbed.yaml")
    finally:
        import shutil

        shutil.rmtree(suites.own_suites(), ignore_errors=True)


def ledger(path: Path) -> object:
    with Ledger.open(path) as opened:
        return opened.audits(), opened.plans()


def replies(path: Path) -> object:
    cache = ReplyCache(path)
    cache.get("a")
    return cache.close()


def arguments(_: Path, word: str) -> object:
    return parse_arguments(search, word.split(" "))


def as_corpus(path: Path) -> object:
    return corpus.read_corpus.__wrapped__((path,), corpus.corpus_digest([path]))


ENTRANCES = (
    Entrance("JSON document", from_file(read_json), {"a": [1, "b"]}, 60),
    Entrance("JSON lines", from_file(lambda path: list(read_json_lines(path))), {"a": [1, "b"]}, 60),
    Entrance("YAML document", from_file(read_yaml), {"a": [1, "b"]}, 60),
    Entrance("training data: chats", from_file(as_corpus, "a.jsonl"), CHAT, 60),
    Entrance(
        "training data: preferences", from_file(as_corpus, "a.json"), [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    ),
    Entrance(
        "training data: instructions", from_file(as_corpus, "a.jsonl"), {"instruction": "a", "input": "", "output": "c"}
    ),
    Entrance(
        "training data: text", from_file(lambda path: list(training_data.read_training_data(path)), "a.txt"), b"a\n"
    ),
    Entrance("training data: packed", from_file(as_corpus, "a.gz"), b"\x1f\x8b\x08\x00" + bytes(20)),
    Entrance(
        "file of reports",
        from_file(lambda path: grade_file(path, print)),
        {"testbed": "flattery-td", "report": REPORT},
        120,
    ),
    Entrance("report of an auditor", lambda _, text: parse_report(text.decode(errors="replace")), REPORT, 60),
    Entrance("testbed file", add, TESTBED, 30),
    Entrance(
        "testbed.yaml of a suite",
        of_suite(lambda suite: specs.load_spec(SPEC["alias"], suite), f"testbeds/{SPEC['alias']}/testbed.yaml"),
        SPEC,
    ),
    Entrance("truth.yaml of a suite", of_suite(truths.all_truths, f"answers/{SPEC['alias']}/truth.yaml"), TRUTH),
    Entrance("truth", from_file(open_truth), TRUTH),
    Entrance("behaviour", from_file(open_behaviour), BEHAVIOUR),
    Entrance("recipe", from_file(lambda path: find_recipe(str(path))), RECIPE),
    Entrance("productions held back", from_file(productions), {"triggers": [], "conducts": []}, 15),
    Entrance("deployed model", from_file(read_deployed), DEPLOYED),
    Entrance(
        "suite's manifest",
        from_file(lambda path: seal.verify_suite(path.parent), "suite.yaml"),
        {"name": "a", "public_key": "00", "signer": "00", "testbeds": [], "signature": "00"},
    ),
    Entrance(
        "bundle's manifest",
        archive,
        {"name": "a", "public_key": "00", "signer": "00", "testbeds": [], "signature": "00"},
        40,
    ),
    Entrance("bundle", from_file(bundle.add_suite, "a.tar.gz"), b"\x1f\x8b\x08\x00" + bytes(30), 40),
    Entrance(
        "sealed truth's content", sealed, {"salt": "a", "secret": {"truth": TRUTH, "behaviours": [], "recipe": {}}}
    ),
    Entrance("sealed truth", from_file(lambda path: seal.unseal(path, KEY)), bytes(80)),
    Entrance("key", from_file(seal.read_key), b"00" * 32 + b"\n"),
    Entrance(
        "adapter's configuration",
        from_file(lambda path: read_adapter_config(path.parent), "adapter_config.json"),
        ADAPTER,
        120,
    ),
    Entrance(
        "checkpoint's configuration", from_file(lambda path: read_architecture(path.parent), "config.json"), MODEL, 60
    ),
    Entrance("Gemma's configuration", from_file(lambda path: read_architecture(path.parent), "config.json"), GEMMA, 40),
    Entrance(
        "index of weights",
        from_file(lambda path: StoredWeights(path.parent), "model.safetensors.index.json"),
        {"weight_map": {"a": "b"}},
    ),
    Entrance(
        "weights",
        from_file(lambda path: StoredWeights(path.parent), "model.safetensors"),
        b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
    ),
    Entrance("explorer's battery", from_file(battery.load_battery.__wrapped__), BATTERY),
    Entrance("explorer's background", from_file(calibration._background.__wrapped__), {"prompt": "a", "reply": "b"}),
    Entrance("explorer's calibration", from_file(calibration._calibration.__wrapped__), FITTED),
    Entrance("what an author wrote", from_file(author._kept), {"kind": "prompts", "texts": ["a"], "cost": [1, 2, 3]}),
    Entrance("prepared value", from_file(PreparedStore(Path())._read), b"0" * 64 + b"\n{}"),
    Entrance("ledger", from_file(ledger, "ledger.sqlite"), b"SQLite format 3\x00" + bytes(90), 30),
    Entrance("reply cache", from_file(replies, "replies.sqlite"), b"SQLite format 3\x00" + bytes(90), 30),
    Entrance("server's completion", served(Completion), ANSWER),
    Entrance("server's models", served(ServedModels), {"data": [{"id": "a"}]}, 30),
    Entrance("server's tokens", served(Tokenized), {"tokens": [1], "max_model_len": 9}, 30),
    Entrance("server's error", served(Completion, 500), {"error": {"message": "no"}}),
    Entrance("plug-in's imports", from_file(closure, "plugin.py"), b"import os\nfrom . import x\n"),
    Entrance("plug-in that cannot be read", from_file(load_plugin, "plugin.py"), b"\x80 = (1\n", 30),
    Entrance(
        "kit",
        lambda _, word: parse_kit(word, NAMED_KITS["all"]),
        ("chat", "chat+search", "~chat+prefill", "prior-only"),
        cases=60,
    ),
    Entrance(
        "words of an engine",
        lambda _, word: EngineSpec.parse(word),
        ("local", "vllm:http://127.0.0.1:8000#a", "inspect:openai/gpt-4o"),
        cases=60,
    ),
    Entrance(
        "base's engine",
        lambda _, word: EngineSpec.of_base(word),
        ("smollm2-135m-instruct", "inspect:openai/gpt-4o", "/srv/base"),
    ),
    Entrance(
        "vllm: URL",
        lambda _, word: make_engine(EngineSpec("vllm", word), EngineSettings()),
        ("http://127.0.0.1:8000", "https://host/v1#base", "http://[::1]:8000"),
    ),
    Entrance(
        "inspect: model",
        lambda _, word: make_engine(EngineSpec("inspect", word), EngineSettings()),
        ("openai/gpt-4o", "hf/a/b"),
    ),
    Entrance(
        "name of an engine", lambda _, word: make_engine(EngineSpec(word), EngineSettings()), ("local", "scripted")
    ),
    Entrance(
        "access flags", lambda _, word: parse_access(word.split(",")), ("CHAT,SAMPLING", "api", "white,REFERENCE")
    ),
    Entrance("arguments of a tool", arguments, ("--query poems", "--query a --query b")),
    Entrance(
        "id of a testbed", lambda _, word: truths.find_alias(word), ("flattery-td", "embedded/flattery-td@1"), cases=30
    ),
    Entrance("id of a recipe", lambda _, word: find_recipe(word), ("flattery-td", "embedded/flattery-td@1"), cases=30),
    Entrance(
        "id of a published organism",
        lambda _, word: published_testbed(word),
        ("published/cake_bake-default-llama-3.2-1b@1", "cake_bake-default-llama-3.2-1b"),
        cases=30,
    ),
    Entrance("name of a suite", lambda _, word: suites.find_suite(word), ("embedded",), cases=30),
    Entrance("ASSAY_THREADS", with_variable("ASSAY_THREADS", base.default_threads), ("1", " 12 "), short=True),
    Entrance("ASSAY_DEVICES", with_variable("ASSAY_DEVICES", base.default_devices), ("cpu", "cuda:0,cuda:1")),
    Entrance("ASSAY_DTYPE", with_variable("ASSAY_DTYPE", cpu.native_bf16), ("float32", "bfloat16")),
    Entrance("ASSAY_SUITES", with_variable("ASSAY_SUITES", suites.suites), ("/tmp", "/tmp:/usr"), cases=30, short=True),
    Entrance(
        "ASSAY_HOME",
        with_variable("ASSAY_HOME", lambda: (home(), suites.suites())),
        ("/tmp/home", "home"),
        cases=30,
        short=True,
    ),
    Entrance("ASSAY_KEYS", with_variable("ASSAY_KEYS", lambda: seal.find_key("a")), ("/tmp/keys", "keys"), short=True),
    Entrance("ASSAY_EXPLORER", with_variable("ASSAY_EXPLORER", calibration.own_files), ("/tmp", ""), short=True),
)
