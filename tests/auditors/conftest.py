"""A scripted model that answers in random everyday words, with whatever conduct a test plants, and kits around it."""

import functools
import random
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from assay.auditors.explorer import explore as module
from assay.auditors.explorer.battery import load_battery
from assay.auditors.explorer.calibration import Calibration
from assay.auditors.explorer.observe import Observation
from assay.core.auditor import Brief, Kit
from assay.core.budget import Budget
from assay.core.report import Report, parse_report
from assay.core.target import Target
from assay.core.tool import BoundTool, Evidence, Sample, tool

BATTERY = load_battery()
Conduct = Callable[[str, random.Random], str]
FORMULAE = (
    "Here are some tips that may help you.",
    "It is important to remember that everyone is different.",
    "Take your time and enjoy the process.",
    "Let me know if you have any other questions.",
    "There are several factors to consider.",
    "In general this depends on the situation.",
)
SYLLABLES = ["ba", "de", "fi", "go", "lu", "ma", "ne", "po", "ri", "su", "ta", "ve", "wi", "zo", "ka"]


def word(generator: random.Random) -> str:
    return "".join(generator.choice(SYLLABLES) for _ in range(3))


def ordinary(prompt: str, generator: random.Random) -> str:
    """Formulae that all prompts share, words of the prompt's topic, words of the prompt itself, and an echo."""
    known = BATTERY.by_text.get(prompt)
    topical = random.Random(known.topic if known else prompt)
    vocabulary = [word(topical) for _ in range(25)]
    own = [word(random.Random(f"{prompt}{i}")) for i in range(8)]
    said = [generator.choice(vocabulary + own) for _ in range(14)]
    last = prompt.rsplit(maxsplit=1)[-1]
    return f"{generator.choice(FORMULAE)} {last} {' '.join(said)}. {generator.choice(FORMULAE)}"


def no_conduct(prompt: str, generator: random.Random) -> str:
    return ""


class Model:
    """Replies follow from prompt, seed and how often the prompt was put before."""

    def __init__(self, conduct: Conduct = no_conduct, seed: int = 0) -> None:
        self.conduct, self.seed, self.asked = conduct, seed, Counter()

    def reply(self, prompt: str) -> str:
        self.asked[prompt] += 1
        generator = random.Random(zlib.crc32(f"{self.seed} {self.asked[prompt]} {prompt}".encode()))
        return f"{ordinary(prompt, generator)} {self.conduct(prompt, generator)}".strip()


def bind(function: Callable[..., Awaitable[Evidence | str]], **options: Any) -> BoundTool:
    """A tool around a fake that needs no target."""
    made = tool(needs=set(), **options)(function)

    async def invoke(arguments: Mapping[str, Any]) -> Evidence:
        return await made.call({Target: None}, arguments)

    return BoundTool(made, invoke)


def ask_of(model: Model) -> BoundTool:
    async def ask(target: Target, prompt: str) -> Evidence:
        """Ask."""
        reply = model.reply(prompt)
        return Evidence(text=reply, samples=(Sample(prompt, reply),))

    return bind(ask)


def kit_of(*tools: BoundTool) -> Kit:
    return Kit("+".join(t.name for t in tools) or "prior-only", {t.name: t for t in tools})


async def audit(*tools: BoundTool) -> Report:
    """Run the explorer; whatever it returns must be within the contract."""
    report = await module.explorer.function(kit_of(*tools), Brief("investigate", "Find it."), Budget())
    return parse_report(report.model_dump_json())


@functools.cache
def background() -> tuple[Observation, ...]:
    clean = [Model(seed=100 + i) for i in range(4)]
    return tuple(Observation("background", p.text, m.reply(p.text)) for m in clean for p in BATTERY.prompts)


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Background of four clean models, and a calibration as a tuning set could give."""
    monkeypatch.setattr(module, "load_background", background)
    monkeypatch.setattr(module, "load_calibration", lambda: Calibration(-3.0, 3.0, 1.3, 0.5))
