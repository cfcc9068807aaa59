"""The factory's commands: an engine is opened, a testbed built or checked, the engine closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from assay.engine.base import default_threads, find_base, home
from assay.engine.cache import ReplyCache
from assay.engine.local import LocalEngine
from assay.lab.build import Say, build, build_ordinary, check
from assay.organisms.recipes import open_recipe

ORDINARY_NAME = "ordinary"


@contextmanager
def _engine(base: str, threads: int | None, say: Callable[[str], None]) -> Iterator[LocalEngine]:
    engine = LocalEngine(find_base(base, say), ReplyCache(home() / "replies.sqlite"), threads)
    try:
        yield engine
    finally:
        engine.close()


def build_named(name: str, threads: int | None, say: Say) -> dict[str, Any]:
    """Build a testbed, or the ordinary data around all of them."""
    base = "smollm2-135m-instruct" if name == ORDINARY_NAME else open_recipe(name).base
    with _engine(base, threads, say) as engine:
        if name == ORDINARY_NAME:
            return {"testbed": ORDINARY_NAME, "path": str(asyncio.run(build_ordinary(engine.open, say)))}
        spec = asyncio.run(build(name, engine.open, say, threads or default_threads()))
    return {"testbed": open_recipe(name).testbed, "alias": spec.alias, "path": str(spec.adapter or spec.base)}


def check_named(name: str, say: Say) -> dict[str, Any]:
    """Measure an organism and keep its card."""
    with _engine(open_recipe(name).base, None, say) as engine:
        return asyncio.run(check(name, engine.open))
