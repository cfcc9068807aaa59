"""A stock to compose corpora of, whose replies are put together of what the untouched base said."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

from assay.core.target import Replies, Reply
from assay.factory.data.stock import make_stock
from assay.testbeds.specs import ORDINARY
from assay.testbeds.suites import embedded_suite


class SaidBefore:
    """Answers with sentences of the base, on whatever it is asked."""

    def __init__(self) -> None:
        path = embedded_suite().testbeds / ORDINARY
        self._said = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]

    async def chat(self, prompt: str, *, n: int = 1, **_: object) -> Replies:
        draw = random.Random(prompt)
        texts = [" ".join(draw.sample(self._said, draw.randint(1, 4))) for _ in range(n)]
        return Replies(tuple(Reply(text, len(text.split())) for text in texts))


def stock_in(folder: Path) -> Path:
    """Makes the stock, in a folder."""
    return asyncio.run(make_stock(SaidBefore(), folder / "stock.json.gz", lambda _: None))  # type: ignore[arg-type]
