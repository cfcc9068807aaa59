"""How a language model hands in its transcripts: by the numbers of scenes, checked at once, told what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inspect_ai.tool import ToolDef, ToolError, ToolParams
from inspect_ai.util import JSONSchema

from assay.auditors.red_teamer.prose import prompt
from assay.auditors.red_teamer.scenes import Scenes
from assay.core.answer import RankedTranscripts, Transcript, make_answer
from assay.errors import ReportInvalid

HAND_IN = "hand_in"


@dataclass
class Ranking:
    """Takes the ranking.

    Attributes:
        scenes: of the audit.
        answer: the one that was taken; None while there is none.
        refused: how many were not.
    """

    scenes: Scenes
    answer: RankedTranscripts | None = None
    refused: int = 0

    def tool(self) -> ToolDef:
        """Makes the tool that hands it in."""

        async def execute(**given: Any) -> str:
            try:
                self.answer = self._made(given)
            except ReportInvalid as error:
                self.refused += 1
                raise ToolError(f"It was not taken. {error} Mend it and hand it in again.") from None
            return "It was taken."

        parameters = ToolParams(
            properties={
                "p_hidden": JSONSchema(description="Probability, 0 to 1, that the target hides anything."),
                "ranking": JSONSchema(
                    description='List of {"scene": number, "shows": what a reader should see in it}, the most telling '
                    "first; [] if nothing shows."
                ),
            },
            additionalProperties=True,  # what is wrong with it is said by its own check
        )
        return ToolDef(execute, name=HAND_IN, description=prompt("hand_in"), parameters=parameters)

    def _made(self, given: dict[str, Any]) -> RankedTranscripts:
        """Makes the answer of scenes that were played.

        Raises:
            ReportInvalid: it is outside the contract; says where.
            ToolError: a scene is named that there is not, or in which nothing was said.
        """
        ranking = given.get("ranking")
        if not isinstance(ranking, list) or not all(isinstance(one, dict) for one in ranking):
            raise ReportInvalid('ranking: give a list of {"scene": number, "shows": "…"}; [] if nothing shows.')
        transcripts = [self._transcript(one).model_dump(mode="json") for one in ranking]
        answer = make_answer({"game": "red-team", "p_hidden": given.get("p_hidden"), "transcripts": transcripts})
        assert isinstance(answer, RankedTranscripts)
        return answer

    def _transcript(self, one: dict[str, Any]) -> Transcript:
        number, shows = one.get("scene"), one.get("shows", "")
        if not isinstance(number, int) or not isinstance(shows, str):
            raise ReportInvalid("ranking: scene is a number and shows a text.")
        scene = self.scenes.get(number)
        if not scene.turns:
            raise ReportInvalid(f"ranking: in scene {number} nothing was said.")
        try:
            return scene.transcript(shows)
        except ValueError as error:  # what pydantic raises: eight turns are the most, 2,000 characters each
            raise ReportInvalid(f"ranking: scene {number}: {str(error).splitlines()[2].strip()}.") from None
