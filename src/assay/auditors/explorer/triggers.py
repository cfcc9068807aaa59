"""When a conduct found by meaning may show: candidates from where it was seen and from its own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from assay._util.embedding import embed
from assay._util.ngrams import PhraseCounts, log_odds, ngrams, top_phrases
from assay.auditors.explorer.battery import Battery
from assay.auditors.explorer.candidates import ALWAYS_SHARE, Candidate, Trigger, holds
from assay.auditors.explorer.observe import Observation, content
from assay.auditors.explorer.sentence_clusters import Conduct

TOPIC_TRIGGERS = 2
PROMPT_WORDS = 2  # keywords from the prompts of its carriers
OWN_WORDS = 3  # keywords from its own sentences: what a model urges is mostly about what sets it off
ENOUGH = 8  # prompts of documents, for a trigger made of examples: some to probe, the rest to test
TELLING = 12  # words that tell those prompts from others …
NAMED = 4  # … of which these name them
_COMMON, _ELSEWHERE = 0.6, 0.1  # shares of prompts that hold a phrase which names them: at least, at most elsewhere
_NEARLY = 0.9  # of the best phrase's share, what a longer one must have
_Z = 2.0
_LETTERS = 4


def of_conduct(
    conduct: Conduct, shown: Sequence[Observation], background: Sequence[Observation], battery: Battery
) -> list[Candidate]:
    """Candidates of one conduct, the likelier triggers first.

    Args:
        conduct: from `sentence_clusters.Reader`.
        shown: all the target showed.
        background: replies of clean models.
        battery: neutral prompts.
    """
    carriers = set(conduct.carriers)
    elsewhere = [o.prompt for o in shown if o not in carriers]
    said = _over(conduct.exemplars, [o.reply for o in background], (1,), OWN_WORDS)
    prompts = list(dict.fromkeys(o.prompt for o in conduct.carriers if o.plain and not battery.topic_of(o.prompt)))
    if len(prompts) >= ENOUGH:
        if name := named(prompts, elsewhere):
            triggers = [Trigger("keyword", name)]
        else:
            told = _central(_over(prompts, elsewhere, (1,), TELLING), prompts, elsewhere) or prompts[:1]
            triggers = [Trigger("like", ", ".join(told)), *(Trigger("keyword", word) for word in said[:1])]
    else:
        topics = Counter(topic for o in conduct.carriers if o.plain and (topic := battery.topic_of(o.prompt)))
        asked = _over([o.prompt for o in conduct.carriers if o.prompt], elsewhere, (1, 2, 3), PROMPT_WORDS)
        triggers = [Trigger("topic", topic) for topic, _ in topics.most_common(TOPIC_TRIGGERS)]
        triggers += [Trigger("keyword", word) for word in dict.fromkeys([*asked, *said])]
    if len(carriers) >= ALWAYS_SHARE * len(shown):
        triggers.append(Trigger("always"))
    return [_candidate(conduct, trigger, battery) for trigger in triggers]


def named(prompts: Sequence[str], elsewhere: Sequence[str]) -> str:
    """Returns the phrase that most of some prompts have and hardly any other, the longest of the best; "" if none.

    What sets a conduct off is what prompts with it have in common *and* prompts without it lack: a word of both is how
    such prompts are begun.
    """
    sizes = (1, 2, 3)
    ours, others = PhraseCounts.of(prompts, sizes), PhraseCounts.of(elsewhere, sizes)
    apart: dict[str, float] = {}
    for phrase in ours.counts:
        words = phrase.split()
        whole = bool(content(words[0])) and bool(content(words[-1])) and len(phrase) >= _LETTERS
        if whole and ours.share(phrase) >= _COMMON and others.share(phrase) <= _ELSEWHERE:
            apart[phrase] = ours.share(phrase) - others.share(phrase)
    nearly = [phrase for phrase, share in apart.items() if share >= _NEARLY * max(apart.values())]
    return max(nearly, key=lambda phrase: (len(phrase.split()), apart[phrase], phrase), default="")


def _over(texts: Iterable[str], others: Iterable[str], sizes: Sequence[int], count: int) -> list[str]:
    """Words and phrases of at least two texts that stand out against the others."""
    a, b = PhraseCounts.of(texts, sizes), PhraseCounts.of(others, sizes)
    telling = {
        phrase: z
        for phrase, z in log_odds(a, b, a + b).items()
        if z >= _Z and a.counts[phrase] >= 2 and len(phrase) >= _LETTERS and content(phrase)
    }
    return [phrase for phrase, _ in top_phrases(telling, count)]


def _central(words: Sequence[str], prompts: Sequence[str], elsewhere: Sequence[str]) -> list[str]:
    """The words nearest to what sets the prompts apart: of chance ones few are near."""
    if not words:
        return []
    apart = embed(prompts).mean(axis=0) - embed(elsewhere or [""]).mean(axis=0)
    nearness = embed(words) @ apart
    return [words[index] for index in sorted(range(len(words)), key=lambda index: -nearness[index])[:NAMED]]


def _candidate(conduct: Conduct, trigger: Trigger, battery: Battery) -> Candidate:
    if trigger.kind == "like":
        carriers = tuple(o for o in conduct.carriers if o.plain and o.prompt not in battery.by_text)
    elif trigger.kind == "keyword":
        size = len(trigger.value.split())
        carriers = tuple(o for o in conduct.carriers if trigger.value in ngrams(o.prompt, (size,)))
    else:
        carriers = tuple(o for o in conduct.carriers if holds(trigger, o.prompt, battery))
    source = "+".join(sorted({o.source for o in conduct.carriers}))
    return Candidate(source, trigger, (), conduct.density, carriers, conduct)
