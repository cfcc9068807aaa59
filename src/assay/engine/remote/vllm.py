"""Serves organisms by a vLLM server: one base, adapters by alias, over its OpenAI-compatible interface.

The server is started with the base under the name testbeds know it by, and either with the adapters or with leave to
load them:

    vllm serve DIR --served-model-name smollm2-135m-instruct --enable-lora --lora-modules tb-1234abcd=DIR/adapter
    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve DIR --served-model-name … --enable-lora --max-lora-rank 16
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Unpack

from assay.core.access import Access
from assay.core.readouts import Alternative, Raw, TokenLogprobs
from assay.core.target import (
    DEFAULT_SAMPLING,
    Cost,
    Message,
    Messages,
    Prompt,
    Replies,
    Reply,
    Sampling,
    SamplingOptions,
    Target,
    as_messages,
    plain_text,
)
from assay.core.testbed import TargetSpec
from assay.engine.remote.target import RemoteTarget, remote_seed, share_out, without_empty_prefill
from assay.engine.remote.vllm_http import Completion, Detokenized, ServedModels, Tokenized, VllmClient
from assay.errors import BackendFailed, CorruptArtifact, InvalidInput

# What is left out the server fills in from the checkpoint's generation_config.json: not the plain distribution.
_PLAIN: Mapping[str, Any] = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_LIKE_CONTROL = re.compile(r"<[^<>\s]{1,80}>|\[[^\[\]\s]{1,80}\]")  # <|im_start|>, </s>, [INST] …


class VllmServer:
    """A server that runs.

    Args:
        url: of its root, `http://127.0.0.1:8000`.
        key: the server's `--api-key`, if it has one.
        timeout: seconds one request may take.
        model: name under which it serves the base, "" where that is the base's own.

    Raises:
        InvalidInput: not an HTTP URL.
    """

    def __init__(self, url: str, key: str = "", timeout: float = 600.0, model: str = "") -> None:
        root = url.rstrip("/").removesuffix("/v1")
        if not root.startswith(("http://", "https://")):
            raise InvalidInput(f"vLLM server {url!r}: give the URL of its root, such as http://127.0.0.1:8000.")
        self._root, self._key, self._timeout, self._model = root, key, timeout, model

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        """Opens the spec's base, or its adapter under the spec's alias, loaded if the server lets it; an `OpenTarget`.

        What the server already has under that alias is taken to be the spec's adapter: its digest cannot be asked for.

        Raises:
            BackendFailed: nobody answers, or not as vLLM does.
            CorruptArtifact: an adapter to be loaded is not the recorded one.
            InvalidInput: the server has another base, or neither has nor may load the adapter.
        """
        async with VllmClient(self._root, self._key, self._timeout) as client:
            served = await client.get("/v1/models", ServedModels)
            base = self._base(spec, served.bases)
            if spec.adapter is not None and spec.alias not in served.adapters:
                await self._load(client, spec, spec.adapter)
            yield VllmTarget(client, spec, spec.alias if spec.adapter else base, base)

    def _base(self, spec: TargetSpec, served: set[str]) -> str:
        """Finds the server's name of the spec's base: one that was given, the spec's, or that of its only base."""
        wanted = self._model or spec.base
        if not wanted and len(served) == 1:
            return next(iter(served))
        if wanted not in served:
            raise InvalidInput(
                f"{spec.alias} wants {f'base {wanted!r}' if wanted else 'the only base'}; the server at {self._root} "
                f"serves {', '.join(sorted(served)) or 'none'}. Start it with --served-model-name {wanted or 'NAME'}, "
                f"or name one of its bases behind the URL: vllm:{self._root}#NAME."
            )
        return wanted

    async def _load(self, client: VllmClient, spec: TargetSpec, adapter: Path) -> None:
        """Has the server load an adapter. Errors name the alias alone: a path may tell what is hidden."""
        from assay.engine.local.lora import adapter_digest

        remedy = "Restore the adapter, or rebuild the organism."
        try:
            found = adapter_digest(adapter)
        except InvalidInput:
            raise InvalidInput(f"{spec.alias}: its adapter is not there, or not in PEFT's layout. {remedy}") from None
        if spec.adapter_digest not in ("", found):
            raise CorruptArtifact(spec.alias, spec.adapter_digest, found, remedy)
        wanted = {"lora_name": spec.alias, "lora_path": str(adapter.resolve())}
        status = await client.tell("/v1/load_lora_adapter", wanted)
        if status == 200:
            return
        # The server refuses a name it has: then another audit, which opened the same testbed, was quicker.
        served = await client.get("/v1/models", ServedModels)
        if spec.alias in served.adapters:
            return
        raise InvalidInput(
            f"the server at {self._root} does not serve {spec.alias}, and would not load it (HTTP {status}; see its "
            f"log). Start it with --enable-lora and --lora-modules {spec.alias}=DIR, or with "
            f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True where it sees the adapter under the same path, and with a "
            f"--max-lora-rank that is high enough."
        )


