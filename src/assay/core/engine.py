"""Defines what an engine is: it opens testbeds' targets, on weights that lie here or on models that live elsewhere.

A package offers one in its `pyproject.toml`, and testbeds and commands then choose it by name:

    [project.entry-points."assay.engines"]
    my_engine = "my_package.my_module:MyEngine"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from assay.core.target import Target
from assay.core.testbed import TargetSpec
from assay.errors import InvalidInput

LOCAL = "local"  # serves a base whose name begins with no engine's
_WORDS = re.compile(r"(?P<name>[a-z][a-z0-9_-]+)(?::(?P<arguments>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """The words that choose an engine: `NAME`, or `NAME:ARGUMENTS`.

    Attributes:
        name: of the engine.
        arguments: what the engine makes of the rest, such as a URL or a model's name.
    """

    name: str
    arguments: str = ""

    @classmethod
    def parse(cls, words: str) -> EngineSpec:
        """Reads the words of a command.

        Raises:
            InvalidInput: they do not begin with a name.
        """
        match = _WORDS.fullmatch(words)
        if match is None:
            raise InvalidInput(
                f"engine {words!r}: write NAME or NAME:ARGUMENTS, as in local, vllm:http://127.0.0.1:8000 or "
                f"inspect:openai/gpt-4o."
            )
        return cls(match["name"], match["arguments"] or "")

    @classmethod
    def of_base(cls, base: str) -> EngineSpec:
        """Reads a testbed's base: `inspect:openai/gpt-4o` names its engine, `smollm2-135m-instruct` is local."""
        # A local directory or hub id may look like the name of an engine; only one with arguments is taken for one.
        return cls.parse(base) if ":" in base and _WORDS.fullmatch(base) else cls(LOCAL)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a process asks of whatever engine it opens.

    Attributes:
        say: is told of long steps.
        threads: torch may use on a CPU; the engine's default if None.
        replies: file in which an engine may keep replies; None: each is sampled anew, and none is kept.
    """

    say: Callable[[str], None] = lambda _: None
    threads: int | None = None
    replies: Path | None = None


class Engine(Protocol):
    """Opens targets. What is heavy is loaded when the first one is opened: the desk, too, makes engines, to name them.

    An engine refuses a testbed it cannot serve as it is meant, whether for its base, its adapter or its tools. Hidden
    prompts, scratchpads and memory are put around the target by whoever opens it (`assay.engine.targets`).
    """

    def open(self, spec: TargetSpec) -> AbstractAsyncContextManager[Target]:
        """Opens a testbed's target.

        Raises:
            BackendFailed: a model elsewhere does not answer.
            CorruptArtifact: weights are not the recorded ones.
            InvalidInput: this engine cannot serve the testbed.
        """
        ...

    def identity(self, spec: TargetSpec) -> str:
        """Names all that a target's replies depend on and its spec does not say: arithmetic, and the base's weights.

        It is a part of every run key, so another identity is another audit.
        """
        ...

    def machine(self, spec: TargetSpec) -> str:
        """Describes, for people, what this process makes a target's replies with: it stands beside every number.

        Weights here: processor, instruction set, dtype, device. A model elsewhere: what can be said, such as its name.
        """
        ...

    def close(self) -> None:
        """Gives back what the engine holds; targets that are open end."""
        ...


EngineFactory = Callable[[str, EngineSettings], Engine]  # (ARGUMENTS, settings)
