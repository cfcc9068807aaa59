"""What a tool or an auditor says of itself, as plain data: all that the desk ever holds of code from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from assay._util.yaml_models import Data
from assay.audits.plugin_source import PluginSource
from assay.audits.registry import Kind
from assay.core.access import Access
from assay.core.answer import Game
from assay.core.auditor import AUDITOR_NAME, INVESTIGATES, Auditor, auditor_title
from assay.core.tool import Tool, ToolFamily, Weight

Name = Annotated[str, Field(pattern=r"^[^\W\d]\w*$", max_length=200)]
_AuditorName = Annotated[str, Field(pattern=f"^(pooled:\\d+:)*{AUDITOR_NAME}$", max_length=200)]


class _Described(Data):
    """What tools and auditors have in common.

    Attributes:
        name, version, digest, doc: as it says itself.
        plugin: where it is from; None for Assay's own.
    """

    name: Name
    version: int
    digest: str
    doc: str
    plugin: PluginSource | None = None


class ToolInfo(_Described):
    """Describes a tool.

    Attributes:
        drivable: as of `core.tool.Tool`.
        needs, wants: access flags.
        parameters: names of its arguments.
        weight, source, families: as of `core.tool.Tool`.
    """

    drivable: bool
    needs: tuple[str, ...]
    wants: tuple[str, ...] = ()
    weight: Weight = "light"
    source: str = ""
    families: tuple[ToolFamily, ...] = ()
    parameters: tuple[str, ...]

    @property
    def helped(self) -> bool:
        """Returns whether it asks an auxiliary model where the audit has one."""
        return Access.AUX_MODEL in (*self.needs, *self.wants)


class AuditorInfo(_Described):
    """Describes an auditor.

    Attributes:
        llm, data, games, takes_model, missing: as of `core.auditor.Auditor`.
    """

    name: _AuditorName
    llm: bool
    data: tuple[Path, ...] = ()
    games: tuple[Game, ...] = INVESTIGATES
    takes_model: bool = False
    missing: str = ""

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
        wants=tuple(sorted(map(str, tool.wants))),
        parameters=tuple(parameter.name for parameter in tool.parameters),
        weight=tool.weight,
        source=tool.source,
        families=tuple(sorted(tool.families)),
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
        missing=auditor.missing,
    )
