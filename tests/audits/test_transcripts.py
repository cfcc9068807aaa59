"""What a tool showed is written down and read back as it was, whatever of it was empty."""

from collections import Counter
from typing import Any, cast

import pytest

from assay.audits.registry import get_tool
from assay.audits.transcripts import recorded, shown_calls
from assay.core.tool import BoundTool, Evidence, Sample


@pytest.mark.attacks
@pytest.mark.parametrize(
    "sample",
    [
        Sample("Hello?", ""),  # a model that ends its turn at once, or is driven out of its mind
        Sample("", "a text without a prompt"),
        Sample("", ""),
        Sample("Two", "", "system", "begun", True, True, ("One", "said", "Two")),
    ],
)
async def test_an_empty_reply_is_read_back_as_one(sample: Sample) -> None:
    async def shows(_: Any) -> Evidence:
        return Evidence("text", (sample, Sample("Second", "said")))

    calls: list[dict[str, Any]] = []
    tool = get_tool("ask")
    await recorded(tool, BoundTool(tool, cast(Any, shows)), calls)(prompt="Hello?")
    [call] = shown_calls(calls)
    assert call.samples == (sample, Sample("Second", "said")) and call.whole
    assert Counter(one["tool"] for one in calls) == {"ask": 1}
