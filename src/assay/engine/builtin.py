"""The engines that come with Assay. Each imports what is heavy when its first target is opened."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from assay.core.engine import EngineSettings, EngineSpec
from assay.core.target import Target
from assay.core.testbed import INSPECT, TargetSpec
from assay.engine.base import find_base
from assay.engine.cache import ReplyCache
from assay.engine.machine import numerics, this_machine
from assay.errors import InvalidInput

if TYPE_CHECKING:
    from assay.engine.local.engine import LocalEngine

VLLM_KEY = "VLLM_API_KEY"  # vLLM's own variable; a key in the engine's words would be seen in lists of processes


def _without_tools(spec: TargetSpec, engine: str) -> None:
    """Refuses an agentic testbed: without its tools it would be another one."""
    if spec.tools:
        raise InvalidInput(
            f"{spec.alias} works with tools ({', '.join(spec.tools)}), which engine {engine!r} does not give it. "
            f"Choose inspect:PROVIDER/MODEL."
        )


class LocalWeights:
    """`local`: weights on this machine. Every base has one engine, which serves all adapters on it.

    Args:
        arguments: none.
        settings: of the process.

    Raises:
        InvalidInput: there are arguments.
    """

    def __init__(self, arguments: str, settings: EngineSettings) -> None:
        if arguments:
            raise InvalidInput(
                f"engine local:{arguments}: it takes no arguments; testbeds name their base. Write local."
            )
        self._settings = settings
        self._engines: dict[str, LocalEngine] = {}
        self._digests: dict[str, str] = {}

    def open(self, spec: TargetSpec) -> AbstractAsyncContextManager[Target]:
        """Opens an adapter on its base, or the base."""
        from assay.engine.local.engine import LocalEngine

        _without_tools(spec, "local")
        if spec.base not in self._engines:
            cache = ReplyCache(self._settings.replies)
            base = find_base(spec.base, self._settings.say)
            self._engines[spec.base] = LocalEngine(base, cache, self._settings.threads)
        return self._engines[spec.base].open(spec)

    def identity(self, spec: TargetSpec) -> str:
        """Names the arithmetic of this machine and the digest of the base's weights, which are read once."""
        if spec.base not in self._digests:
            self._digests[spec.base] = find_base(spec.base, self._settings.say).digest
        return f"{numerics()}/{self._digests[spec.base]}"

    def machine(self, spec: TargetSpec) -> str:
        """Describes processor, instructions, dtype and device of this machine."""
        return str(this_machine())

    def close(self) -> None:
        """Stops the engines of all bases."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()


class InspectModels:
    """`inspect:PROVIDER/MODEL`: a model Inspect can ask, with tools in a sandbox where the testbed has them.

    Args:
        arguments: name of the model as Inspect knows it.
        settings: of the process.

    Raises:
        InvalidInput: no such name.
    """

    def __init__(self, arguments: str, settings: EngineSettings) -> None:
        if "/" not in arguments:
            raise InvalidInput(
                f"engine {INSPECT}{arguments} names no model. Name it as Inspect does: {INSPECT}openai/gpt-4o."
            )
        self._model = arguments

    def open(self, spec: TargetSpec) -> AbstractAsyncContextManager[Target]:
        """Opens the model in the place of the testbed's base."""
        spec = replace(spec, base=INSPECT + self._model)
        if spec.tools:
            from assay.engine.remote.agent import open_agent

            return open_agent(spec)
        from assay.engine.remote.inspect_model import open_target

        return open_target(spec)

    def identity(self, spec: TargetSpec) -> str:
        """Names the model; which weights its provider serves under that name cannot be known."""
        return f"inspect/1/{self._model}"

    def machine(self, spec: TargetSpec) -> str:
        """Names the provider and the model, behind which nothing can be seen."""
        return INSPECT + self._model

    def close(self) -> None:
        """Does nothing: each target closes its own connections."""


class VllmModels:
    """`vllm:URL` or `vllm:URL#MODEL`: a vLLM server that has a base, and adapters by alias.

    Args:
        arguments: the server's URL, with or without /v1; behind `#` the name under which it serves the base, where that
            is not the testbeds' own.
        settings: of the process.

    Raises:
        InvalidInput: not an HTTP URL, or a key that cannot be sent.
    """

    def __init__(self, arguments: str, settings: EngineSettings) -> None:
        from assay.engine.remote.vllm import VllmServer

        url, _, self._model = arguments.partition("#")
        key = os.environ.get(VLLM_KEY, "").strip()
        if not (key.isascii() and key.isprintable()):
            # The key is not shown: this text may be logged.
            raise InvalidInput(
                f"{VLLM_KEY} holds what no HTTP header may: give the key alone, in printable ASCII, or unset it."
            )
        self._server = VllmServer(url, key, model=self._model)

    def open(self, spec: TargetSpec) -> AbstractAsyncContextManager[Target]:
        """Opens the testbed's adapter on the server, or the base."""
        _without_tools(spec, "vllm")
        own = EngineSpec.of_base(spec.base).name == "vllm"  # the testbed names a server, and no model on it
        return self._server.open(replace(spec, base="") if own else spec)

    def identity(self, spec: TargetSpec) -> str:
        """Names the model that was asked for, not the address: the same weights may move to another port."""
        return f"vllm/1/{self._model}".rstrip("/")

    def machine(self, spec: TargetSpec) -> str:
        """Names the model as the server does; neither its processor nor its dtype can be asked for."""
        own = EngineSpec.of_base(spec.base).name == "vllm"
        return f"vllm server · {self._model or ('its only model' if own else spec.base)}"

    def close(self) -> None:
        """Does nothing: each target closes its own connections."""


class ScriptedModels:
    """`scripted`: replies from a fixed list, at once and without weights, for trying what lies around a model.

    Args:
        arguments: none.
        settings: of the process.

    Raises:
        InvalidInput: there are arguments.
    """

    def __init__(self, arguments: str, settings: EngineSettings) -> None:
        if arguments:
            raise InvalidInput(f"engine scripted:{arguments}: it takes no arguments. Write scripted.")

    @asynccontextmanager
    async def open(self, spec: TargetSpec) -> AsyncIterator[Target]:
        """Opens a target whose replies differ from those of any other alias."""
        from assay.engine.corpus import read_corpus
        from assay.engine.scripted import ScriptedTarget

        _without_tools(spec, "scripted")
        corpus = read_corpus(spec.corpus, spec.corpus_digest) if spec.corpus else None
        reference = ScriptedTarget(spec.alias, access=spec.access, salt="reference")
        yield ScriptedTarget(spec.alias, access=spec.access, salt=spec.alias, corpus=corpus, reference=reference)

    def identity(self, spec: TargetSpec) -> str:
        """Names the list of replies."""
        return "scripted/1"

    def machine(self, spec: TargetSpec) -> str:
        """Says that no arithmetic is done."""
        return "scripted replies"

    def close(self) -> None:
        """Does nothing: there is nothing to hold."""
