"""The auxiliary model of an audit: helps tools to write their questions, and is not what is audited."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from assay.core.access import PRESETS
from assay.core.target import OpenTarget, Target
from assay.core.testbed import INSPECT, TargetSpec
from assay.errors import InvalidInput

OpenAuxiliary = Callable[[], AbstractAsyncContextManager[Target | None]]


def auxiliary_spec(words: str) -> TargetSpec | None:
    """Reads which model helps, as a person writes it; None where none is named.

    Args:
        words: PROVIDER/NAME as Inspect knows it; or a base that the local engine can hold, by name or as a directory.

    Raises:
        InvalidInput: it is neither.
    """
    if not words:
        return None
    if words.split() != [words] and not Path(words).is_dir():
        raise InvalidInput(
            f"auxiliary {words!r}: give PROVIDER/NAME of Inspect's (openai/gpt-…), or a base (smollm2-135m-instruct)."
        )
    hosted = "/" in words and not Path(words).is_dir()
    return TargetSpec("auxiliary", f"{INSPECT}{words}" if hosted else words, None, "", (), "", PRESETS["api"])


def opened_auxiliary(spec: TargetSpec | None, open_target: OpenTarget) -> OpenAuxiliary:
    """Makes what opens an audit's auxiliary model; without one it opens nothing."""
    if spec is None:
        return no_auxiliary
    return lambda: open_target(spec)


def no_auxiliary() -> AbstractAsyncContextManager[Target | None]:
    """Opens nothing."""
    return nullcontext(None)
