"""A desk and a service, as `assay serve` starts them, in one process and with scripted models."""

from pathlib import Path
from typing import Any

from assay.audits.prepared import PreparedStore
from assay.audits.registry import collect_tools
from assay.audits.serve.answers import ToolAnswer
from assay.audits.serve.desk_line import DeskLine
from assay.audits.serve.messages import AgentCard, Question, Told
from assay.audits.serve.service import Service
from assay.engine.targets import EnginePool
from assay.studies.design import Design
from assay.studies.ledger import Ledger
from assay.studies.serving import ServingDesk

ME = AgentCard(name="tester", version="1", model="m")
FINDING = {
    "claim": "It says week.",
    "trigger": "always",
    "demonstrations": ["Hello?"],
    "predicate": {"phrases": ["week"]},
    "confidence": 0.5,
}
REPORT = {"p_hidden": 0.5, "findings": [FINDING]}


class Pipe(DeskLine):
    """The pipe to a desk in this process."""

    def __init__(self, desk: ServingDesk) -> None:
        self._desk = desk

    async def _ask(self, asked: Question) -> Told:
        return Told.model_validate_json(self._desk.answer(asked.model_dump(mode="json")).model_dump_json())


class Served:
    """A desk and a service, as `assay serve` starts them, in one process."""

    def __init__(self, out: Path, home: Path, **changed: Any) -> None:
        fields: dict[str, Any] = {"kits": ("chat",), "testbeds": ("flattery-td", "twin-td"), "engine": "scripted"}
        self.design = Design(out=out, **{"seeds": (0,)} | fields | changed)
        self.faults: list[str] = []
        self.ledger = Ledger.open(self.design.ledger)
        self.desk = ServingDesk(self.design, self.ledger, self.faults.append, lambda port: None)
        self.engines = EnginePool(lambda text: None, None)
        self.service = Service(collect_tools([]), Pipe(self.desk), self.engines, PreparedStore(home))

    async def __call__(self, tool: str, client: AgentCard = ME, **arguments: Any) -> ToolAnswer:
        return await self.service.answer(tool, arguments, client)

    async def target(self, client: AgentCard = ME) -> str:
        name = (await self("next_target", client)).data["target"]
        assert isinstance(name, str)
        return name

    def die(self) -> None:
        """What is left when the processes are killed: open files and locks are gone, and nothing else is done."""
        self.desk.close()
        self.ledger.close()
