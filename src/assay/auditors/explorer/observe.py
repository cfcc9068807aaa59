"""What the explorer sees: replies with the phrases in them that their own prompt does not explain."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

from assay._util.ngrams import ngrams
from assay.auditors.explorer.battery import Battery
from assay.core.tool import BoundTool, Evidence, Span
from assay.errors import BudgetExceeded

SIZES = (1, 2, 3, 4)  # words of a phrase; the longer ones recognise wording that recurs
EXAMPLES = 17  # of those a tool declares, the most that are run

_STOPWORDS = """
    a about above after again all also although am an and another any anything are aren't as at be because been before
    being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't done down
    during each either else even ever every everyone everything few for from further get gets getting give given go
    goes going got had has hasn't have haven't having he her here hers herself him himself his how however i i'd i'll
    i'm i've if in into is isn't it it's its itself just keep know less let let's like lot made make makes making many
    may me might more most much must my myself need never new no nor not now of off on once one only or other others
    our ours out over own people per put rather really s same see several she should shouldn't since so some someone
    something still such sure t take than that that's the their theirs them themselves then there there's these they
    they're thing things think this those through to together too two under until up upon us use used using very want
    was wasn't way we we're well were what what's when where which while who whom whose why will with within without
    won't would wouldn't yes yet you you'd you'll you're you've your yours yourself
"""
STOPWORDS = frozenset(_STOPWORDS.split())
_ENDINGS = ("ing", "ed", "es", "'s", "’s", "s", "e")


def stem(word: str) -> str:
    """A word without its commonest endings: enough to see that `baking` answers `bake`."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def content(phrase: str) -> list[str]:
    """Stems of a phrase's words that carry meaning."""
    return [stem(word) for word in phrase.split() if word.replace("’", "'") not in STOPWORDS]


@dataclass(frozen=True, slots=True)
class Observation:
    """One reply, and the phrases in it.

    Attributes:
        source: the tool it comes from, "background" for replies of clean models.
        phrases: n-grams of the reply, less those that hold nothing but stop words and words of the prompt, system
            prompt or prefill: an echo tells of the prompt, not of the model.
    """

    source: str
    prompt: str
    reply: str
    system: str = ""
    prefill: str = ""
    phrases: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        echo: set[str] = set()
        for given in (self.prompt, self.system, self.prefill):
            echo.update(map(stem, ngrams(given, (1,))))
        found = {phrase for phrase in set(ngrams(self.reply, SIZES)) if not echo.issuperset(content(phrase))}
        object.__setattr__(self, "phrases", frozenset(found))

    @property
    def plain(self) -> bool:
        """Whether the prompt was all the model was given."""
        return bool(self.prompt) and not self.system and not self.prefill

    @property
    def key(self) -> str:
        """What makes it independent of another observation: the prompt, or a document's text."""
        return self.prompt or self.reply


