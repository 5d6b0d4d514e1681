"""Explaining a prediction, in a process of its own: it needs PyTorch, which the server itself does without, and it can be ended.

`python -m warmstart.serve.explainer`: a line of JSON on stdin → a line of JSON on stdout, until stdin ends, which is when its server does.
"""

import base64
import importlib.util
import io
import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from warmstart.errors import PictureError, WarmstartError
from warmstart.serve.errors import ApiError

IDLE_S = 300.0
WAITING = 4
SHOWN_PX = 640


class Explainer:
    """The server's side. One explanation at a time, a few may wait; the process is started when first needed and ended when idle."""

    def __init__(self, limit_s: float, turn_s: float) -> None:
        """``limit_s``: for an explanation; ``turn_s``: until it begins."""
        self._limit_s, self._turn_s = limit_s, turn_s
        self._turn = threading.Lock()
        self._waiting = threading.Semaphore(WAITING)
        self._process: subprocess.Popen[str] | None = None
        self._used = time.monotonic()
        self._idle: threading.Timer | None = None

    def explain(self, model: str, picture: Path, *, class_name: str | None, method: str, neighbours: int) -> dict[str, Any]:
        """See `answer`. Blocks. Raises ApiError: 501 without PyTorch, 503 where too many wait or it takes too long; or WarmstartError."""
        if importlib.util.find_spec("torch") is None:
            raise ApiError(
                501,
                "no-torch",
                found="a server without PyTorch",
                expected="one with it, to explain predictions",
                fix="pip install warmstart on the server instead of warmstart[runtime]",
            )
        if not self._waiting.acquire(blocking=False):
            raise ApiError(
                503, "overloaded", found=f"{WAITING} explanations are waiting", fix="ask again later", retry_after_s=10
            )
        try:
            if not self._turn.acquire(timeout=self._turn_s):
                raise ApiError(
                    503,
                    "overloaded",
                    found=f"other explanations have taken longer than {self._turn_s:g} s",
                    fix="ask again later",
                    retry_after_s=10,
                )
            try:
                request = {
                    "model": model,
                    "picture": str(picture),
                    "class_name": class_name,
                    "method": method,
                    "neighbours": neighbours,
                }
                return self._ask(request)
            finally:
                self._turn.release()
        finally:
            self._waiting.release()

    def close(self) -> None:
        """End the process."""
        if self._idle:
            self._idle.cancel()
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._idle:
            self._idle.cancel()
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "warmstart.serve.explainer"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(self._limit_s, process.kill)
        limit.start()
        begin = time.monotonic()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            limit.cancel()
        self._idle = threading.Timer(IDLE_S, self.close)
        self._idle.daemon = True
        self._idle.start()
        if not line:
            took = time.monotonic() - begin
            self.close()
            raise ApiError(
                503,
                "explain",
                found=f"no explanation after {took:.0f} s",
                expected=f"one within {self._limit_s:g} s",
                fix="ask again, or with method=grad-cam, which is faster",
                retry_after_s=10,
            )
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise ApiError(422, found["error"]["kind"], found=found["error"]["message"])
        return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The prediction, the heat-map over the picture as a PNG, and the nearest training pictures as thumbnails; data: URIs."""
    from PIL import Image

    from warmstart.report.overlay import overlay
    from warmstart.report.thumbnails import thumbnail
    from warmstart.tasks.classify.explain.explanation import ExplainSettings, explain

    settings = ExplainSettings(class_name=request["class_name"], method=request["method"], neighbours=request["neighbours"])
    found = explain(request["model"], request["picture"], settings)
    heat = Image.fromarray(overlay(found.picture, found.heat_map, found.window))
    picture = Image.fromarray(found.picture)
    for image in (heat, picture):
        image.thumbnail((SHOWN_PX, SHOWN_PX))
    prediction = found.prediction.to_dict()
    prediction.pop("path")
    return {
        "class": found.class_name,
        "prediction": prediction,
        "method": found.heat.method,
        "layer": found.layer,
        "quantity": found.quantity,
        "picture": _uri(picture, "JPEG"),
        "heat_map": _uri(heat, "PNG"),
        "neighbours": [{**asdict(n), "path": Path(n.path).name, "thumbnail": thumbnail(n.path)} for n in found.neighbours],
        "notes": list(found.notes),
        "seconds": found.seconds,
    }


def _uri(image: Any, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def main() -> None:
    """Answer lines until there are none."""
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is not an answer
    for line in sys.stdin:
        try:
            document = answer(json.loads(line))
        except WarmstartError as reason:
            kind = reason.kind if isinstance(reason, PictureError) else "explain"
            document = {"error": {"kind": kind, "message": str(reason)}}
        out.write(json.dumps(document) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
