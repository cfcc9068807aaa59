"""What a tool or an auditor says of itself, as plain data: all that the desk ever holds of code from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from assay._util.yaml_models import Data
from assay.audits.plugin_source import PluginSource
from assay.audits.registry import Kind
from assay.core.answer import Game
from assay.core.auditor import AUDITOR_NAME, INVESTIGATES, Auditor, auditor_title
from assay.core.tool import Tool

Name = Annotated[str, Field(pattern=r"^[^\W\d]\w*$", max_length=200)]
_AuditorName = Annotated[str, Field(pattern=f"^(pooled:\\d+:)*{AUDITOR_NAME}$", max_length=200)]


class ToolInfo(Data):
    """Describes a tool.

    Attributes:
        name, version, digest, doc, drivable: as of `core.tool.Tool`.
        needs: access flags.
        parameters: names of its arguments.
        plugin: where it is from; None for Assay's own.
    """

    name: Name
    version: int
    digest: str
    doc: str
    drivable: bool
    needs: tuple[str, ...]
    parameters: tuple[str, ...]
    plugin: PluginSource | None = None


class AuditorInfo(Data):
    """Describes an auditor.

    Attributes:
        name, version, digest, llm, doc, data, games, takes_model: as of `core.auditor.Auditor`.
        plugin: where it is from; None for Assay's own.
    """

    name: _AuditorName
    version: int
    digest: str
    llm: bool
    doc: str
    data: tuple[Path, ...] = ()
    games: tuple[Game, ...] = INVESTIGATES
    takes_model: bool = False
    plugin: PluginSource | None = None

    @property
    def title(self) -> str:
        """Returns who earned a number, as it is printed beside it."""
        return auditor_title(self.name, self.version, self.llm)


class Asked(Data):
    """Asks for the description of a plug-in file, or of one thing that an installed package offers.

    Attributes:
        plugin: the file.
        kind, name: of the thing, where no file is given.
    """

    plugin: Path | None = None
    kind: Kind = "tool"
    name: str = ""


class Description(Data):
    """Answers what was asked.

    Attributes:
        tools, auditors: what is there.
        problem: why it cannot be loaded, "" if it can.
        mistaken: the problem is a file that it names, and not the plug-in (`InvalidInput`, not `PluginError`).
    """

    tools: tuple[ToolInfo, ...] = ()
    auditors: tuple[AuditorInfo, ...] = ()
    problem: str = ""
    mistaken: bool = False


def tool_info(tool: Tool) -> ToolInfo:
    """Describes a loaded tool."""
    return ToolInfo(
        name=tool.name,
        version=tool.version,
        digest=tool.digest,
        doc=tool.doc,
        drivable=tool.drivable,
        needs=tuple(sorted(map(str, tool.needs))),
        parameters=tuple(parameter.name for parameter in tool.parameters),
    )


def auditor_info(auditor: Auditor) -> AuditorInfo:
    """Describes a loaded auditor."""
    return AuditorInfo(
        name=auditor.name,
        version=auditor.version,
        digest=auditor.digest,
        llm=auditor.llm,
        doc=auditor.doc,
        data=auditor.data,
        games=auditor.games,
        takes_model=auditor.takes_model,
    )
