"""Asks the desk, by the pipe that this process was started with."""

from __future__ import annotations

from dataclasses import asdict

from assay._util.job_server import JobServer
from assay.audits.serve.messages import AgentCard, Entry, Offer, Question, Told
from assay.core.record import AuditRow
from assay.errors import InvalidInput


class DeskLine:
    """The desk as the process that serves knows it.

    Args:
        server: the pipe.
    """

    def __init__(self, server: JobServer) -> None:
        self._server = server

    async def next_offer(self, agent: AgentCard) -> tuple[Offer | None, str]:
        """Asks for an audit to be played; None, and why, where there is none."""
        told = await self._ask(Question(want="next", agent=agent))
        return told.offer, told.problem

    async def offer_again(self, name: str) -> Offer:
        """Asks for the audit that a client knows by this name.

        Raises:
            InvalidInput: there is none that goes on.
        """
        told = await self._ask(Question(want="again", name=name))
        if told.offer is None:
            raise InvalidInput(told.problem)
        return told.offer

    async def keep(self, name: str, row: AuditRow, entry: Entry | None = None) -> None:
        """Has an audit kept as it stands, and a call of it.

        Raises:
            InvalidInput: it was given to another client, or has ended.
        """
        await self._done(Question(want="keep", name=name, entry=entry, row=asdict(row)))

    async def end(self, name: str, row: AuditRow) -> None:
        """Has an audit recorded that has ended. Raises as `keep`."""
        await self._done(Question(want="end", name=name, row=asdict(row)))

    async def listening(self, port: int) -> None:
        """Says where clients are listened to."""
        await self._done(Question(want="listening", port=port))

    async def _done(self, asked: Question) -> None:
        told = await self._ask(asked)
        if told.problem:
            raise InvalidInput(told.problem)

    async def _ask(self, asked: Question) -> Told:
        return Told.model_validate(await self._server.ask("asked", asked.model_dump(mode="json")))
