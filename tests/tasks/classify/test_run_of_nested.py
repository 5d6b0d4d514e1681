"""Folders in folders through every verb: trained, recorded, reported, asked, held against, exported."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import warmstart as ws
from drawn_shapes import draw_shape
from warmstart.cli.main import run as command
from warmstart.errors import DataError, UsageError
from warmstart.plan import Plan
from warmstart.predicting import surely as surely_of_task
from warmstart.report.run_record import read_record
from warmstart.session.outcome import Run
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.task import TASK
from warmstart.tasks.classify.tree import surely
from warmstart.workflows.inspect import inspect
from warmstart.workflows.train import train

FOLDERS = {"circle": "round/circle", "square": "angular/square", "stripes": "angular/stripes"}
NAMES = ("angular>square", "angular>stripes", "round>circle")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nested") / "shapes"
    for class_name, folder in FOLDERS.items():
        (root / folder).mkdir(parents=True)
        for seed in range(10):
            draw_shape(class_name, seed).save(root / folder / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, new_cache: object) -> Path:
    assert callable(new_cache)
    made: Path = new_cache()
    return made


@pytest.fixture(autouse=True)
def _warm(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", str(cache))


@pytest.fixture(scope="module")
def trained(shapes: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(cache))
        plan = Plan(image_size_px=64, nested=True, fractions=(0.5, 0.1, 0.4))
        yield train(str(shapes), plan, TrainSettings(runs=tmp_path_factory.mktemp("runs"), heat_maps=False, findings=False))


def test_the_record_says_how_folders_were_read_and_accuracy_at_each_depth(trained: Run) -> None:
    assert tuple(trained.record.data.of_task["classes"]) == NAMES == trained.model.class_names
    document = json.loads((trained.folder / "run.json").read_text())
    assert document["plan"]["nested"] is True
    assert [notice["kind"] for notice in document["data"]["notices"]] == ["nested"]
    scores = document["scores"]["test"]
    assert scores["accuracy_depth2"] == scores["accuracy"] <= scores["accuracy_depth1"]
    assert scores["accuracy_depth1_ci95"][0] < scores["accuracy_depth1"] <= scores["accuracy_depth1_ci95"][1]
    assert [row["asked"] for row in document["trust"]["sure"]] == [0.8, 0.9, 0.95]
    read = read_record(trained.folder)
    assert read.scores["test"] == trained.record.scores["test"]
    assert json.loads(json.dumps(read.to_dict())) == document
    with (trained.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = [row["true"].split(">")[0] == row["predicted"].split(">")[0] for row in rows]
    assert scores["accuracy_depth1"] == sum(right) / len(right)
    model = json.loads((trained.folder / "model" / "model.json").read_text())
    assert not any("tree" in key or "depth" in key for key in model)  # it is in the names of the classes


def test_the_report_shows_depths_and_what_was_sure(trained: Run) -> None:
    page = (trained.folder / "report.html").read_text()
    for words in ("Right at which depth", "The deepest answer that is sure", "At the top"):
        assert words in page


def test_trained_loaded_and_exported_models_are_sure_of_the_same(trained: Run, shapes: Path) -> None:
    paths = sorted(str(path) for path in shapes.rglob("*.png"))
    loaded = ws.load(trained.folder)
    reading = TASK.reading(json.loads(json.dumps(TASK.exported(trained.model.fitted))))  # what answers for an exported file
    seen = set()
    for sure in (0.6, 0.95):
        found = trained.model.predict(paths, sure=sure)
        assert found == loaded.predict(paths, sure=sure)
        for one in found:
            top = sum(p for name, p in one.probabilities.items() if name.startswith("angular>"))
            # What is round has one class, so both are sure together, and the class is the deeper one.
            worth = {"angular": top} | dict(one.probabilities)
            expected = max((name for name in worth if worth[name] >= sure), key=lambda name: name.count(">"), default=None)
            assert one.sure.class_name == expected
            assert surely(reading, sure)(one) == one
            seen.add(expected)
    assert seen & {"angular", None}
    assert seen & set(NAMES)


def test_the_command_line_shows_the_answer_counts_depths_and_writes_columns(
    trained: Run, shapes: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            command(["predict", str(trained.folder), str(shapes / "angular"), *more])
        assert isinstance(end.value.code, int)
        return end.value.code, " ".join(capsys.readouterr().out.split())

    code, shown = said("--sure", "0.9")
    assert (code, "sure of 0.9, of 20 pictures: " in shown) == (0, True)
    _, document = said("--sure", "0.9", "--json", "--csv", str(tmp_path / "said.csv"))
    assert {tuple(one["sure"]) for one in json.loads(document)["predictions"]} == {("asked", "class", "probability")}
    columns = (tmp_path / "said.csv").read_text().splitlines()[0]
    assert columns.startswith("path,class,probability,novelty,sure,sure_probability,angular>square,")
    assert said("--sure", "90")[0] == 2


def test_it_is_held_against_folders_in_folders_and_against_a_table(trained: Run, shapes: Path, tmp_path: Path) -> None:
    held = ws.evaluate(trained, shapes, quiet=True)
    assert (held.images, held.problems) == (30, ())
    assert len(held.scores_with_seen.by_depth) == 2
    rows = [(str(shapes / folder / "1.png"), folder.replace("/", ">")) for folder in FOLDERS.values()]
    assert ws.evaluate(trained, rows, quiet=True).images == 3


def test_other_verbs_read_folders_as_they_are_asked_to(shapes: Path) -> None:
    assert tuple(inspect(shapes, nested=True).classes) == NAMES
    flat = inspect(shapes)
    assert tuple(flat.classes) == ("angular", "round")
    (notice,) = (notice for notice in flat.notices if notice.kind == "folders-in-folders")
    assert f"angular{os.sep}square" in notice.message
    with pytest.raises(DataError, match="--nested is for folders in folders"):
        ws.train(
            [(str(shapes / "round/circle/1.png"), "a"), (str(shapes / "angular/square/1.png"), "b")], nested=True, quiet=True
        )


def test_what_cannot_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    plans = {"nested": Plan(nested=True), "flat": Plan()}
    with pytest.raises(UsageError, match="some of these have nested and some not"):
        ws.compare(tmp_path, plans, quiet=True)
    with pytest.raises(UsageError, match="sure is for classes, and this is a model of the task regress"):
        surely_of_task("regress", None, 0.9)
