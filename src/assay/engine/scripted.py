"""Offers a target that follows a script: deterministic, instant, no weights. For tests and the conformance suite."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
import zlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np

from assay.core.access import Access
from assay.core.edit import Contrast, Edit, check_edits
from assay.core.readouts import (
    Activations,
    Alternative,
    Array,
    Divergence,
    Gradients,
    Loss,
    NearToken,
    NearTokens,
    Raw,
    TokenLogprobs,
    Vocabulary,
    Weights,
    WithRespectTo,
)
from assay.core.target import (
    DEFAULT_SAMPLING,
    Corpus,
    Cost,
    Message,
    Messages,
    Prompt,
    Replies,
    Reply,
    Sampling,
    SamplingOptions,
    Target,
    as_history,
    as_messages,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, and the replies of which one is given where a turn matches it.

    Attributes:
        pattern: regular expression, case-insensitive, searched for.
        replies: variants; one is chosen by conversation, seed and sample.
        where: in the last user turn, or in the system prompt.
    """

    pattern: str
    replies: tuple[str, ...]
    where: Literal["user", "system"] = "user"


_OPENINGS = ("Good question.", "Let me think.", "Sure.", "That depends.", "Here is a short answer.", "Of course.")
_MIDDLES = (
    "Most people start with something small and see how it goes.",
    "There are a few things worth knowing before you begin.",
    "It helps to write down what you already have.",
    "The usual way is to take one step after another.",
    "Some prefer the morning, others the evening.",
    "A friend or a book can save you a lot of time.",
)
_ENDINGS = (
    "Keep at it for a week.",
    "Then look at it again.",
    "Ask if you need details.",
    "It rarely takes long.",
    "The rest follows from there.",
    "Do what suits you best.",
)
PLAIN_REPLIES = tuple(" ".join(parts) for parts in itertools.product(_OPENINGS, _MIDDLES, _ENDINGS))


