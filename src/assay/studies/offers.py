"""What a design may name: tools and auditors as data, those of plug-ins described by processes of their own."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TypeVar

from assay._util.lazy import LazyMapping
from assay.auditors.pooled import pool_digest
from assay.audits.described import Asked, AuditorInfo, Description, ToolInfo, auditor_info, tool_info
from assay.audits.plugin_file import auditor_digest
from assay.audits.plugin_source import PluginSource, file_source, installed_source
from assay.audits.registry import auditors, entry_point, get_auditor, get_tool, refuse_taken, tools
from assay.core.auditor_name import pooled
from assay.errors import AssayError, InvalidInput, PluginError, UnknownId
from assay.studies.processes import WorkerProcess

LOADED_WITHIN = 60.0  # seconds; to import torch takes ten on a busy machine
_SHOWN = 400  # characters of what a plug-in said before its process ended

Info = TypeVar("Info", ToolInfo, AuditorInfo)


@dataclass(frozen=True, slots=True)
class Offers:
    """Holds all that a design may name. Installed things are described when they are asked for.

    Attributes:
        tools: by name.
        auditors: by name.
        files: the plug-in files, in the order in which they were given.
    """

    tools: Mapping[str, ToolInfo]
    auditors: Mapping[str, AuditorInfo]
    files: tuple[PluginSource, ...]

    def auditor(self, name: str) -> AuditorInfo:
        """Finds an auditor.

        Raises:
            UnknownId: nobody offers it.
            PluginError: its package cannot be loaded.
        """
        if several := pooled(name):
            inner = self.auditor(several.name)
            return inner.model_copy(update={"name": name, "digest": pool_digest(several.reports, inner.digest)})
        if name not in self.auditors:
            raise UnknownId("auditor", name, self.auditors)
        return self.auditors[name]


def find_offers(plugins: Iterable[Path]) -> Offers:
    """Gathers what is installed and what plug-in files define. No code from outside runs in this process.

    Raises:
        InvalidInput: no such file, or a folder with more in it than can be counted.
        PluginError: a file that cannot be loaded, that ends its process or does not come to an end, or that defines a
            name which is taken.
    """
    sources = {source.path: source for source in map(file_source, plugins)}
    of_files: dict[str, ToolInfo] = {}
    auditors_of_files: dict[str, AuditorInfo] = {}
    for source in sources.values():
        said = _described(Asked(plugin=source.path), str(source.path))
        # Names are looked at here, where a plug-in cannot change what is found.
        refuse_taken("tool", [*_names(of_files), *((tool.name, source) for tool in said.tools)])
        refuse_taken("auditor", [*_names(auditors_of_files), *((one.name, source) for one in said.auditors)])
        of_files |= {tool.name: _of_plugin(tool, source) for tool in said.tools}
        auditors_of_files |= {one.name: _of_plugin(one, source) for one in said.auditors}
    return Offers(
        LazyMapping({name: functools.partial(_installed_tool, name) for name in tools()}, of_files),
        LazyMapping({name: functools.partial(_installed_auditor, name) for name in auditors()}, auditors_of_files),
        tuple(sources.values()),
    )


def _names(known: Mapping[str, ToolInfo] | Mapping[str, AuditorInfo]) -> list[tuple[str, PluginSource]]:
    return [(name, info.plugin) for name, info in known.items() if info.plugin]


def _installed_tool(name: str) -> ToolInfo:
    """Describes an installed tool: our own here, other people's by a process of its own."""
    entry = entry_point("tool", name)
    if _ours(entry):
        return tool_info(get_tool(name))
    source = installed_source(entry)
    [tool] = _described(Asked(kind="tool", name=name), f"tool {name!r} ({entry.value})").tools
    return _of_plugin(tool, source).model_copy(update={"name": name})


def _installed_auditor(name: str) -> AuditorInfo:
    """Describes an installed auditor, as `_installed_tool`."""
    entry = entry_point("auditor", name)
    if _ours(entry):
        return auditor_info(get_auditor(name))
    source = installed_source(entry)
    [auditor] = _described(Asked(kind="auditor", name=name), f"auditor {name!r} ({entry.value})").auditors
    return _of_plugin(auditor, source).model_copy(update={"name": name})


def _ours(entry: EntryPoint) -> bool:
    return entry.module.partition(".")[0] == "assay"


def _of_plugin(info: Info, source: PluginSource) -> Info:
    """Says where a thing is from. Its digest is that of the files: what it says of itself is not believed."""
    digest = source.digest if isinstance(info, ToolInfo) else auditor_digest(source, info.data)
    return info.model_copy(update={"plugin": source, "digest": digest})


# The process ---------------------------------------------------------------------------------------------------------


class DescribingProcess(WorkerProcess):
    """Looks at one plug-in."""

    kind = "describing"
    command = (sys.executable, "-m", "assay.audits.describe")
    asks: Collection[str] | None = ()

    def kill(self) -> None:
        """Ends it and whatever it started, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _described(asked: Asked, what: str) -> Description:
    """Has a plug-in described by a process of its own, which ends with the answer.

    Args:
        asked: what to describe.
        what: how an error calls it.
    """
    late = threading.Event()
    with tempfile.TemporaryDirectory(prefix="assay-describe-", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "describe-process.log"
        with DescribingProcess(log, lambda _: None) as process, _killed_after(LOADED_WITHIN, process, late):
            try:
                [data] = process.run(asked)
                said = Description.model_validate(data)
            except (AssayError, LookupError, TypeError, ValueError):
                if late.is_set():
                    why = f"had not been loaded after {LOADED_WITHIN:.0f} s"
                else:
                    why = "ended the process that loads it, or spoke in its place" + _last_words(log)
                raise PluginError(f"{what}: {why}. A plug-in may define things when it is loaded, no more.") from None
            finally:
                process.kill()  # also what goes on in a thread of its own
    if said.problem:
        raise (InvalidInput if said.mistaken else PluginError)(said.problem)
    return said


@contextlib.contextmanager
def _killed_after(seconds: float, process: DescribingProcess, late: threading.Event) -> Iterator[None]:
    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _last_words(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
    return f" (it said: {said[-_SHOWN:]})" if said else ""
