"""Invented tasks (b), a memory whose answers are maps, and (c), words decoded step by step; both are plug-ins."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from plug_ins import install
from starlette.testclient import TestClient

import warmstart as ws
from drawn_shapes import draw_shape
from warmstart.plan import Plan
from warmstart.serve.app import make_app
from warmstart.serve.settings import ServeSettings
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Fitting, Part
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.report import report
from warmstart.workflows.train import train


@pytest.fixture(autouse=True)
def _plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path / "site", {"memory": "invented.memory:TASK", "words": "invented.words:TASK"})


def _cloth(seed: int, *, torn: bool) -> Image.Image:
    random = np.random.default_rng([9, seed])
    picture = Image.fromarray((random.integers(90, 120, (96, 96, 3))).astype(np.uint8))
    if torn:
        x, y = (int(v) for v in random.integers(8, 72, size=2))
        ImageDraw.Draw(picture).ellipse((x, y, x + 16, y + 16), fill=(250, 250, 250))
    return picture


@pytest.fixture
def cloth(tmp_path: Path) -> Path:
    for kind, n in (("good", 24), ("torn", 12)):
        (tmp_path / "cloth" / kind).mkdir(parents=True)
        for i in range(n):
            _cloth(100 * (kind == "torn") + i, torn=kind == "torn").save(tmp_path / "cloth" / kind / f"{i}.png")
    return tmp_path / "cloth"


def test_a_memory_of_good_pictures_says_where_another_is_not_like_them(cloth: Path, tmp_path: Path) -> None:
    plan = Plan(task="memory", cut="pooled", image_size_px=96)
    run = train(str(cloth), plan, TrainSettings(runs=tmp_path / "runs"))
    assert run.scores.test.values["auroc"] > 0.9
    assert run.record.data.splits["train"] < 25  # good ones alone
    picture = Image.fromarray(np.full((96, 96, 3), 105, np.uint8))
    ImageDraw.Draw(picture).ellipse((60, 12, 78, 30), fill=(250, 250, 250))
    answer = ws.load(run.folder).predict(picture)
    y, x = np.unravel_index(answer.map.argmax(), answer.map.shape)
    assert abs((x + 0.5) / answer.map.shape[1] * 96 - 69) < 14
    assert abs((y + 0.5) / answer.map.shape[0] * 96 - 21) < 14
    assert evaluate(str(run.folder), str(cloth)).scores is not None
    exported = export(str(run.folder), ExportSettings(out=tmp_path / "out"))
    assert exported.proven
    np.testing.assert_allclose(
        ws.load(exported.folder).predict(picture).map, answer.map, rtol=0.1
    )  # bfloat16 here, float32 there
    assert "auroc" in Path(report(run.folder).path).read_text("utf-8")


COLOURS = {"red": (220, 40, 40), "blue": (40, 70, 230)}


def _said_things(folder: Path, n: int = 48) -> Path:
    folder.mkdir()
    with (folder / "said.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "words"])
        for i in range(n):
            shape, colour = ("circle", "square")[i % 2], ("red", "blue")[i // 2 % 2]
            picture = draw_shape(shape, i)
            tint = np.array(COLOURS[colour]) / 255
            Image.fromarray((np.asarray(picture) * tint).astype(np.uint8)).save(folder / f"{i}.png")
            table.writerow([f"{i}.png", f"{colour} {shape}" if i % 3 else f"big {colour} {shape}"])
    return folder / "said.csv"


def test_words_are_decoded_from_a_map_and_the_task_is_found_from_the_data(tmp_path: Path) -> None:
    said = _said_things(tmp_path / "said")
    heard: list[str] = []

    class Listening(NullProgress):
        def say(self, line: str) -> None:
            heard.append(line)

    plan = Plan(cut="pooled", target=("words",), image_size_px=96)
    run = train(str(said), plan, TrainSettings(runs=tmp_path / "runs"), watcher=Listening())
    assert any("the task is words, for it has a column words" in line for line in heard)
    assert run.record.plan.task == "words"
    colours = [words[-2:-1] for words in run.model.fitted.sentences(_outputs(run, said))]
    assert {word for words in colours for word in words} <= {"red", "blue", "big"}
    assert run.scores.val.values["exact"] > 0.2  # of twelve sentences that there are
    exported = export(str(run.folder), ExportSettings(out=tmp_path / "out"))
    one = str(said.parent / "3.png")
    assert ws.load(exported.folder).predict(one).words == ws.load(run.folder).predict(one).words
    document = json.loads((run.folder / "run.json").read_text("utf-8"))
    assert document["scores"]["test"]["exact"] == run.scores.test.values["exact"]


def _outputs(run: object, said: Path) -> object:
    from warmstart.extraction.workspace import Workspace

    with Workspace.opened() as workspace:
        from warmstart.extraction.reader import Reader
        from warmstart.extraction.scanning import scan

        found = scan([str(said.parent / f"{i}.png") for i in range(8)], workspace.store)
        rows = Reader(recipe=run.model.recipe(), workspace=workspace).rows(found.pictures, apart=True).rows  # type: ignore[attr-defined]
    return run.model.outputs(rows)  # type: ignore[attr-defined]


def test_a_server_answers_for_a_task_that_it_does_not_know(cloth: Path, tmp_path: Path) -> None:
    run = train(str(cloth), Plan(task="memory", cut="pooled", image_size_px=96), TrainSettings(runs=tmp_path / "runs"))
    buffer = io.BytesIO()
    _cloth(7, torn=True).save(buffer, "PNG")
    settings = ServeSettings(models=(f"cloth={run.folder}",), home=tmp_path / "served")
    with TestClient(make_app(settings), base_url="http://127.0.0.1:8000") as client:
        (model,) = client.get("/api/models").json()["models"]
        assert (model["task"], model["remembered"]) == ("memory", 500)
        answer = client.post("/api/models/cloth/predict", files={"file": ("a.png", buffer.getvalue(), "image/png")}).json()
    (prediction,) = answer["predictions"]
    assert np.array(prediction["map"]).shape == (12, 12)


def test_no_picture_of_test_is_handed_to_fit_or_refit(cloth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invented.memory import MemoryTask

    handed: list[int] = []
    fit, refit = MemoryTask.fit, MemoryTask.refit

    def noted_fit(self: MemoryTask, train: Part, val: Part, run: Fitting) -> object:
        handed.extend([*train.positions, *val.positions])
        return fit(self, train, val, run)

    def noted_refit(self: MemoryTask, learnt: object, part: Part, run: Fitting) -> object:
        handed.extend(part.positions)
        return refit(self, learnt, part, run)

    monkeypatch.setattr(MemoryTask, "fit", noted_fit)
    monkeypatch.setattr(MemoryTask, "refit", noted_refit)
    run = train(str(cloth), Plan(task="memory", cut="pooled", image_size_px=96), TrainSettings(runs=tmp_path / "runs"))
    with (run.folder / "predictions.csv").open(newline="") as file:
        tested = {row["path"] for row in csv.DictReader(file)}
    table = json.loads((run.folder / "run.json").read_text("utf-8"))["data"]
    assert len(tested) == table["splits"]["test"] > 0
    assert len(set(handed)) == table["splits"]["train"] + table["splits"]["val"]
    assert len(set(handed)) + len(tested) == table["images"]
