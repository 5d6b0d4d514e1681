"""The web page as people use it: a real server, a real browser, from a zip to an export; and whether everybody can use it (axe-core).

axe-core (Deque Systems, MPL-2.0) comes from the npm registry and is no part of the project: `npm install axe-core` into a folder of
one's own, and WARMSTART_NODE_MODULES=FOLDER/node_modules.
"""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from browser import Browser
from drawn_shapes import draw_folder, draw_shape
from patience import PATIENCE_S

if sys.platform == "win32":
    pytest.skip("signals work differently there", allow_module_level=True)

AXE = Path(os.environ.get("WARMSTART_NODE_MODULES", "")) / "axe-core" / "axe.min.js"
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def address(new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server that is empty at first; the tests of this file follow one another on it."""
    code = "from warmstart.cli.main import run; run()"
    home = tmp_path_factory.mktemp("home")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--home", str(home), "--port", "0", "--timeout", str(PATIENCE_S)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "WARMSTART_CACHE": str(new_cache())},
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://[^/\s]+", line)
    assert found, line + process.stderr.read()
    yield found[0]
    process.terminate()
    process.wait(PATIENCE_S)
    process.stderr.close()


@pytest.fixture(scope="module")
def walked(browser: Browser, address: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Everything that a person does, once. Page → its address, as it is afterwards."""
    folder = tmp_path_factory.mktemp("files")
    pages = {"home": f"{address}/"}
    seen: list[str] = []

    def settle() -> None:
        """What the page did since it was opened is without fault."""
        assert browser.complaints() == []
        seen.extend(browser.requests())
        browser.events.clear()

    with zipfile.ZipFile(folder / "shapes.zip", "w") as archive:
        for path in sorted(draw_folder(folder / "shapes").rglob("*.*")):
            archive.write(path, path.relative_to(folder))
        archive.write(folder / "shapes" / "circle" / "0.png", "shapes/circle/again.png")
    for name, label, number in (
        ("new.png", "square", 99),
        ("a.png", "circle", 300),
        ("b.png", "circle", 301),
        ("c.png", "stripes", 302),
    ):
        draw_shape(label, number).save(folder / name)

    # A zip becomes a data set, and what is in it is looked at without being asked.
    browser.open(pages["home"], width=1280)
    browser.choose("#upload input[accept*=zip]", folder / "shapes.zip")
    pages["dataset"] = browser.wait_for("location.pathname.startsWith('/datasets/') && location.href")
    browser.wait_for("document.querySelector('#doctor .job, #doctor [data-again]')")
    assert browser.run("[...document.querySelectorAll('.classes h3')].map(h => h.innerText.split(/\\s+/)[0])") == [
        "circle",
        "square",
        "stripes",
    ]
    browser.wait_for("document.querySelector('#doctor [data-again]')")
    advice = browser.wait_for(
        "document.querySelector('#advice .job')?.dataset.job"
    )  # has begun as well; it takes half a minute
    for _ in range(2):  # the second time at once
        httpx.post(f"{address}/api/runs/{advice}/cancel")
    browser.wait_for("document.querySelector('#advice [data-ask]')")
    # The same picture twice: one is left out, taken back, left out again.
    copies = "document.querySelector('#copy-1')"
    assert browser.run(f"{copies}.querySelectorAll('img').length") == 2
    for press, after in (("drop", 1), ("keep", 0), ("drop", 1)):
        browser.run(f"[...{copies}.querySelectorAll('[data-action={press}]')].at(-1).focus(); document.activeElement.click()")
        browser.wait_for(f"{copies}.querySelectorAll('.state').length === {after} && !{copies}.querySelector('[aria-busy]')")
    assert browser.run("document.activeElement.id") == "copy-1"  # who works by keyboard goes on from there
    assert browser.run("document.querySelector('#decided').innerText") == "As decided above, 1 picture is left out."
    stored = f"{address}/api{urlsplit(pages['dataset']).path}"
    assert [fix["action"] for fix in httpx.get(f"{stored}/fixes").json()["fixes"]] == ["drop"]
    settle()

    # Train, and watch it until the model is there.
    browser.run("document.querySelector('input[value=quick]').click(); document.querySelector('#train-form .main').click()")
    pages["run"] = browser.wait_for("location.pathname.startsWith('/runs/') && location.href")
    browser.wait_for("document.querySelector('#result .headline')")
    assert browser.run("document.querySelector('#result .state').innerText") == "done"
    assert "right" in browser.run("document.querySelector('.headline').innerText")
    record = httpx.get(f"{address}/api{urlsplit(pages['run']).path}/record").json()
    assert record["data"]["images"] == 24  # without the copy
    settle()
    report = browser.run("document.querySelector('a[href$=report]').href")
    browser.open(report, width=1280)
    assert browser.run("document.querySelector('h1') !== null")
    settle()

    # Predict, see why, and correct.
    browser.open(pages["run"], width=1280)
    browser.run("document.querySelector('#result a.main').click()")
    pages["model"] = browser.wait_for(
        "location.pathname.startsWith('/models/') && document.readyState === 'complete' && location.href"
    )
    browser.choose("#pictures input", folder / "new.png")
    browser.wait_for("document.querySelector('.answer')")
    shares = browser.run("[...document.querySelectorAll('.answer meter')].map(m => m.value)")
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    explained = "document.querySelector('.why .heat img')?.complete && document.querySelectorAll('.near img').length === 4"
    browser.run("document.querySelector('.answer .explain').click()")
    browser.wait_for(f"({explained}) || !document.querySelector('#problem').hidden")
    assert browser.run(explained), browser.run("document.querySelector('#problem').innerText")
    browser.run(
        "document.querySelector('.correct select').value = 'stripes'; document.querySelector('.correct button').click()"
    )
    browser.wait_for("document.querySelector('.answer .state')?.innerText.includes('kept as stripes')")
    settle()

    # Label a pile with keys alone: yes, the first class instead, skip; undo the skip and say yes.
    browser.open(pages["dataset"], width=1280)
    assert browser.run("document.querySelectorAll('#added li').length") == 1
    browser.choose("#unlabelled input[multiple]:not([webkitdirectory])", folder / "a.png", folder / "b.png", folder / "c.png")
    pages["pile"] = browser.wait_for("location.pathname.startsWith('/piles/') && location.href")
    browser.wait_for("document.querySelector('#desk') && !document.querySelector('#desk').hidden")
    for key, done in (("Enter", 1), ("1", 2), ("s", 2), ("Backspace", 2)):
        browser.press(key)
        browser.wait_for(f"document.querySelector('#amount').innerText === '{done} of 3 labelled'")
    browser.press("Backspace")
    browser.wait_for("document.querySelector('#amount').innerText === '1 of 3 labelled'")
    browser.press("1")
    browser.wait_for("document.querySelector('#amount').innerText === '2 of 3 labelled'")
    settle()
    labelled = httpx.get(pages["pile"].replace("/piles/", "/api/piles/")).json()
    assert labelled["labelled"] == 2
    assert sorted(row["label"] or "" for row in labelled["page"])[:2] == ["", "circle"]
    browser.run("document.querySelector('#use button[value=add]').click()")
    browser.wait_for("document.querySelectorAll('#added li').length === 3")
    settle()

    # Take it away.
    browser.open(pages["model"], width=1280)
    browser.run("document.querySelector('.ask-export').click()")
    download = browser.wait_for("document.querySelector('#export a[download]')?.href")
    settle()
    got = httpx.get(download)
    (folder / "export.zip").write_bytes(got.content)
    with zipfile.ZipFile(folder / "export.zip") as archive:
        assert {"model.onnx", "parity.json"} <= set(archive.namelist())

    # A folder instead of a zip; a training with epochs, watched and stopped.
    browser.open(pages["home"], width=1280)
    browser.drop("#upload", folder / "shapes")
    dropped = browser.wait_for("location.pathname.startsWith('/datasets/') && location.pathname")
    plan = {"cut": "stage7", "image_size_px": 64, "batch_size": 4, "training": {"epochs": 500}}
    asked = httpx.post(f"{address}/api/runs", json={"dataset": dropped.rpartition("/")[2], "plan": plan})
    assert asked.status_code == 202, asked.text
    pages["stopped"] = f"{address}/runs/{asked.json()['id']}"
    browser.open(pages["stopped"], width=1280)
    browser.wait_for("document.querySelectorAll('#accuracy path').length && document.querySelectorAll('#epochs tr').length > 2")
    assert browser.run("document.querySelector('#cancel').innerText") == "Stop, and keep the best so far"
    browser.run("document.querySelector('#cancel').click()")
    browser.wait_for("document.querySelector('#result .state').innerText === 'cancelled'")
    assert browser.run("document.querySelectorAll('#epochs tr').length") < 500
    assert browser.run("document.querySelector('.headline') !== null")  # the best of its epochs, tested
    settle()

    # What is left of the pile, and then all of it trained on.
    browser.open(pages["pile"], width=1280)
    browser.wait_for("document.querySelector('#desk') && !document.querySelector('#desk').hidden")
    browser.press("Enter")
    browser.wait_for("!document.querySelector('#over').hidden && !document.querySelector('#use button[value=train]').disabled")
    browser.run(
        "document.querySelector('#use input[value=quick]').click(); document.querySelector('#use button[value=train]').click()"
    )
    again = browser.wait_for("location.pathname.startsWith('/runs/') && location.pathname")
    browser.wait_for("document.querySelector('#result .headline')")
    assert (
        httpx.get(f"{address}/api{again}/record").json()["data"]["images"] == 24 + 1 + 2 + 1
    )  # corrected, confirmed, confirmed
    settle()

    elsewhere = {url for url in seen if urlsplit(url).scheme in ("http", "https") and not url.startswith(f"{address}/")}
    assert elsewhere == set()
    return pages


def test_a_person_uploads_trains_reads_predicts_corrects_labels_and_exports(walked: dict[str, str]) -> None:
    assert set(walked) == {"home", "dataset", "run", "model", "pile", "stopped"}


@pytest.mark.parametrize("name", ["home", "dataset", "run", "model", "pile", "stopped"])
def test_no_page_scrolls_sideways_or_complains(walked: dict[str, str], browser: Browser, name: str) -> None:
    for width in WIDTHS:
        browser.open(walked[name], width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.complaints() == []


@pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not here: npm install axe-core, and name node_modules in WARMSTART_NODE_MODULES"
)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_keeps_anybody_out(walked: dict[str, str], browser: Browser, dark: bool) -> None:
    script = AXE.read_text("utf-8")
    found = []
    for name, url in walked.items():
        for width in WIDTHS:
            browser.open(url, width=width, dark=dark)
            browser.wait_for("document.readyState === 'complete'")
            browser.run(f"{script}; 0")
            broken = browser.run(
                "axe.run().then(r => r.violations.map(v => ({id: v.id, impact: v.impact, where: v.nodes.map(n => n.target.join(' '))})))"
            )
            found += [(name, width, row["id"], row["where"]) for row in broken if row["impact"] in ("serious", "critical")]
    assert found == []


def test_what_is_not_there_is_told_as_a_page(walked: dict[str, str], browser: Browser, address: str) -> None:
    answer = httpx.get(f"{address}/datasets/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no data set &#39;nothing&#39;" in answer.text
