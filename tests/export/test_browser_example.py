"""The example in JavaScript, in a real browser: the same numbers as the runtime, and nothing is fetched from elsewhere.

onnxruntime-web (Microsoft, MIT) comes from the npm registry: `npm install onnxruntime-web` into a folder of one's own, and
WARMSTART_NODE_MODULES=FOLDER/node_modules.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from export_examples import Exporting

from browser import Browser
from drawn_shapes import draw_shape
from warmstart.runtime.predictor import open_exported

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
MODULES = Path(os.environ.get("WARMSTART_NODE_MODULES") or EXAMPLE / "node_modules")

if not (MODULES / "onnxruntime-web").is_dir():
    pytest.skip(
        "onnxruntime-web is not here: npm install it, and name node_modules in WARMSTART_NODE_MODULES", allow_module_level=True
    )


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing of what it serves."""

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """The address of the example with this model in it."""
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(MODULES)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def of(model: Path) -> str:
        shutil.copyfile(model, folder / "model.onnx")
        return f"http://127.0.0.1:{server.server_port}/"

    yield of
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("resize_inside", [True, False])
def test_the_page_says_what_the_runtime_says(
    exporting: Exporting, browser: Browser, site: Callable[[Path], str], tmp_path: Path, resize_inside: bool
) -> None:
    file = exporting("onnx", "fp32", resize_inside=resize_inside).file
    address = site(file)
    picture = tmp_path / "new.png"
    draw_shape("square", 99).save(picture)
    (expected,) = open_exported(file).predict([str(picture)])
    browser.open(address, width=800)
    browser.wait_for(
        "!document.querySelector('#file').disabled || !document.querySelector('#status').innerText.startsWith('Loading')"
    )
    assert browser.run("document.querySelector('#status').innerText") == "3 classes: circle, square, stripes"
    browser.choose("#file", picture)
    browser.wait_for("document.querySelector('#classes tr') || !/classes:/.test(document.querySelector('#status').innerText)")
    rows = browser.run(
        "[...document.querySelectorAll('#classes tr')].map(r => [r.cells[0].innerText, r.querySelector('meter').value])"
    )
    shown = dict(rows)
    # The picture's own pixels go in where the file resizes; a canvas resizes otherwise than Pillow does.
    assert shown == pytest.approx(expected.probabilities, abs=1e-3 if resize_inside else 0.1)
    assert sum(shown.values()) == pytest.approx(1, abs=1e-3)
    assert browser.complaints() == []
    assert {url for url in browser.requests() if url.startswith("http") and not url.startswith(address)} == set()
