"""The process that serves audits to agents: `python -m assay.audits.serve.worker`. It holds no ledger and no answer."""

from __future__ import annotations

from typing import Any

from assay._util.job_server import JobServer
from assay._util.paths import home
from assay.audits.play import assert_blind
from assay.audits.prepared import PreparedStore
from assay.audits.registry import collect_tools
from assay.audits.serve.desk_line import DeskLine
from assay.audits.serve.lines import serve_lines
from assay.audits.serve.messages import ServeOrder
from assay.audits.serve.protocol import listen, make_server, serve_http, serve_pipe
from assay.audits.serve.service import Service
from assay.engine.cache import audit_replies
from assay.engine.targets import EnginePool


def main() -> None:
    """Serves until the client, or the process that started this one, is gone."""
    jobs = JobServer()
    with EnginePool(lambda text: jobs.tell("say", text), audit_replies()) as engines:

        async def serve(data: Any) -> None:
            await _serve(ServeOrder.model_validate(data), DeskLine(jobs), engines)

        jobs.run(serve)


async def _serve(order: ServeOrder, desk: DeskLine, engines: EnginePool) -> None:
    assert_blind()
    found = collect_tools([plugin.path for plugin in order.plugins if plugin.path])
    for plugin in order.plugins:
        plugin.require_unchanged()
    tools = {name: found[name] for name in order.tools}
    service = Service(tools, desk, engines, PreparedStore(home() / "prepared"))
    try:
        if order.pipe is not None and order.lines:
            await serve_lines(service, order.pipe)
        elif order.pipe is not None:
            await serve_pipe(make_server(order, tools, service), order.pipe)
        else:
            server = make_server(order, tools, service)
            with listen(order) as listener:
                await desk.listening(listener.getsockname()[1])
                await serve_http(server, order, listener)
    finally:
        await service.close()
    assert_blind()  # again: a plug-in may have imported what was not there before


if __name__ == "__main__":
    main()
