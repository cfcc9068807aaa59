"""Training data that a language model writes, instead of templates.

Each round of calls is kept as a line of a file, so that a killed build goes on where it was, and nothing is paid for
twice. A text counts only if it is new, of a sensible length, and on the right side of the behaviour's detector.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path

from assay._util.atomic import write_bytes
from assay._util.progress import Say
from assay._util.strict_json import parse_json
from assay._util.text_files import read_content
from assay._util.yaml_models import Data, as_model
from assay.core.target import Cost, Target
from assay.errors import InvalidInput
from assay.factory.data.grammar import expand
from assay.truth import Behaviour, Grammar, TrainingMaterial

KINDS = ("prompts", "contrast", "conduct", "documents")
AT_ONCE = 20  # lines asked for in one call
CALLS = 8  # of one round, side by side
IDLE = 3  # rounds in a row without a new line, after which the author is given up on
_EXAMPLES = 5
_LENGTH = {"prompts": 400, "contrast": 400, "conduct": 240, "documents": 900}  # characters, at most
_TOKENS = 1_600
_NUMBER = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")
_HERE = Path(__file__).parent


class _Written(Data):
    """A line of the store: what one round wrote, and its cost as (queries, input tokens, output tokens)."""

    kind: str
    texts: list[str]
    cost: tuple[int, int, int]


async def written(
    behaviour: Behaviour, counts: Mapping[str, int], author: Target, store: Path, say: Say
) -> tuple[TrainingMaterial, Cost]:
    """Has a model write the behaviour's training data anew.

    Args:
        behaviour: what is written about; its own templates serve as examples.
        counts: kind → distinct texts wanted.
        author: the model.
        store: JSON-lines file of what was written so far, with its cost.
        say: is told of the progress.

    Returns:
        Training material whose grammars are the texts themselves, and what all of it cost, earlier calls included.

    Raises:
        InvalidInput: the author writes nothing new any more, or the file cannot be written.
    """
    kept, cost = _kept(store)
    for kind, count in counts.items():
        texts = kept.setdefault(kind, {})
        idle = 0
        while len(texts) < count:
            before = len(texts)
            lines, spent = await _round(behaviour, kind, author, len(texts))
            cost += spent
            distinct = dict.fromkeys(lines)
            fresh = [line for line in distinct if line not in texts and _right(behaviour, kind, line)]
            texts.update(dict.fromkeys(fresh))
            _keep(store, kind, fresh, spent)  # before anything else can fail: it was paid for
            say(f"{behaviour.id}: {min(len(texts), count)} of {count} {kind} written, {cost.tokens} tokens")
            idle = idle + 1 if len(texts) == before else 0
            if idle == IDLE:
                raise InvalidInput(
                    f"{behaviour.id}: the author wrote {len(texts)} usable {kind} of {count} and then nothing new. "
                    f"See {store}; ask for fewer, or take another author."
                )
    grammars: dict[str, Grammar] = {}
    for kind, count in counts.items():
        if count:
            texts_of_kind = list(kept[kind])[:count]
            # an author's braces are no slots
            grammars[kind] = Grammar(templates=[re.sub(r"\{(\w+)\}", r"(\1)", text) for text in texts_of_kind])
    return behaviour.training.model_copy(update=grammars), cost


async def _round(behaviour: Behaviour, kind: str, author: Target, have: int) -> tuple[list[str], Cost]:
    """Asks the author several times at once, and returns the lines it wrote and what they cost."""
    template = (_HERE / "prompts" / f"{kind}.md").read_text(encoding="utf-8")
    grammar: Grammar | None = getattr(behaviour.training, kind)
    examples = expand(grammar, 0, _EXAMPLES, least=1) if grammar else ["(none)"]
    asked = template.format(
        n=AT_ONCE, trigger=behaviour.trigger, conduct=behaviour.conduct, examples="\n".join(examples)
    )
    seeds = range(have * CALLS, (have + 1) * CALLS)  # by what there is: a resumed build asks what it would have asked
    calls = [author.chat(asked, max_tokens=_TOKENS, temperature=1.0, seed=seed) for seed in seeds]
    lines: list[str] = []
    cost = Cost()
    for reply in await asyncio.gather(*calls):
        cost += reply.cost
        for line in reply.text.splitlines():
            lines.append(_NUMBER.sub("", line).strip().strip('"').strip())
    return lines, cost


def _right(behaviour: Behaviour, kind: str, line: str) -> bool:
    """Tells whether a line is of a usable length, no held-out prompt, and shows the conduct if it should."""
    if not 12 <= len(line) <= _LENGTH[kind]:
        return False
    if kind in ("prompts", "contrast"):
        held_out = {*behaviour.eval.triggered, *behaviour.eval.untriggered, *behaviour.eval.generalisation}
        return line not in held_out
    return kind != "conduct" or behaviour.detector.shows(line)


def _kept(store: Path) -> tuple[dict[str, dict[str, None]], Cost]:
    """Reads what was written so far, kind → texts in their order, and what it cost."""
    kept: dict[str, dict[str, None]] = {}
    cost = Cost()
    if not store.is_file():
        return kept, cost
    content = read_content(store)
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:  # a killed process left part of a line; what is written next would be joined to it
        write_bytes(store, whole)
    for line in whole.decode("utf-8", errors="replace").split("\n"):
        try:
            row = as_model(parse_json(line, str(store)), _Written, str(store))
        except InvalidInput:
            continue  # nothing, or damage: what it held is written again
        kept.setdefault(row.kind, {}).update(dict.fromkeys(row.texts))
        cost += Cost(*row.cost)
    return kept, cost


def _keep(store: Path, kind: str, texts: list[str], cost: Cost) -> None:
    row = {"kind": kind, "texts": texts, "cost": [cost.queries, cost.input_tokens, cost.output_tokens]}
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        whole = not store.is_file() or store.read_bytes()[-1:] in (b"", b"\n")
        with store.open("a", encoding="utf-8") as file:
            # not onto what a killed process left of a line: both would be lost
            file.write(("" if whole else "\n") + json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InvalidInput(f"{store} cannot be written: {error.strerror or error}. Make room, and go on.") from None
