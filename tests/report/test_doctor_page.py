"""The page of findings: it holds everything itself, names are text and never markup, and its size is bounded."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photograph import photograph
from warmstart.errors import UsageError
from warmstart.inspection.findings import Finding
from warmstart.report.thumbnails import HEIGHT_PX, thumbnail
from warmstart.tasks.classify.report import doctor_page
from warmstart.tasks.classify.report.doctor_page import write_page


class Page(HTMLParser):
    """Tags, attributes and text; every tag that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def document(findings: list[Finding], **more: Any) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return {"source": "photos", "images": 3, "classes": {"a": 3}, "counts": counts, "labels": None, "notes": [], **more}


def written(tmp_path: Path, findings: list[Finding], **more: Any) -> str:
    pictures = {path: ("cat", "train") for finding in findings for path in finding.paths}
    target = tmp_path / "page.html"
    size = write_page(target, document(findings, **more), findings, pictures, on_progress=lambda *_: None)
    assert size == target.stat().st_size
    return target.read_text("utf-8")


def finding(*paths: str, kind: Any = "outlier", detail: str = "strange") -> Finding:
    return Finding(kind=kind, paths=paths, detail=detail, suggestion="look")


def test_pictures_are_embedded_and_nothing_is_fetched_or_run(tmp_path: Path) -> None:
    photograph(0).save(tmp_path / "a.png")
    page = Page(written(tmp_path, [finding(str(tmp_path / "a.png"))], labels={"accuracy": 0.9, "confident_errors": 4}))
    sources = [value for tag, name, value in page.attributes if name in ("src", "href")]
    assert all(value and value.startswith(("data:image/jpeg;base64,", "#")) for value in sources)
    assert sum(tag == "img" for tag, _, _ in page.attributes) == 2  # src and alt of one
    assert not {tag for tag, _, _ in page.attributes} & {"script", "link", "iframe"}
    assert "url(" not in doctor_page.STYLE
    assert "90.0%" in page.text


def test_names_are_text_whatever_they_are_called(tmp_path: Path) -> None:
    evil = '"><script>alert(1)&.png'
    text = written(tmp_path, [finding(str(tmp_path / evil), detail="<b>bold</b>")], source="<i>x</i>", notes=["<u>n</u>"])
    page = Page(text)
    assert evil in page.text
    assert "<b>bold</b>" in page.text
    assert not re.search("<(script|i|u)>", text)
    lone = written(tmp_path, [finding(str(tmp_path / "\udcff.png"))])  # a name that is no text at all
    assert "\\udcff" in lone


def test_the_number_of_pictures_is_bounded_and_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_page, "SHOWN", 3)
    monkeypatch.setattr(doctor_page, "GROUP_SHOWN", 2)
    photograph(0).save(tmp_path / "a.png")
    many = [finding(str(tmp_path / "a.png")) for _ in range(7)]
    text = written(tmp_path, [*many, finding(*[str(tmp_path / "a.png")] * 5, kind="near-copy")])
    assert text.count("<img") == 3 + 2
    assert "4 more" in text
    assert "3 more not shown" in text


def test_a_picture_that_is_gone_is_said_to_be_and_no_finding_is_said_too(tmp_path: Path) -> None:
    assert "cannot be decoded" in written(tmp_path, [finding(str(tmp_path / "gone.png"))])
    assert "Nothing was found" in written(tmp_path, [])
    with pytest.raises(UsageError, match="cannot be written"):
        write_page(tmp_path / "no" / "page.html", document([]), [], {}, on_progress=lambda *_: None)


@pytest.mark.parametrize("size", [(400, 533), (3000, 200), (20, 30)])
def test_a_thumbnail_is_a_small_jpeg_of_the_same_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    photograph(0, size).save(path)
    uri = thumbnail(path)
    assert uri is not None
    picture = Image.open(BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert picture.format == "JPEG"
    assert picture.height <= HEIGHT_PX
    assert picture.width <= 2 * HEIGHT_PX
    assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.15)
    assert len(uri) < 12_000
    assert thumbnail(tmp_path / "nothing.png") is None