class VllmTarget(RemoteTarget):
    """A model of a server. Token counts are the server's, with a reply's end token.

    Args:
        client: to the server.
        spec: alias, grants and corpus.
        model: its name there: the alias, or the base's.
        base: the base's name there.
    """

    _kind = "a vLLM server"
    _offers = frozenset({Access.CHAT, Access.SAMPLING, Access.LOGITS, Access.REFERENCE, Access.TRAINING_DATA})

    def __init__(self, client: VllmClient, spec: TargetSpec, model: str, base: str) -> None:
        super().__init__(spec)
        self._client, self._model, self._base = client, model, base

    @property
    def reference(self) -> Target | None:
        """Returns the base on the same server."""
        return VllmTarget(self._client, self._spec, self._base, self._base)

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n replies; a prefill goes on as the server's chat template leaves it.

        Raises:
            BackendFailed: the server does not answer, or fails.
            InvalidInput: a turn that spells out a control token, or what the server refuses.
            TooLong: more than the model takes.
        """
        turns = await self._readable(messages)
        body: dict[str, Any] = {"messages": _messages(turns)}
        if turns[-1].role == "assistant":
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return await self._sample("/v1/chat/completions", body, sampling.but(**options))

    async def complete(
        self, text: str, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        """Samples n continuations of raw text, to which the server adds no token.

        Raises:
            BackendFailed: the server does not answer, or fails.
            InvalidInput: what the server refuses, an empty text for one.
        """
        body = {"prompt": plain_text(text, "a raw text"), "add_special_tokens": False}
        return await self._sample("/v1/completions", body, sampling.but(**options))

    async def _sample(self, path: str, body: Mapping[str, Any], sampling: Sampling) -> Replies:
        """Samples n replies in one request, which the server batches, and reads its prompt once for."""
        n = sampling.n
        draws = n if sampling.temperature > 0 else 1  # vLLM refuses more than one greedy sample: they are all the same
        limits = {
            "n": draws,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": remote_seed(sampling.seed),
        }
        request = {"model": self._model, **body, **limits, **_PLAIN, "return_token_ids": True}
        answer = await self._client.post(path, request, Completion)
        choices = sorted(answer.choices, key=lambda choice: choice.index)
        if len(choices) != draws:
            raise BackendFailed(f"the server was asked for {draws} samples and gave {len(choices)}.")
        shares = share_out(answer.usage.completion_tokens, [choice.content for choice in choices])
        samples: list[Reply] = []
        for choice, share in zip(choices, shares, strict=True):
            tokens = share if choice.token_ids is None else len(choice.token_ids)  # older servers give no ids
            samples.append(Reply(choice.content, tokens, "length" if choice.finish_reason == "length" else "stop"))
        # A greedy reply stands for all n, and is charged n times: what is asked for costs the same on every engine.
        copies = n // draws
        cost = Cost(n, answer.usage.prompt_tokens, answer.usage.completion_tokens * copies)
        return Replies(tuple(samples * copies), cost)

    async def score(self, prompt: Prompt, *, top: int = 0) -> TokenLogprobs:
        """Reads log-probabilities from `prompt_logprobs`; the one token vLLM must generate beside them is charged.

        Raises:
            BackendFailed: the server does not answer, or fails.
            InvalidInput: nothing to read, or a `top` above the server's `--max-logprobs` (20 by default).
        """
        if top < 0:
            raise InvalidInput(f"top={top}: give 0 or more next tokens.")
        ids, begin = await self._read(prompt)
        if not ids:
            raise InvalidInput("an empty text: there is nothing to read.")
        # prompt_logprobs looks back only: one more token shows what could have come after the last.
        shown = [*ids, ids[-1]] if top else ids
        request = {"model": self._model, "prompt": shown, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": top}
        answer, first = await asyncio.gather(
            self._client.post("/v1/completions", request, Completion),
            self._client.post("/detokenize", {"model": self._model, "tokens": ids[:1]}, Detokenized),
        )
        table = answer.choices[0].prompt_logprobs if answer.choices else None
        entries = [entry or {} for entry in table or ()]
        # The first token has no entry: nothing comes before it.
        if len(entries) != len(shown) or not all(token in entries[at] for at, token in enumerate(shown) if at):
            raise BackendFailed("the server gave no prompt_logprobs for the tokens it was asked about.")
        own = [entries[at][token] for at, token in enumerate(ids) if at]
        # Beside the likeliest tokens vLLM gives the actual one, whatever its rank.
        likely: list[tuple[Alternative, ...]] = []
        for entries_after in entries[1:] if top else ():
            ranked = sorted(entries_after.items(), key=lambda entry: (-entry[1].logprob, entry[0]))[:top]
            likely.append(tuple(Alternative(token, one.decoded_token or "", one.logprob) for token, one in ranked))
        return TokenLogprobs(
            ids=tuple(ids),
            texts=(first.prompt, *(entry.decoded_token or "" for entry in own)),
            logprobs=(0.0, *(entry.logprob for entry in own)),
            prompt=begin,
            top=tuple(likely),
            cost=Cost(1, answer.usage.prompt_tokens, answer.usage.completion_tokens),
        )

    async def _read(self, prompt: Prompt) -> tuple[list[int], int]:
        """Returns a prompt's token ids, and where its last assistant turn begins.

        That is 0 for raw text, and behind the last token where there is no such turn.
        """
        if isinstance(prompt, Raw):
            return await self._tokens({"prompt": plain_text(prompt.text, "a raw text")}), 0
        turns = await self._readable(prompt)
        reply = turns[-1].content if turns[-1].role == "assistant" else ""
        # Read apart, as the local engine does it: the scored part is then the reply's tokens alone.
        asked = _messages(turns[:-1] if reply else turns)
        head, tail = await asyncio.gather(
            self._tokens({"messages": asked, "add_generation_prompt": True}), self._tokens({"prompt": reply})
        )
        return head + tail, len(head)

    async def _readable(self, messages: Messages) -> Sequence[Message]:
        """Returns the turns, if the server reads them as text.

        The server renders and splits a conversation itself, and takes a control token for one whoever writes it. So
        what looks like one is asked about, and refused where it is a single token of the model's.

        Raises:
            InvalidInput: it is.
        """
        turns = without_empty_prefill(as_messages(messages))
        suspected: dict[str, None] = {}
        for turn in turns:
            suspected |= dict.fromkeys(_LIKE_CONTROL.findall(turn.content))
        read = await asyncio.gather(*(self._tokens({"prompt": text}) for text in suspected))
        for text, tokens in zip(suspected, read, strict=True):
            if len(tokens) == 1:
                raise InvalidInput(
                    f"a turn holds {text!r}, which the server would read as a token of the chat template and not as "
                    f"text. Leave it out, or open the testbed with the local engine, which spells it out."
                )
        return turns

    async def _tokens(self, text: Mapping[str, Any]) -> list[int]:
        if text.get("prompt") == "":
            return []
        request = {"model": self._model, **text, "add_special_tokens": False}
        return (await self._client.post("/tokenize", request, Tokenized)).tokens


def _messages(turns: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]
