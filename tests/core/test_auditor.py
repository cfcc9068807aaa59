"""`@auditor` makes an auditor of an async function, and says what is wrong with one that cannot be."""

from typing import Any

import pytest

import assay
from assay.core.auditor import Auditor, Brief, Kit, auditor
from assay.core.budget import Budget
from assay.core.report import Report
from assay.errors import PluginError


@auditor
async def idle(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Report nothing."""
    return Report(p_hidden=0.5)


@auditor(version=3, llm=True)
async def talker(kit: Kit, _brief: Brief, _budget: Budget) -> Report:
    """Report nothing, at length."""
    return Report(p_hidden=0.5)


def test_name_doc_version_and_digest_are_filled_in() -> None:
    assert (idle.name, idle.doc, idle.version, idle.llm) == ("idle", "Report nothing.", 1, False)
    assert (talker.title, idle.title) == ("talker@3", "idle@1 (no LLM)")
    assert len(idle.digest) == 64 and idle.digest == talker.digest  # of one file
    assert isinstance(idle, Auditor) and assay.auditor is auditor


async def test_it_plays() -> None:
    assert (await idle.function(Kit("prior-only", {}), Brief("investigate", "?"), Budget())).p_hidden == 0.5


def not_async(kit: Kit, brief: Brief, budget: Budget) -> Report:
    """Report nothing."""
    return Report(p_hidden=0.5)


async def no_docstring(kit: Kit, brief: Brief, budget: Budget) -> Report:
    return Report(p_hidden=0.5)


async def too_few(kit: Kit, brief: Brief) -> Report:
    """Report nothing."""
    return Report(p_hidden=0.5)


async def wrong_order(brief: Brief, kit: Kit, budget: Budget) -> Report:
    """Report nothing."""
    return Report(p_hidden=0.5)


async def no_annotation(kit, brief, budget):  # type: ignore[no-untyped-def]
    """Report nothing."""
    return Report(p_hidden=0.5)


async def no_report(kit: Kit, brief: Brief, budget: Budget) -> str:
    """Report nothing."""
    return ""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (not_async, "not_async must be an async function"),
        (no_docstring, "no_docstring has no docstring"),
        *((wrong, r"\(kit: Kit, brief: Brief, budget: Budget\) -> Report") for wrong in (too_few, wrong_order)),
        *((wrong, r"\(kit: Kit, brief: Brief, budget: Budget\) -> Report") for wrong in (no_annotation, no_report)),
    ],
)
def test_a_wrong_function_is_told(function: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        auditor(function)
