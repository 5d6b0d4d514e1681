"""The doctor's page in a real browser: nothing on the console, nothing requested, readable on a phone and on a desk."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from browser import Browser
from drawn_shapes import draw_folder, draw_shape, set_back
from photograph import photograph
from warmstart.plan import Plan
from warmstart.session.progress import NullProgress
from warmstart.tasks.classify.doctor.examination import doctor, write


@pytest.fixture(scope="module")
def page(warm_copy: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With findings of most kinds, a name that is markup and one that is long."""
    folder = draw_folder(tmp_path_factory.mktemp("data") / "pictures", 12)
    draw_shape("circle", 300).save(folder / "stripes" / "<img src=x onerror=window.bad=1>.png")
    shutil.copy(folder / "circle" / "3.jpg", folder / "circle" / f"{'a-long-name' * 15}.jpg")
    scene = photograph(5)
    scene.save(folder / "square" / "scene.png")
    scene.resize((180, 234), Image.Resampling.BICUBIC).save(folder / "circle" / "smaller.jpg", quality=90)
    (folder / "circle" / "broken.jpg").write_bytes(b"no picture")
    draw_shape("square", 400).resize((600, 40)).save(folder / "square" / "panorama.png")
    set_back(folder)
    target = tmp_path_factory.mktemp("page") / "doctor.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(warm_copy()))
        found = doctor(str(folder), Plan(image_size_px=64))
        write(found, fix_list=None, page=target, watcher=NullProgress())
    assert {"broken", "copy", "near-copy", "label", "shape"} <= set(found.counts())
    return target


@pytest.mark.parametrize("width", [390, 1280])
def test_it_says_nothing_asks_for_nothing_and_does_not_scroll_sideways(page: Path, browser: Browser, width: int) -> None:
    browser.open(page, width=width)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.complaints() == []
    assert browser.requests() == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("getComputedStyle(document.body).fontSize") == "16px"
    outside = browser.run(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"
    )
    assert outside == []
    # Small print, but not smaller than 12 px; pictures that are whole, and large enough to be judged by.
    sizes = browser.run(
        "[...document.querySelectorAll('p, figcaption, li, a')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
    pictures = browser.run(
        "[...document.querySelectorAll('img')].map(i => [i.complete && i.naturalWidth, i.clientWidth, i.clientHeight])"
    )
    assert pictures
    assert all(loaded and wide > 0 and high >= 20 for loaded, wide, high in pictures)


def test_names_run_nothing_and_pictures_can_be_read_aloud(page: Path, browser: Browser) -> None:
    browser.open(page, width=390)
    assert browser.run("window.bad === undefined")
    assert browser.run("[...document.querySelectorAll('img')].every(i => i.alt)")
    assert browser.run("document.body.innerText.includes('<img src=x onerror=window.bad=1>.png')")


def test_the_head_of_the_page_leads_to_every_kind(page: Path, browser: Browser) -> None:
    browser.open(page, width=1280)
    assert browser.run("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
    closed = browser.run("document.querySelector('details:not([open])').id")
    browser.run(f"document.querySelector('nav a[href=\"#{closed}\"]').click()")
    assert browser.run(f"Math.abs(document.getElementById('{closed}').getBoundingClientRect().top) < innerHeight")


def test_a_screenshot_can_be_looked_at(page: Path, browser: Browser, tmp_path: Path) -> None:
    """With WARMSTART_SCREENSHOTS=FOLDER they are kept there."""
    folder = Path(os.environ.get("WARMSTART_SCREENSHOTS", tmp_path))
    for width in (1280, 390):
        browser.open(page, width=width)
        browser.screenshot(folder / f"doctor-{width}.png")
        assert (folder / f"doctor-{width}.png").stat().st_size > 10_000
