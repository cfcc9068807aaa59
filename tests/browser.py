"""A real Chromium without a window and without a network, spoken to by DevTools' pipe; no driver is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(__file__).parents[1] / ".browser" / "node_modules" / "axe-core" / "axe.min.js"  # `make axe` installs it
PATIENCE = 180.0  # seconds; machines are shared


class Tab:
    """One page, and all that it complained of or asked the network for."""

    def __init__(self, pipe: Pipe, session: str) -> None:
        self._pipe, self._session = pipe, session
        self.problems: list[str] = []
        self.fetched: list[str] = []
        pipe.listeners[session] = self._heard
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.call("Network.emulateNetworkConditions", **offline)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._pipe.call(method, self._session, **parameters)

    def look(self, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Sets the size of the window, and whether the system is dark."""
        phone = width < 640
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address: str) -> float:
        """Opens an address; returns the seconds until its charts were drawn."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && document.documentElement?.dataset.drawn")
        return float(self.evaluate("performance.getEntriesByName('drawn')[0].startTime")) / 1000

    def wait(self, condition: str) -> None:
        """Waits until an expression holds."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < until, f"never: {condition}; {self.problems}"
            time.sleep(0.2)  # asking oftener would take the processor from the page that is waited for

    def evaluate(self, expression: str) -> Any:
        """Evaluates an expression in the page, and awaits it if it is a promise."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, *keys: str) -> None:
        """Presses keys one after the other, by their names."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40, "ArrowLeft": 37, "ArrowUp": 38}
        for key in keys:
            text = {"text": "\r"} if key == "Enter" else {}
            told = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            self.call("Input.dispatchKeyEvent", type="keyDown", **told, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Takes a picture of what is seen, or of the whole page."""
        told = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **({} if not whole else self._all()))
        path.write_bytes(base64.b64decode(told["data"]))

    def _all(self) -> dict[str, Any]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _heard(self, method: str, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(one.get("value", one)) for one in told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.fetched.append(told["request"]["url"])


class Pipe:
    """The pipe of one Chromium."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._number, self._left = 0, b""
        self.listeners: dict[str, Any] = {}

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Calls a method, and hears of events until it answers."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            told = self._next()
            if told.get("id") == number:
                assert "error" not in told, (method, told["error"])
                result: dict[str, Any] = told["result"]
                return result
            if listener := self.listeners.get(told.get("sessionId", "")):
                listener(told["method"], told["params"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            assert select.select([self._read], [], [], PATIENCE)[0], "Chromium says nothing"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium ended"
            self._left += data
        line, self._left = self._left.split(b"\0", 1)
        told: dict[str, Any] = json.loads(line)
        return told


class Browser:
    """A running Chromium."""

    def __init__(self, pipe: Pipe, downloads: Path) -> None:
        self._pipe, self.downloads = pipe, downloads
        behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
        pipe.call("Browser.setDownloadBehavior", **behaviour)

    def tab(self) -> Tab:
        """Opens an empty tab."""
        target = self._pipe.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._pipe.call("Target.attachToTarget", targetId=target, flatten=True)
        return Tab(self._pipe, attached["sessionId"])


@contextmanager
def browser() -> Iterator[Browser]:
    """Starts Chromium with a profile of its own; it ends with the block."""
    assert CHROMIUM
    to_child, our_write = os.pipe()
    our_read, from_child = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = [
            *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}/profile", "about:blank"),
        ]
        # Chromium takes commands from the file with number 3, and answers to number 4.
        numbered = (
            f"import os, sys; os.dup2({to_child}, 3); os.dup2({from_child}, 4); os.execv(sys.argv[1], sys.argv[1:])"
        )
        running = subprocess.Popen(
            [sys.executable, "-S", "-c", numbered, CHROMIUM, *options],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        try:
            downloads = Path(folder) / "downloads"
            downloads.mkdir()
            yield Browser(Pipe(our_read, our_write), downloads)
        finally:
            running.terminate()
            running.wait(20)
            os.close(our_read)
            os.close(our_write)
