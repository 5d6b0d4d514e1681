"""Pages without a browser: what is in them, what is said of what is not, and that nothing in them is markup that came from outside."""

import csv
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from report_text import page
from warmstart.errors import InputError
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.explain.explanation import explain
from warmstart.tasks.classify.report import page as page_module
from warmstart.tasks.classify.report.pictures import NAMES, NUMBERS, read_pictures, write_pictures
from warmstart.workflows.report import report as report_with_heat_maps
from warmstart.workflows.train import Run, train

report = partial(report_with_heat_maps, heat_maps=False)  # they have tests of their own


@pytest.fixture
def run_folder(trained: Run, tmp_path: Path) -> Path:
    """A run folder of one's own."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


def table(folder: Path) -> dict[str, Any]:
    html = (folder / "report.html").read_text("utf-8")
    found = re.search(r'<script type="application/json" id="table">(.*?)</script>', html, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def change(folder: Path, edit: Any) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text("utf-8"))
    edit(record)
    path.write_text(json.dumps(record), "utf-8")


def test_a_run_ends_with_its_report(trained: Run) -> None:
    seen = page(trained.folder)
    for question in (
        "How good",
        "Can I trust",
        "What does it get wrong",
        "What is wrong with my data",
        "did it look at",
        "What should I do next",
    ):
        assert question in seen.text
    test = trained.scores.test
    assert test is not None
    assert f"{100 * test.accuracy:.1f} %" in seen.text
    assert "Stages stem to stage8 frozen, none of 3.4 M parameters trained" in seen.text
    assert trained.record.data.fingerprint in seen.text
    assert "without" not in seen.text.split("How good")[0]


def test_nothing_in_a_page_leads_out_of_it(trained: Run) -> None:
    assert all(address.startswith(("#", "data:")) for address in page(trained.folder).addresses)
    html = (trained.folder / "report.html").read_text("utf-8")
    assert "default-src 'none'" in html
    assert not re.findall(r"https?://(?!www\.w3\.org)", html)


def test_each_picture_is_embedded_once_and_is_that_picture(trained: Run, shapes: Path) -> None:
    import base64
    import io

    data = table(trained.folder)
    assert len(data["images"]) == len(data["pictures"]) == 24
    assert len(set(data["map"])) == 24
    for (name, true, *_), image in zip(data["pictures"], data["images"], strict=True):
        assert Path(name).parts[0] == true
        thumbnail = Image.open(io.BytesIO(base64.b64decode(image))).convert("L").resize((8, 8))
        original = Image.open(shapes / name).convert("L").resize((8, 8))
        apart = np.abs(np.asarray(thumbnail, float) - np.asarray(original, float)).mean()
        assert apart < 12, name


def test_the_pictures_behind_the_cells_are_those_of_predictions_csv(trained: Run) -> None:
    data = table(trained.folder)
    with (trained.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shown = sorted(tuple(data["pictures"][number][1:3]) for numbers in data["cells"].values() for number in numbers)
    assert shown == sorted((row["true"], row["predicted"]) for row in rows)


def test_a_run_from_before_has_a_report_of_what_is_there_and_says_what_is_missing(run_folder: Path) -> None:
    for name in (NAMES, NUMBERS, "report.html"):
        (run_folder / name).unlink()
    change(
        run_folder,
        lambda record: [record.pop(key) for key in ("trust", "parameters", "machine", "versions", "cache", "engine", "choice")],
    )
    made = report(run_folder)
    assert len(made.missing) == 3
    seen = page(run_folder)
    assert "This report has to do without" in seen.text
    assert "the run is from before" in seen.text
    assert "Map of the data set" not in seen.text
    assert table(run_folder)["cells"]  # from predictions.csv


def test_a_run_without_test_or_predictions_has_a_report(run_folder: Path) -> None:
    (run_folder / "predictions.csv").unlink()
    change(run_folder, lambda record: record["scores"].update(test=None))
    made = report(run_folder)
    assert any("no readable predictions.csv" in what for what in made.missing)
    assert "nothing says how good the model is" in page(run_folder).text


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", b'{"format": 99}'])
def test_a_damaged_or_newer_file_of_pictures_is_said_and_survived(run_folder: Path, damage: bytes) -> None:
    (run_folder / NAMES).write_bytes(damage)
    assert any(NAMES in what for what in report(run_folder).missing)


def test_pictures_that_are_gone_are_counted_and_have_placeholders(
    trained: Run, run_folder: Path, shapes: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(shapes, tmp_path / "shapes"))
    (moved / "circle" / "0.png").unlink()
    (moved / "circle" / "1.jpg").write_bytes(b"no picture any more")
    for name in ("run.json", "predictions.csv", NAMES):
        path = run_folder / name
        path.write_text(path.read_text("utf-8").replace(str(shapes), str(moved)), "utf-8")
    made = report(run_folder)
    assert (made.unreadable, made.thumbnails) == (2, 22)
    assert "2 pictures could not be read any more" in page(run_folder).text
    data = table(run_folder)
    without = [name for (name, *_), image in zip(data["pictures"], data["images"], strict=True) if not image]
    assert sorted(without) == ["circle/0.png", "circle/1.jpg"]


def test_pictures_are_found_from_another_working_folder(
    shapes: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shapes.parent)
    run = train(shapes.name, Plan(image_size_px=64), TrainSettings(runs=tmp_path / "runs", report=False))
    assert run.record.data.source == shapes.name
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    made = report_with_heat_maps(run.folder)
    assert (made.unreadable, made.thumbnails) == (0, 24)
    html = (run.folder / "report.html").read_text("utf-8")
    assert "Grad-CAM at stage" in html
    assert f"warmstart doctor {shapes}" in html
    found = explain(str(run.folder), shapes / "circle" / "0.png")
    assert len(found.neighbours) == 5
    # A run from before warmstart noted the folder, and one whose folder is gone, are read as they were named.
    for change_folder in (lambda data: data.pop("working_folder", None), lambda data: data.update(working_folder="/nowhere")):
        change(run.folder, lambda record, edit=change_folder: edit(record["data"]))
        assert report(run.folder).unreadable == 24
        monkeypatch.chdir(shapes.parent)
        assert report(run.folder).unreadable == 0
        monkeypatch.chdir(elsewhere)


def test_what_does_not_fit_is_left_out_and_counted(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = page_module.Thumbnails
    monkeypatch.setattr(page_module, "Thumbnails", lambda **more: full(budget_bytes=12_000, **more))
    made = report(run_folder)
    assert 0 < made.thumbnails < 24
    assert made.thumbnails + made.without_room == 24
    assert sum(len(image) for image in table(run_folder)["images"]) <= 12_000
    assert f"{made.without_room} more pictures have no thumbnail" in page(run_folder).text


def test_advice_forecast_findings_and_problems_are_shown_where_they_are(run_folder: Path) -> None:
    stages = [
        {"tap": f"stage{n}", "accuracy": 0.5 + n / 20, "accuracy_ci95": [0.4 + n / 20, 0.6 + n / 20]} for n in range(1, 6)
    ]

    def add(record: dict[str, Any]) -> None:
        record["advice"] = {"evidence": {"depth": {"stages": stages}}}
        record["forecast"] = {"seconds": {"extract": 12.25, "total": 14.0}}
        record["data"]["problems"] = [{"path": "x", "kind": "truncated", "message": "x.jpg <b>ends early</b>"}]

    change(run_folder, add)
    findings = [{"kind": "near-duplicate", "message": "a & <u>b", "paths": ["a.png", "b.png"]}, "no finding"]
    (run_folder / "doctor.json").write_text(json.dumps({"findings": findings}), "utf-8")
    report(run_folder)
    text = page(run_folder).text
    for shown in (
        "What can be read at each stage",
        "forecast",
        "12.2",
        "x.jpg <b>ends early</b>",
        "near-duplicate",
        "a & <u>b",
    ):
        assert shown in text
    assert "u" not in page(run_folder).tags
    assert "warmstart advise" not in text.split("What should I do next")[1]


def test_findings_stand_by_kind_with_their_pictures_and_the_way_to_a_list_of_fixes(run_folder: Path, shapes: Path) -> None:
    paths = sorted(str(path) for path in shapes.rglob("*.*"))
    labels = [{"kind": "label", "message": f"called circle {i}", "paths": [path]} for i, path in enumerate(paths[:20])]
    copies = {"kind": "copy", "message": "the same bytes", "paths": paths[:6]}
    of_class = {"kind": "class", "message": "circle has few", "suggestion": "collect more", "paths": []}
    document = {"findings": [*labels, of_class, copies], "notes": ["odd shapes were not looked for"]}
    (run_folder / "doctor.json").write_text(json.dumps(document), "utf-8")
    report(run_folder)
    text = page(run_folder).text
    assert text.index("Exact copies 1") < text.index("Labels to check 20") < text.index("Classes 1")
    assert "The first 12 are shown" in text
    assert "2 more not shown" in text
    assert "circle has few; collect more" in text
    assert "Odd shapes were not looked for." in text
    assert f"warmstart doctor {shapes} --fix-list fixes.csv" in text
    html = (run_folder / "report.html").read_text("utf-8")
    shown = re.findall(r'<figure data-picture="(\d+)" data-name><figcaption>called circle (\d+)', html)
    names = [name for name, *_ in table(run_folder)["pictures"]]
    assert [(shapes / names[int(number)], int(i)) for number, i in shown] == [(Path(paths[i]), i) for i in range(12)]


def test_a_run_that_looked_for_nothing_says_so_and_one_that_found_nothing_too(run_folder: Path) -> None:
    (run_folder / "doctor.json").write_text(json.dumps({"findings": []}), "utf-8")
    report(run_folder)
    assert "Nothing among what was looked for" in page(run_folder).text
    for content in ("", "[]", "{}", '{"findings": 3}'):
        (run_folder / "doctor.json").write_text(content, "utf-8")
        report(run_folder)
        assert "were not looked for in this run" in page(run_folder).text


def test_names_are_text_wherever_they_stand(run_folder: Path) -> None:
    evil = '</script><script>alert("1")</script>'
    for path in (run_folder / "run.json", run_folder / "predictions.csv", run_folder / NAMES):
        text = path.read_text("utf-8")
        if path.suffix == ".json":
            path.write_text(text.replace('"circle"', json.dumps(evil)).replace("/circle/", "/<img src=x>/"), "utf-8")
        else:
            path.write_text(text.replace(",circle", ',"' + evil.replace('"', '""') + '"'), "utf-8")
    report(run_folder)
    html = (run_folder / "report.html").read_text("utf-8")
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert "img" not in page(run_folder).tags
    assert evil in page(run_folder).text
    assert evil in json.dumps(table(run_folder)["pictures"]).replace('\\"', '"')


def test_bytes_that_are_no_text_and_control_characters_in_names_are_shown_as_escapes(run_folder: Path) -> None:
    change(run_folder, lambda record: record["data"].update(source="/data/\udcff\u202e\x07name"))
    report(run_folder)
    assert "\\udcff\\u202e\\x07name" in page(run_folder).text


def test_many_classes_have_their_most_confused_pairs_instead_of_a_matrix(run_folder: Path) -> None:
    names = [f"class {number}" for number in range(60)]
    confusion = [[3 if i == j else int(j == i + 1) * (i + 1) for j in range(60)] for i in range(60)]

    def widen(record: dict[str, Any]) -> None:
        record["data"]["classes"] = dict.fromkeys(names, 10)
        record["scores"]["test"]["confusion"] = confusion
        record["scores"]["test"]["per_class"] = {n: {"precision": 1, "recall": 1, "f1": 1, "support": 9} for n in names}

    change(run_folder, widen)
    report(run_folder)
    text = page(run_folder).text
    assert "Rows are the true classes" not in text
    assert text.index("class 58 → class 59") < text.index("class 57 → class 58")


def test_what_is_no_run_is_refused(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(InputError, match="it does not exist"):
        report(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"there is no run\.json in it"):
        report(tmp_path)
    for content in ("", "[]", "{}", '{"data": 3}'):
        (run_folder / "run.json").write_text(content, "utf-8")
        with pytest.raises(InputError, match=r"run\.json is not the record of a run"):
            report(run_folder)
    (tmp_path / "compare.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match=r"compare\.json is not the result"):
        report(tmp_path)


def test_what_is_known_of_pictures_comes_back_as_it_was_written(trained: Run, tmp_path: Path) -> None:
    pictures = read_pictures(trained.folder)
    assert not isinstance(pictures, str)
    odd = replace(pictures, paths=("caf\udce9.png", *pictures.paths[1:]))
    write_pictures(tmp_path, odd)
    back = read_pictures(tmp_path)
    assert not isinstance(back, str)
    assert back.paths == odd.paths
    assert (back.splits, back.class_names) == (odd.splits, odd.class_names)
    for name in ("labels", "held_out", "probabilities", "novelty", "mapped", "coordinates"):
        assert np.array_equal(getattr(back, name), getattr(odd, name))
    assert pictures.probabilities.sum(axis=1) == pytest.approx(np.ones(len(pictures.held_out)), abs=1e-5)
    assert [pictures.splits[i] for i in pictures.held_out] == sorted((s for s in pictures.splits if s != "train"), reverse=True)


def test_templates_are_part_of_the_package() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]["warmstart"]
    package = root / "src" / "warmstart"
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == installed
