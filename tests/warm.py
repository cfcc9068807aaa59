"""Starts the workers of sweeps from a process that has imported already what they import.

A worker's first seconds go to imports, and the tests start hundreds of workers. Here each is forked from a server: a
fresh process that has imported the worker's modules and done nothing else. The worker is a process of its own all the
same, with its own environment, folder and pipes. What a test changes in its own process does not reach it, as it would
not reach a worker that was started anew.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pytest

# Worker → what a job of it imports at once.
WORKERS = {
    "assay.audits.worker": ("inspect_ai", "inspect_ai.log", "assay.auditors.explorer.explore", "scipy.stats"),
    "assay.grading.worker": ("assay.engine.scripted", "assay.grading.hit"),
}


class ForkServer:
    """One server; the process that uses it starts it, and takes it along when it ends."""

    def __init__(self, worker: str, env: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="assay-warm-")
        self._address = str(Path(self._folder.name) / "socket")
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, worker, self._address],
            stdin=subprocess.PIPE,  # its end is what the server ends at
            stdout=subprocess.PIPE,
            env=env,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it listens

    def fork(self, cwd: Path, env: dict[str, str], standard: tuple[int, int, int]) -> tuple[int, socket.socket]:
        """Starts a worker on three open files; returns its id, and where its status will be told."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        asked = json.dumps({"cwd": str(cwd), "env": env}).encode()
        socket.send_fds(connection, [len(asked).to_bytes(8, "big")], list(standard))
        connection.sendall(asked)
        return int.from_bytes(_exactly(connection, 8), "big"), connection

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._folder.cleanup()


class Forked:
    """What of `subprocess.Popen` the desk uses."""

    def __init__(self, server: ForkServer, said: TextIO, cwd: Path, env: dict[str, str]) -> None:
        jobs, self_jobs = os.pipe()
        self_answers, answers = os.pipe()
        try:
            self.pid, self._connection = server.fork(cwd, env, (jobs, answers, said.fileno()))
        finally:
            os.close(jobs)
            os.close(answers)
        self.stdin = os.fdopen(self_jobs, "w", encoding="utf-8")
        self.stdout = os.fdopen(self_answers, encoding="utf-8")
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                told = _exactly(self._connection, 8)
            except TimeoutError:
                raise subprocess.TimeoutExpired("a worker", timeout or 0.0) from None
            self._connection.close()
            self.returncode = int.from_bytes(told, "big", signed=True)
        return self.returncode

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Warm:
    """Has workers forked, where one is started as the program starts it."""

    def __init__(self) -> None:
        self.used = True  # else they are started as the program starts them
        self._servers: dict[str, ForkServer] = {}
        self._env = dict(os.environ)  # now: a test may name other suites

    def take_over(self, patch: pytest.MonkeyPatch) -> None:
        """Puts itself in the place of what starts a worker."""
        from assay._util.environment import environment_of_worker
        from assay.studies.processes import WorkerProcess, worker_command

        start = WorkerProcess._start
        warm = {worker_command(module): module for module in WORKERS}

        def started(process: WorkerProcess) -> Any:
            module = warm.get(process.command)  # another command is a test's own
            if module is None or process._handed or not self.used or _of_python(os.environ) != _of_python(self._env):
                return start(process)
            if module not in self._servers:
                self._servers[module] = ForkServer(module, self._env)
            room = process._opened()
            with room.said.open("w", encoding="utf-8") as said:
                env = environment_of_worker(process.variables, process.asks)
                return Forked(self._servers[module], said, room.path, env)

        patch.setattr(WorkerProcess, "_start", started)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


def _of_python(env: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter reads when it starts, where its modules are among it."""
    return {name: value for name, value in env.items() if name.startswith("PYTHON")}


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise EOFError("the server of workers is gone")
        found += more
    return found


def _serve(worker: str, address: str) -> None:
    """Forks a worker for each connection, and tells there how it ended."""
    main: Callable[[], None] = importlib.import_module(worker).main
    for name in WORKERS[worker]:
        importlib.import_module(name)
    if worker == "assay.grading.worker":
        grading = importlib.import_module("assay.grading.jobs")
        grading.graders(grading.all_cases())  # it keeps what it read, by the files' times
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
    print("listening", flush=True)
    waiting: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listening, ended, 0):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if 0 in ready:
                return
            if ended in ready:
                os.read(ended, 1_000)
                _tell_of_ended(waiting)
            if listening in ready:
                connection, _ = listening.accept()
                started = _forked(connection)
                if started is None:
                    break
                waiting[started] = connection
    # From here on this is the worker. What was the server's is closed.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for connection in waiting.values():
        connection.close()
    listening.close()
    os.close(ended)
    os.close(ending)
    sys.argv = [importlib.import_module(worker).__file__ or worker]
    main()


def _tell_of_ended(waiting: dict[int, socket.socket]) -> None:
    while waiting:
        worker, status = os.waitpid(-1, os.WNOHANG)
        if worker == 0:
            return
        with waiting.pop(worker) as connection, contextlib.suppress(BrokenPipeError):  # nobody waits for it
            connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))


def _forked(connection: socket.socket) -> int | None:
    """Forks: returns the worker's id to the server, and None to the worker, on its files and in its folder."""
    length, standard, _, _ = socket.recv_fds(connection, 8, 3)
    asked = json.loads(_exactly(connection, int.from_bytes(length, "big")))
    worker = os.fork()
    if worker:
        for file in standard:
            os.close(file)
        connection.sendall(worker.to_bytes(8, "big"))
        return worker
    connection.close()
    os.setsid()
    for place, file in enumerate(standard):
        os.dup2(file, place)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    return None


if __name__ == "__main__":
    try:
        _serve(*sys.argv[1:])
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None
