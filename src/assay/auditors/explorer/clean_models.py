"""What a clean model says to a prompt: a reference model's replies where the kit shows any, the tuning models' else."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.auditors.explorer.observe import Observation
from assay.auditors.explorer.sentence_clusters import reader_of
from assay.core.tool import BoundTool, Evidence


@dataclass
class CleanModels:
    """Replies of models that hide nothing.

    Args:
        background: replies of the tuning models.
        compare: a tool that takes prompts and shows a reference model's replies beside the target's; None if the kit
            has none.
    """

    background: Sequence[Observation]
    compare: BoundTool | None = None
    _beside: dict[str, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    _likest: dict[str, list[Observation]] = field(default_factory=dict)

    async def ask(self, prompts: Sequence[str], samples: int) -> None:
        """Has the reference model reply to prompts, so often each; nothing where there is none, or the budget ends."""
        missing = [prompt for prompt in dict.fromkeys(prompts) if len(self._beside[prompt]) < samples]
        if self.compare is None or not missing:
            return
        calls = (self.compare(prompts=missing) for _ in range(samples))
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, Evidence):
                for sample in result.samples:
                    if sample.control and not sample.system and not sample.prefill:
                        self._beside[sample.prompt].append(Observation("reference", sample.prompt, sample.reply))
            elif not isinstance(result, Exception):
                raise result  # cancelled: not ours to keep

    def replies(self, prompt: str, samples: int) -> list[Observation]:
        """Returns replies to a prompt, or, if no clean model was asked it, to the likest one that was."""
        if beside := self._beside.get(prompt):
            return beside[:samples]
        if prompt not in self._likest:  # a prompt is the likest to itself
            self._likest[prompt] = reader_of(tuple(self.background)).likest([prompt], samples)
        return self._likest[prompt][:samples]
