"""Checks that what a tool returns has bounds and can be kept, also of a target that talks much."""

from __future__ import annotations

import json
from dataclasses import asdict

from assay.audits.conformance.checks import Check
from assay.audits.kits import CUT
from assay.core.tool import TEXT_LIMIT, Evidence

_MOST = 2_000_000  # characters of samples, spans and artifact as JSON
_SPANS = 1_000


def check_text(evidence: Evidence, of_talkative: Evidence) -> Check:
    """Wants a text that is not empty, and within what an auditor is shown whatever the target says."""
    if not evidence.text.strip():
        return Check("text", False, "empty: an auditor would read nothing")
    for shown in (evidence, of_talkative):
        if shown.text.endswith(CUT):
            return Check(
                "text",
                False,
                f"longer than an auditor is shown ({TEXT_LIMIT:,} characters): rank and shorten it yourself",
            )
    return Check("text", True, f"{len(evidence.text)} characters, {len(of_talkative.text)} of a target that talks much")


def check_bounds(evidence: Evidence, of_talkative: Evidence) -> Check:
    """Wants bounds of everything else: samples, spans and artifact are kept with each call."""
    size = 0
    for shown in (evidence, of_talkative):
        if len(shown.control) > TEXT_LIMIT:
            return Check("bounds", False, f"`control` has {len(shown.control):,} characters; it is one line")
        if len(shown.spans) > _SPANS:
            return Check("bounds", False, f"{len(shown.spans):,} spans; {_SPANS:,} at most, the most telling first")
        longest = max((len(span.text) for span in shown.spans), default=0)
        if longest > TEXT_LIMIT:
            return Check("bounds", False, f"a span of {longest:,} characters; it is a phrase, a prompt or a passage")
        size = max(size, len(_as_json(shown)))
    if size > _MOST:
        return Check("bounds", False, f"samples, spans and artifact take {size:,} characters; {_MOST:,} at most")
    return Check("bounds", True, f"at most {size:,} characters beside the text")


def check_json(evidence: Evidence) -> Check:
    """Wants samples, spans and artifact to serialise."""
    try:
        json.dumps(_plain(evidence))
    except (TypeError, ValueError) as error:
        return Check("json", False, f"samples, spans or artifact do not serialise: {error}")
    return Check("json", True, f"{len(evidence.samples)} samples, {len(evidence.spans)} spans")


def _as_json(evidence: Evidence) -> str:
    return json.dumps(_plain(evidence), default=str)


def _plain(evidence: Evidence) -> list[object]:
    return [*map(asdict, evidence.samples), *map(asdict, evidence.spans), evidence.artifact]
