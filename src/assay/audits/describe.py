"""The process that looks at a plug-in: `python -m assay.audits.describe`. It answers with plain data."""

from __future__ import annotations

from typing import Any

from assay._util.job_server import JobServer
from assay.audits.described import Asked, Description, auditor_info, tool_info
from assay.audits.plugin_file import load_plugin
from assay.audits.registry import get_auditor, get_tool
from assay.errors import AssayError, InvalidInput


def main() -> None:
    """Loads what is asked for and describes it, as the event `described`."""
    server = JobServer()

    async def answer(data: Any) -> None:
        server.tell("described", _described(Asked.model_validate(data)).model_dump(mode="json"))

    server.run(answer)


def _described(asked: Asked) -> Description:
    try:
        if asked.plugin is not None:
            plugin = load_plugin(asked.plugin)
            return Description(
                tools=tuple(map(tool_info, plugin.tools)), auditors=tuple(map(auditor_info, plugin.auditors))
            )
        if asked.kind == "tool":
            return Description(tools=(tool_info(get_tool(asked.name)),))
        return Description(auditors=(auditor_info(get_auditor(asked.name)),))
    except AssayError as error:
        return Description(problem=str(error), mistaken=isinstance(error, InvalidInput))
    except Exception as error:  # something in the place of a name or a version, which describing it ran into
        return Description(problem=f"{asked.plugin or asked.name}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
