"""A headless Chromium, driven over its own protocol through a pair of pipes: no driver, no port, no package.

https://chromedevtools.github.io/devtools-protocol; with --remote-debugging-pipe the browser reads commands from file descriptor 3 and
writes answers and events to 4, JSON documents with a zero byte after each.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from patience import PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT_S = 900.0
# Becomes the browser, with the pipes where it looks for them.
ON_3_AND_4 = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])  # out of the way of 3 and 4
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """Where a Chromium is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab of it. A context manager."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            "--no-first-run",
        ]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                ON_3_AND_4,
                str(to_browser),
                str(from_browser),
                program,
                *flags,
                f"--user-data-dir={profile}",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._number, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Page.setLifecycleEventsEnabled", enabled=True)

    def open(self, page: Path | str, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Load a file or an address and wait until it has."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        loader = self.send("Page.navigate", url=page.as_uri() if isinstance(page, Path) else page)["loaderId"]
        while not any(_is_loaded(event, loader) for event in self.events):
            self._receive()

    def run(self, script: str) -> Any:
        """The value of an expression in the page. Raises AssertionError with what the page threw."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key, down and up."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            code = {"Enter": 13, "Escape": 27, "ArrowRight": 39, "Tab": 9, "Backspace": 8}.get(key) or ord(key.upper())
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def choose(self, selector: str, *files: Path) -> None:
        """Files for an input, as if a person had chosen them."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"no {selector} on the page"
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, selector: str, *paths: Path) -> None:
        """Files and folders onto an element, as from a file manager."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView()")
        box = self.run(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    def wait_for(self, script: str, timeout_s: float = PATIENCE_S) -> Any:
        """The value of an expression, once it has one. The page may change meanwhile; an error in it counts as no value."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
            value = answer["result"].get("value") if "exceptionDetails" not in answer else None
            if value or value == {}:  # which is all that comes of an element
                return value
            assert time.monotonic() < deadline, (script, self.run("document.body.innerText"))
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """Errors and warnings on the console, and what was thrown."""
        self.run("new Promise(done => setTimeout(done, 100))")  # what is still on its way
        found = []
        for event in self.events:
            parameters = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            if event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
            if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """What was loaded, but for what stands in the page itself."""
        urls = [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def screenshot(self, path: Path) -> None:
        """The whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command; returns its result. Raises AssertionError for an answer that is an error."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode("utf-8") + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer)
        return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        """The next answer or event; events are kept."""
        deadline = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            block = os.read(self._read, 1 << 16) if ready else b""
            assert block, "the browser ended, or said nothing for two minutes"
            self._rest += block
        document, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(document)
        if "method" in message:
            self.events.append(message)
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._write)
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


def _is_loaded(event: dict[str, Any], loader: str) -> bool:
    """Whether the page of this loader is complete. Page.loadEventFired does not say of which page: the last one's may come late."""
    parameters = event["params"]
    return event["method"] == "Page.lifecycleEvent" and (parameters["name"], parameters["loaderId"]) == ("load", loader)
