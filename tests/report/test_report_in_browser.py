"""The report in a real browser: nothing on the console, nothing requested, cells that open, no sideways scrolling."""

import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from browser import Browser
from drawn_shapes import draw_folder
from warmstart.data.listing import read_listing
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.run_folder import new_run_folder
from warmstart.session.settings import TrainSettings
from warmstart.workflows.report import report
from warmstart.workflows.train import train


@pytest.fixture(scope="module")
def shapes_report(warm_copy: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model that makes mistakes: half of the circles are called squares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(warm_copy()))
        folder = tmp_path_factory.mktemp("mixed") / "shapes"
        draw_folder(folder, per_class=24)
        for path in (folder / "circle").iterdir():
            if int(path.stem) % 4 < 2:  # both of PNG and of JPEG, or that could be told
                shutil.move(path, folder / "square" / f"from-{path.name}")
        return (
            train(str(folder), Plan(image_size_px=64), TrainSettings(runs=tmp_path_factory.mktemp("runs"))).folder
            / "report.html"
        )


@pytest.fixture(scope="module")
def clothing_report(shared_data: Path, warm_copy: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tenth of the photographs, with their own splits and classes: every page has them all, only fewer of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(warm_copy()))
        plan = Plan(image_size_px=64, taps="pooled")  # small and with one set of taps, so that it takes seconds
        return (
            train(every_tenth(read_listing(str(shared_data))), plan, TrainSettings(runs=tmp_path_factory.mktemp("runs"))).folder
            / "report.html"
        )


def every_tenth(listing: Listing) -> Listing:
    return replace(listing, examples=listing.examples[::10])