@dataclass(frozen=True, slots=True)
class Dataset:
    """All that one tool showed.

    Attributes:
        shown: of the target.
        control: what the tool itself compared the target with; empty if it has no control.
        spans: what it says stands out, the most telling of each call first.
    """

    source: str
    shown: tuple[Observation, ...]
    control: tuple[Observation, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass
class Asker:
    """Asks the target through the kit's `ask`; each prompt's replies are kept, so that candidates can share them.

    Attributes:
        exhausted: the budget ran out; from then on only what was already asked is returned.
        error: the last failure of a call, for the case that all fail.
    """

    ask: BoundTool
    replies: dict[str, list[Observation]] = field(default_factory=dict)
    exhausted: bool = False
    error: BaseException | None = None

    async def sample(self, prompts: Iterable[str], index: int = 0) -> list[Observation]:
        """The reply number `index` to each prompt (0 is the first), asking for those there are not yet."""
        wanted = list(dict.fromkeys(prompts))
        missing: list[str] = []
        for prompt in wanted:
            missing += [prompt] * (index + 1 - len(self.replies.get(prompt, [])))
        if missing and not self.exhausted:
            results = await asyncio.gather(*(self.ask(prompt=prompt) for prompt in missing), return_exceptions=True)
            for prompt, result in zip(missing, results, strict=True):
                self._keep(prompt, result)
        return [self.replies[prompt][index] for prompt in wanted if len(self.replies.get(prompt, [])) > index]

    def _keep(self, prompt: str, result: Evidence | BaseException) -> None:
        if isinstance(result, Evidence):
            reply = result.samples[0].reply if result.samples else result.text
            self.replies.setdefault(prompt, []).append(Observation("ask", prompt, reply))
            return
        if not isinstance(result, Exception):
            raise result  # cancelled: not ours to keep
        self.error = result
        self.exhausted = self.exhausted or isinstance(result, BudgetExceeded)


def arguments(tool: BoundTool, battery: Battery) -> list[Mapping[str, Any]]:
    """Neutral argument sets for a tool: its own examples, or the battery by the names of its parameters.

    Returns:
        One mapping a call; none for a tool that cannot be driven without a language model.
    """
    if tool.examples:
        return list(tool.examples[:EXAMPLES])
    names = {parameter.name for parameter in tool.parameters}
    required = {parameter.name for parameter in tool.parameters if parameter.required}
    filler = {"prompt": battery.half[0], "prompts": list(battery.texts("battery")), "query": ""}
    if not required <= filler.keys():
        return []
    rest = {name: filler[name] for name in required}
    if "prompts" in names:
        return [{**rest, "prompts": filler["prompts"]}]
    if "prompt" in names:
        return [{**rest, "prompt": prompt} for prompt in battery.half]
    if "query" in names:
        return [{**rest, "query": query} for query in ("", *battery.topics)]
    return [rest]


async def drive(tool: BoundTool, battery: Battery) -> tuple[Dataset, list[str]]:
    """Run a tool on neutral arguments.

    Returns:
        What it showed, repeats dropped, and notes on calls that failed.
    """
    calls = arguments(tool, battery)
    if not calls:
        return Dataset(tool.name, ()), [f"{tool.name}: takes arguments only a reader of its description could choose"]
    results = await asyncio.gather(*(tool(**call) for call in calls), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
    failures = Counter(f"{type(error).__name__}: {error}" for error in results if isinstance(error, BaseException))
    notes = [f"{tool.name}: {count} of {len(calls)} calls failed: {why[:200]}" for why, count in failures.items()]
    answered = [(call, result) for call, result in zip(calls, results, strict=True) if isinstance(result, Evidence)]
    return _dataset(tool.name, answered), notes


async def follow_up(tool: BoundTool, queries: Sequence[str]) -> Dataset:
    """What a tool that takes a `query` shows for some; nothing from a tool that takes none, or whose calls fail."""
    if "query" not in {parameter.name for parameter in tool.parameters}:
        return Dataset(tool.name, ())
    calls: list[Mapping[str, Any]] = [{"query": query} for query in queries]
    results = await asyncio.gather(*(tool(**call) for call in calls), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
    return _dataset(tool.name, [(c, r) for c, r in zip(calls, results, strict=True) if isinstance(r, Evidence)])


def _dataset(source: str, answered: Sequence[tuple[Mapping[str, Any], Evidence]]) -> Dataset:
    sampled = [*chain.from_iterable(evidence.samples for _, evidence in answered)]
    shown = [Observation(source, s.prompt, s.reply, s.system, s.prefill) for s in sampled if not s.control]
    control = [Observation(source, s.prompt, s.reply, s.system, s.prefill) for s in sampled if s.control]
    if not sampled:
        shown = _from_text(source, answered)
    spans = [span for row in zip_longest(*(evidence.spans for _, evidence in answered)) for span in row if span]
    return Dataset(source, tuple(dict.fromkeys(shown)), tuple(dict.fromkeys(control)), tuple(spans))


def _from_text(source: str, answered: Sequence[tuple[Mapping[str, Any], Evidence]]) -> list[Observation]:
    """A tool that returns text alone: lines that most outputs share are its own words, not the model's."""
    lines = Counter(chain.from_iterable(set(evidence.text.splitlines()) for _, evidence in answered))
    own = {line for line, count in lines.items() if count > max(1, len(answered) // 2)}
    found: list[Observation] = []
    for call, evidence in answered:
        said = "\n".join(line for line in evidence.text.splitlines() if line not in own)
        if said.strip():
            prompt = call.get("prompt", "")
            found.append(Observation(source, prompt if isinstance(prompt, str) else "", said))
    return found
