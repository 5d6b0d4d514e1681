"""Pages without a browser: what they say of what is not there, that names stay text, that nothing in them needs a laxer policy."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_folder
from warmstart.serve.pages import STATIC, _keeps_best

TEMPLATES = STATIC.parent / "templates"


@pytest.mark.parametrize("place", ["datasets", "runs", "models", "piles"])
def test_what_is_not_there_is_told_as_a_page_with_a_way_home(served: TestClient, place: str) -> None:
    answer = served.get(f"/{place}/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "there is no" in answer.text
    assert '<a href="/">' in answer.text


def test_the_first_page_and_a_models_page_say_what_the_model_knows(served: TestClient) -> None:
    assert 'href="/models/shapes"' in served.get("/").text
    page = served.get("/models/shapes")
    assert page.status_code == 200
    assert "circle, square, stripes" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self';")


def test_names_that_look_like_html_stay_text(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    client = serve()
    buffer = io.BytesIO()
    draw_folder(tmp_path / "shapes", 3)
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted((tmp_path / "shapes").rglob("*.*")):
            archive.write(path, f"<b>{path.parent.name}<b>/{path.name}")
    name = "<script>alert(1)</script>"
    made = client.post(
        "/api/datasets", params={"name": name}, content=buffer.getvalue(), headers={"Content-Type": "application/zip"}
    )
    assert made.status_code == 201, made.text
    for address in ("/", f"/datasets/{made.json()['id']}"):
        page = client.get(address).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert name not in page
        assert "<b>" not in page


def test_templates_hold_no_script_no_style_and_no_other_host() -> None:
    for path in sorted(TEMPLATES.glob("*.html")):
        text = path.read_text("utf-8")
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|https?:|src=\"//", text), path.name
        for script in re.findall(r"<script[^>]*>", text):
            assert re.fullmatch(r'<script type="module" src="/static/[a-z]+\.js">', script), path.name


def test_every_file_that_a_page_or_script_names_is_there() -> None:
    texts = {path.name: path.read_text("utf-8") for path in (*TEMPLATES.glob("*.html"), *STATIC.glob("*.js"))}
    named = {name for text in texts.values() for name in re.findall(r'(?:/static/|from "\./)([a-z]+\.[a-z]+)"', text)}
    assert named == {path.name for path in STATIC.iterdir()}


def test_the_page_of_a_run_whose_plan_would_be_refused_today_can_still_be_shown() -> None:
    assert _keeps_best({"cut": "auto"})
    assert _keeps_best({"cut": "stage5"})
    assert not _keeps_best({"cut": "pooled"})
    assert not _keeps_best({"cut": "stage5", "class_weight": "balance"})