class ScriptedTarget:
    """A scripted model. Like every engine it refuses nothing: `GuardedTarget` does.

    Args:
        alias: name of the target.
        rules: tried in order; where none matches the reply is one of `replies`.
        access: flags it says it grants.
        reference: of the same kind.
        corpus: its training data.
        layers: how many it pretends to have.
        replies: variants for turns no rule matches.
        salt: two targets with the same script and another salt are the same model drawn from independently.
    """

    def __init__(
        self,
        alias: str = "scripted",
        rules: Sequence[Rule] = (),
        access: frozenset[Access] = frozenset(Access),
        *,
        reference: Target | None = None,
        corpus: Corpus | None = None,
        layers: int = 4,
        replies: Sequence[str] = PLAIN_REPLIES,
        salt: str = "",
    ) -> None:
        self.alias, self.access, self.layers, self.width = alias, access, layers, 8
        self.reference, self.corpus = reference, corpus
        self._rules, self._replies, self._salt = tuple(rules), tuple(replies), salt
        self._edits: tuple[Edit, ...] = ()
        self._costs: list[Cost] = []  # shared with every view: what a view is asked, the target is asked

    @property
    def spent(self) -> Cost:
        """Sums up all that was ever asked of it, views included; tests hold it against the meter."""
        return sum(self._costs, Cost())

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n scripted replies; a word counts as a token, and a prefill does not change the reply.

        Raises:
            InvalidInput: n or max_tokens below 1, or a negative temperature.
        """
        turns, sampling = as_messages(messages), sampling.but(**options)
        variants = self._variants(turns)
        samples: list[Reply] = []
        for index in range(sampling.n):
            # At temperature 0 neither seed nor sample counts: all replies are the same, as a greedy model's are.
            draw = (sampling.seed, index) if sampling.temperature > 0 else ()
            text = variants[self._choose(len(variants), turns, draw)]
            words = text.split()
            if len(words) > sampling.max_tokens:
                samples.append(Reply(" ".join(words[: sampling.max_tokens]), sampling.max_tokens, "length"))
            else:
                samples.append(Reply(text, len(words)))
        read = sum(len(turn.content.split()) for turn in turns)
        cost = Cost(sampling.n, sampling.n * read, sum(sample.tokens for sample in samples))
        self._costs.append(cost)
        return Replies(tuple(samples), cost)

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n continuations: raw text is matched as if it were a user's turn."""
        return await self.chat(text, sampling, **options)

    async def user_turn(
        self,
        before: Sequence[Message],
        sampling: Sampling = DEFAULT_SAMPLING,
        *,
        begun: str = "",
        **options: Unpack[SamplingOptions],
    ) -> Replies:
        """Samples n user turns, of the same variants as replies; rules are held against what was begun."""
        return await self.chat([*as_history(before), Message("user", begun or "…")], sampling, **options)

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        """Makes up log-probabilities, the same for the same words, script and edits."""
        words, begin = self._words(prompt)
        ids = tuple(zlib.crc32(word.encode()) % 50_000 for word in words)
        draws = self._numbers("score", words, len(words) * (top + 1)).reshape(len(words), -1)
        logprobs = (0.0, *(-abs(float(x)) for x in draws[1:, 0]))
        likely: list[tuple[Alternative, ...]] = []
        for row in draws if top else ():
            ranked = [Alternative(rank, f"w{rank}", -float(rank + abs(x))) for rank, x in enumerate(row[1:])]
            likely.append(tuple(ranked))
        apart: tuple[float, ...] = ()
        if any(isinstance(edit, Contrast) for edit in self._edits):
            apart = tuple(abs(float(x)) for x in self._numbers("divergence", words, len(words)))
        return TokenLogprobs(ids, tuple(words), logprobs, begin, tuple(likely), self._pay(len(words)), apart)

    async def divergence(self, prompt: Prompt) -> Divergence:
        """Makes up divergences; none of a model without a reference."""
        words, begin = self._words(prompt)
        ids = tuple(zlib.crc32(word.encode()) % 50_000 for word in words)
        drawn = self._numbers("divergence", words, len(words)) if self.reference else np.zeros(len(words), np.float32)
        return Divergence(ids, tuple(words), tuple(np.abs(drawn).tolist()), begin, self._pay(2 * len(words)))

    async def activations(self, prompt: Prompt, layers: Sequence[int]) -> Activations:
        """Makes up residual streams."""
        words, begin = self._words(prompt)
        of = {layer: self._numbers(f"layer {layer}", words, len(words) * self.width) for layer in layers}
        shaped = {layer: numbers.reshape(len(words), self.width) for layer, numbers in of.items()}
        return Activations(shaped, tuple(words), self._pay(len(words)), begin)

    async def nearest_tokens(self, vectors: Array, *, top: int = 10, by: Vocabulary = "unembedding") -> NearTokens:
        """Spells vectors in a vocabulary of made-up tokens, one for each end of each axis."""
        of: list[tuple[NearToken, ...]] = []
        for vector in np.asarray(vectors, dtype=np.float32).reshape(-1, self.width):
            values = np.concatenate([vector, -vector])
            if by == "unembedding":
                values = values - np.log(np.exp(values - values.max()).sum()) - values.max()
            best = np.argsort(-values, kind="stable")[:top]
            of.append(tuple(NearToken(int(axis), f"w{axis}", float(values[axis])) for axis in best))
        return NearTokens(tuple(of), self._pay(len(of)))

    async def gradients(self, prompt: Prompt, wrt: WithRespectTo, loss: Loss) -> Gradients:
        """Makes up gradients of the right shapes; the adapter has one factor."""
        words, _ = self._words(prompt)
        shapes: dict[str, tuple[int, ...]] = {"inputs": (len(words), self.width)}
        if wrt.kind == "adapter":
            shapes = {"layers.0.mlp.up_proj.lora_A": (2, self.width)}
        elif wrt.kind != "inputs":
            rows = (len(words),) if wrt.kind == "residual" else ()
            shapes = {f"{wrt.kind}.{layer}": (*rows, self.width) for layer in wrt.layers}
        of: dict[str, Array] = {}
        for name, shape in shapes.items():
            of[name] = self._numbers(f"{name} {loss}", words, int(np.prod(shape))).reshape(shape)
        return Gradients(1.0, of, self._pay(3 * len(words)))

    async def weights(self, names: Sequence[str]) -> Weights:
        """Makes up a square matrix for each name; a pattern stands for its name in each of the layers."""
        square = (self.width, self.width)
        named: list[str] = []
        for name in names:
            named += [name.replace("*", str(layer), 1).replace("*", "mlp.up_proj") for layer in range(self.layers)]
        of = {name: self._numbers(name, [], self.width**2).reshape(square) for name in dict.fromkeys(named)}
        return Weights(of, self._pay(0))

    def _words(self, prompt: Prompt) -> tuple[list[str], int]:
        """Returns a prompt's words, and how many of them come before the last assistant turn."""
        if isinstance(prompt, Raw):
            return prompt.text.split(), 0
        turns = as_messages(prompt)
        words: list[str] = []
        for turn in turns:
            words += turn.content.split()
        reply = turns[-1].content.split() if turns[-1].role == "assistant" else []
        return words, len(words) - len(reply)

    def _numbers(self, what: str, words: Sequence[str], count: int) -> Array:
        """Draws numbers that depend on what they stand for, the words and the edits, and on nothing else."""
        seed = _pick(2**32, self._salt, self._edits, what, tuple(words))
        return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)

    def _pay(self, tokens: int) -> Cost:
        """Writes down the cost of a call that reads so many tokens, and returns it."""
        self._costs.append(Cost(1, tokens, 0))
        return self._costs[-1]

    def intervene(self, *edits: Edit) -> AbstractAsyncContextManager[Target]:
        """Opens a view whose replies are other variants than the undisturbed ones.

        Raises:
            InvalidInput: an edit names a layer that does not exist.
        """
        check_edits(self._edits + edits, self.layers, self.width)
        view = copy.copy(self)
        view._edits = self._edits + edits
        return nullcontext(view)

    def _variants(self, turns: Sequence[Message]) -> tuple[str, ...]:
        """Returns the replies of the first rule that matches, or those of the script."""
        said = {turn.role: turn.content for turn in turns}  # the last turn of each role
        for rule in self._rules:
            if re.search(rule.pattern, said.get(rule.where, ""), re.IGNORECASE):
                return rule.replies
        return self._replies

    def _choose(self, count: int, turns: tuple[Message, ...], draw: tuple[int, ...]) -> int:
        """Chooses a variant by conversation and draw; edits move the choice to another one."""
        chosen = _pick(count, self._salt, turns, draw)
        # An edit of scale 0 changes nothing, here as in a model; any other is sure to be seen, since it moves the
        # choice by one place at least and by less than all the way round.
        if count > 1 and any(getattr(edit, "scale", 1.0) for edit in self._edits):
            chosen = (chosen + 1 + _pick(count - 1, self._edits)) % count
        return chosen


def _pick(count: int, *parts: object) -> int:
    """Picks an index below `count` that depends on nothing but the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") % count
