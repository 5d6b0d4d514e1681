"""Invented task (a): points of variable number on two maps, registered as a plug-in. No line of warmstart knows it."""

import csv
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from plug_ins import install

import warmstart as ws
from warmstart.plan import Plan
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.training import loop
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.train import resume, train

PLAN = Plan(task="points", cut="pooled", target=("points",), image_size_px=96, resize="squash", augment="flip", augment_views=2)


def draw_dots(folder: Path, n: int = 36) -> Path:
    """folder/dots.csv: pictures of one to three bright dots, 96 to 160 px wide."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dots.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "points"])
        for i in range(n):
            random = np.random.default_rng([5, i])
            width, height = (int(side) for side in random.integers(96, 161, size=2))
            picture = Image.fromarray(random.integers(0, 60, (height, width, 3), dtype=np.uint8))
            pen, points = ImageDraw.Draw(picture), []
            for _ in range(random.integers(1, 4)):
                x, y = float(random.uniform(12, width - 12)), float(random.uniform(12, height - 12))
                pen.ellipse((x - 7, y - 7, x + 7, y + 7), fill=(255, 230, 120))
                points.append(f"{x:.1f},{y:.1f}")
            picture.save(folder / f"{i}.png")
            table.writerow([f"{i}.png", ";".join(points)])
    return folder / "dots.csv"


@pytest.fixture
def dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(monkeypatch, tmp_path / "site", {"points": "invented.points:TASK"})
    return draw_dots(tmp_path / "dots")


def _settings(tmp_path: Path) -> TrainSettings:
    return TrainSettings(runs=tmp_path / "runs")


def test_points_are_learnt_scored_saved_exported_and_answered_in_pixels_of_the_picture(dots: Path, tmp_path: Path) -> None:
    run = train(str(dots), PLAN, _settings(tmp_path))
    assert run.scores.test.values["f1"] > 0.6
    assert run.record.plan.task == "points"
    assert (run.folder / "report.html").read_text("utf-8").count("f1")
    document = json.loads((run.folder / "model" / "model.json").read_text("utf-8"))
    assert (document["task"], document["task_from"]) == ("points", "invented 1.0")
    again = evaluate(str(run.folder), str(dots))
    assert again.scores.values["f1"] == pytest.approx(run.scores.test.values["f1"]) or again.trained_on
    wide = tmp_path / "wide.png"  # none of train's size: what is said is in pixels of this one
    picture = Image.new("RGB", (200, 100), (30, 30, 30))
    ImageDraw.Draw(picture).ellipse((150 - 12, 40 - 7, 150 + 12, 40 + 7), fill=(255, 230, 120))
    picture.save(wide)
    (point,) = ws.load(run.folder).predict(str(wide)).points
    assert np.hypot(point[0] - 150, point[1] - 40) < 14
    exported = export(str(run.folder), ExportSettings(out=tmp_path / "out"))
    assert exported.proven
    (same,) = ws.load(exported.folder).predict(str(wide)).points
    assert np.hypot(same[0] - point[0], same[1] - point[1]) < 0.1


def test_a_view_that_is_mirrored_says_the_same_places(dots: Path, tmp_path: Path) -> None:
    run = train(str(dots), PLAN, _settings(tmp_path))
    mirrored = train(str(dots), Plan(**{**PLAN.to_dict(), "views": "flip"}), _settings(tmp_path))
    assert mirrored.model.preprocessing.views == ("plain", "flip")
    assert mirrored.scores.test.values["f1"] == pytest.approx(run.scores.test.values["f1"], abs=0.25)
    assert (
        mirrored.scores.test.values["f1"] > 0.5
    )  # a mirrored view whose points were not turned back would halve what is agreed on


def test_training_that_was_killed_goes_on_to_the_same_bits(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(str(dots), PLAN, _settings(tmp_path))

    class KillError(BaseException):
        pass

    class Killing(NullProgress):
        def epoch(self, row: Any) -> None:
            if row.epoch == 5:
                raise KillError

    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    folder = tmp_path / "runs" / "killed"
    folder.mkdir()
    with suppress(KillError):
        train(str(dots), PLAN, _settings(tmp_path), folder=folder, watcher=Killing())
    assert not (folder / "run.json").exists()
    heard: list[str] = []

    class Listening(NullProgress):
        def say(self, line: str) -> None:
            heard.append(line)

    gone_on = resume(folder, watcher=Listening())
    assert any(line.startswith("resumed at step") for line in heard)
    assert [row.epoch for row in gone_on.record.training.epochs] == list(range(13))
    for name, array in whole.model.fitted.arrays().items():
        np.testing.assert_array_equal(array, gone_on.model.fitted.arrays()[name])


def test_targets_follow_the_view_that_is_trained_on(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invented.points import PointTargets

    seen: dict[str, list[np.ndarray]] = {}
    collate = PointTargets.collate

    def noted(self: PointTargets, at: Any, geometry: Any = None) -> Any:
        out = collate(self, at, geometry)
        for i, points in zip(at, out, strict=True):
            seen.setdefault(self.stamp(i), []).append(points.numpy())
        return out

    monkeypatch.setattr(PointTargets, "collate", noted)
    train(str(dots), Plan(**{**PLAN.to_dict(), "training": {"epochs": 3}}), _settings(tmp_path))
    mirrored = 0
    for views in seen.values():
        plain = views[0]
        for other in views:
            assert np.allclose(other[:, 1], plain[:, 1], atol=1e-3)
            same, turned = (
                np.allclose(other[:, 0], plain[:, 0], atol=1e-3),
                np.allclose(other[:, 0], 96 - plain[:, 0], atol=1e-3),
            )
            assert same or turned
            mirrored += not same
    assert mirrored > 5