@pytest.fixture(scope="module")
def demo_report(warm_copy: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from warmstart.tasks.classify.demo import solar_cells

    pytest.importorskip("elpv_dataset", reason="the demo's pictures are not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(warm_copy()))
        listing = solar_cells()
        plan = Plan(image_size_px=64, resize="squash", taps="pooled", positive="defective", fractions=(0.75, 0.0, 0.25))
        runs = tmp_path_factory.mktemp("runs")
        folder = new_run_folder(runs, "demo")
        return train(every_tenth(listing), plan, TrainSettings(runs=runs), folder=folder).folder / "report.html"


PAGES = ["shapes_report", "clothing_report", "demo_report"]


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, browser: Browser) -> Path:
    path = request.getfixturevalue(request.param)
    assert isinstance(path, Path)
    return path


@pytest.mark.parametrize("width", [390, 1280])
def test_it_says_nothing_on_the_console_asks_for_nothing_and_does_not_scroll_sideways(
    page: Path, browser: Browser, width: int
) -> None:
    browser.open(page, width=width)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("getComputedStyle(document.body).fontSize") == "16px"
    # Nothing sticks out of the page but what has a scrolling box of its own.
    outside = browser.run(
        """[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, .skip, .hidden, svg")
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className)"""
    )
    assert outside == []


def test_a_cell_opens_its_pictures_by_mouse_and_by_keyboard_and_gives_the_focus_back(page: Path, browser: Browser) -> None:
    browser.open(page, width=1280)
    wrong = "document.querySelector('td.wrong button:enabled')"
    count = int(browser.run(f"{wrong}.textContent"))
    assert browser.run("document.getElementById('cell').hidden")
    browser.run(f"{wrong}.click()")
    assert browser.run("document.getElementById('cell').checkVisibility()")
    shown = browser.run("[...document.querySelectorAll('#cell img')].map(i => [i.alt, i.complete && i.naturalWidth])")
    assert len(shown) == min(count, 24)
    assert all(alt and width > 0 for alt, width in shown)
    assert browser.run(f"{wrong}.getAttribute('aria-expanded')") == "true"
    browser.press("Escape")
    assert browser.run("document.getElementById('cell').hidden")
    assert browser.run(f"document.activeElement === {wrong}")
    browser.press("Enter")  # on the cell that has the focus
    assert not browser.run("document.getElementById('cell').hidden")
    assert browser.complaints() == []


def test_the_map_tells_the_picture_that_is_pointed_at_and_the_arrow_keys_walk(page: Path, browser: Browser) -> None:
    browser.open(page, width=390)
    browser.run("document.querySelectorAll('.map .mark')[3].dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    first = browser.run("document.querySelector('#map-told img').alt")
    assert first
    browser.run("document.getElementById('map-frame').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.querySelector('#map-told img').alt") != first
    assert browser.run("document.querySelectorAll('.map .mark.chosen').length") == 1
    browser.run("document.querySelector('#map-legend button').click()")
    assert (
        0
        < browser.run("document.querySelectorAll('.map .mark.away').length")
        < browser.run("document.querySelectorAll('.map .mark').length")
    )


def test_heat_maps_and_findings_are_shown_and_large_enough_to_be_judged_by(page: Path, browser: Browser) -> None:
    for width in (390, 1280):
        browser.open(page, width=width)
        maps = browser.run(
            "[...document.querySelectorAll('.look img')].map(i => [i.complete && i.naturalWidth, i.clientWidth])"
        )
        assert len(maps) >= 2  # on a busy machine the time lasts for one picture
        assert all(loaded and shown >= 80 for loaded, shown in maps)
        found = browser.run(
            "[...document.querySelectorAll('#data figure[data-picture] img')].map(i => i.complete && i.naturalWidth)"
        )
        assert found
        assert all(found)


def test_what_can_be_seen_can_also_be_read_aloud(page: Path, browser: Browser) -> None:
    browser.open(page, width=1280)
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("[...document.querySelectorAll('img')].every(i => i.alt)")
    assert browser.run(
        "[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label') || s.getAttribute('aria-hidden'))"
    )
    assert browser.run(
        "[...document.querySelectorAll('button')].every(b => b.textContent.trim() || b.getAttribute('aria-label'))"
    )
    assert browser.run("[...document.querySelectorAll('th')].every(h => h.scope)")
    levels = browser.run(
        "[...document.querySelectorAll('h1, h2, h3')].filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


CONTRAST = """(() => {
  const channel = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const paper = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const colour = (text) => {
    paper.clearRect(0, 0, 1, 1); paper.fillStyle = text; paper.fillRect(0, 0, 1, 1);
    return paper.getImageData(0, 0, 1, 1).data;
  };
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const ground = (e) => {
    for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("svg") && e.tagName !== "text") continue;
    const words = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!words || !e.checkVisibility() || e.disabled || e.closest(".none, script, style, noscript")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(colour(e.tagName === "text" ? style.fill : style.color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([e.tagName, e.className.baseVal ?? e.className, e.textContent.slice(0, 30), ratio]);
  }
  return poor;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_the_contrast_that_wcag_asks_for(shapes_report: Path, browser: Browser, dark: bool) -> None:
    browser.open(shapes_report, width=1280, dark=dark)
    dim = browser.run("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dim == dark
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run(CONTRAST) == []


def test_a_class_named_like_a_script_runs_nothing(browser: Browser, warm_cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "<b>data"
    name = "<script>window.bad=1<∕script>"  # a slash proper cannot stand in a folder's name
    draw_folder(tmp_path / "plain", per_class=8)
    folder.mkdir()
    for number, each in enumerate(sorted((tmp_path / "plain").iterdir())):
        shutil.move(each, folder / (name if number == 0 else f'"><img src=x onerror=window.bad={number}>'))
    run = train(str(folder), Plan(image_size_px=64), TrainSettings(runs=tmp_path / "runs"))
    page = Path(report(run.folder).path)
    browser.open(page, width=390)
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("window.bad === undefined")
    assert name in browser.run("document.body.innerText")
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_screenshots_can_be_looked_at(page: Path, browser: Browser, tmp_path: Path) -> None:
    """With WARMSTART_SCREENSHOTS=FOLDER they are kept there."""
    folder = Path(os.environ.get("WARMSTART_SCREENSHOTS", tmp_path))
    for width, dark in ((1280, False), (390, False), (1280, True)):
        browser.open(page, width=width, dark=dark)
        path = folder / f"{page.parent.name}-{width}{'-dark' if dark else ''}.png"
        browser.screenshot(path)
        assert path.stat().st_size > 20_000
