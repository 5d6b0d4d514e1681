"""compare: every plan in its own run folder, resumable plan by plan, put side by side without choosing on test."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from drawn_shapes import draw_folder
from report_text import page
from warmstart.errors import InputError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.records import to_json
from warmstart.report.run_record import HistoryRow
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import compare as module
from warmstart.tasks.classify.compare import Comparison, compare, resume
from warmstart.workflows.report import report

BASE = Plan(image_size_px=64, batch_size=8, training={"epochs": 2})
NAMES = ("frozen", "stage6", "scratch@32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("compare") / "shapes", per_class=14)


@pytest.fixture(scope="module")
def comparison(data: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(new_cache()))
        yield compare(str(data), NAMES, BASE, TrainSettings(runs=tmp_path_factory.mktemp("runs"), budget_s=600))


def test_every_plan_has_a_run_folder_and_the_result_is_what_they_say(comparison: Comparison) -> None:
    assert tuple(contestant.name for contestant in comparison.contestants) == NAMES
    for contestant in comparison.contestants:
        record = (Path(comparison.folder) / contestant.name / "run.json").read_text("utf-8")
        assert to_json(contestant.record.to_dict()) == record
        assert (Path(comparison.folder) / contestant.name / "model" / "model.json").is_file()
    frozen, partial, scratch = comparison.contestants
    assert (frozen.record.plan.cut, partial.record.plan.cut) == ("pooled", "stage6")
    assert (scratch.record.plan.weights, scratch.record.plan.image_size_px) == ("random", 32)
    assert len(frozen.curve.points) == 1
    assert [point.epoch for point in partial.curve.points] == [0, 1, 2]


def test_gains_are_paired_differences_of_test_accuracy_against_the_frozen_plan(comparison: Comparison) -> None:
    assert comparison.reference == "frozen"
    frozen = comparison.contestants[0]
    assert frozen.gain is None
    for contestant in comparison.contestants[1:]:
        expected = contestant.record.scores["test"].accuracy - frozen.record.scores["test"].accuracy
        assert contestant.gain == pytest.approx(expected)
        assert contestant.gain_ci95 is not None
        assert contestant.gain_ci95[0] <= contestant.gain <= contestant.gain_ci95[1]


def test_the_best_plan_is_chosen_by_val(comparison: Comparison) -> None:
    losses = {contestant.name: contestant.record.scores["val"].log_loss for contestant in comparison.contestants}
    assert losses[comparison.best] == min(losses.values())


def test_what_transfer_brought_is_said_in_words_and_drawn(comparison: Comparison) -> None:
    assert [sentence.split(":")[0] for sentence in comparison.transfer] == ["Start", "Slope", "Asymptote"]
    png, svg = (Path(path) for path in comparison.curves)
    assert png.read_bytes().startswith(b"\x89PNG")
    text = "".join(ElementTree.parse(svg).getroot().itertext())
    assert all(name in text for name in NAMES)


def test_the_document_on_disk_is_the_result(comparison: Comparison) -> None:
    document = json.loads((Path(comparison.folder) / "compare.json").read_text("utf-8"))
    assert document == json.loads(json.dumps(comparison.to_dict()))
    with pytest.raises(InputError, match="finished"):
        resume(Path(comparison.folder))


def test_its_report_leads_to_those_of_its_runs(comparison: Comparison, tmp_path: Path) -> None:
    folder = Path(comparison.folder)
    seen = page(folder)
    links = [address for address in seen.addresses if address.endswith("report.html")]
    assert [(folder / link.replace("%40", "@")).is_file() for link in links] == [True] * 3
    for sentence in comparison.transfer:
        assert sentence in seen.text
    stage6 = page(folder / "stage6")
    assert "cold start" in stage6.text
    assert "Stages stem to stage6 frozen, stage7 to stage8 trained" in stage6.text
    assert "2 epochs of training" in stage6.text
    assert "warmstart compare" not in stage6.text.split("What should I do next")[1]
    shutil.copytree(folder, tmp_path / "again")
    (tmp_path / "again" / "report.html").unlink()
    assert Path(report(tmp_path / "again").path) == tmp_path / "again" / "report.html"


def test_an_interrupted_comparison_goes_on_where_it_was(
    comparison: Comparison, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a kill: nothing of ours catches it."""

    def die_at_the_second(listing: object, plan: Plan, *args: object, **kwargs: object) -> object:
        if plan.cut == "stage6":
            raise Killed
        return train(listing, plan, *args, **kwargs)  # type: ignore[arg-type]

    train = module.train
    with monkeypatch.context() as patch:
        patch.setattr(module, "train", die_at_the_second)
        with pytest.raises(Killed):
            compare(str(data), NAMES, BASE, TrainSettings(runs=tmp_path, budget_s=600, report=False))
    (folder,) = tmp_path.iterdir()
    finished = (folder / "frozen" / "run.json").stat().st_mtime_ns
    resumed = resume(folder)
    assert (folder / "frozen" / "run.json").stat().st_mtime_ns == finished
    for before, after in zip(comparison.contestants, resumed.contestants, strict=True):
        assert after.record.scores == before.record.scores
        assert [point.val_loss for point in after.curve.points] == [point.val_loss for point in before.curve.points]


def test_ctrl_c_leaves_a_plan_unfinished_so_that_all_have_had_the_same_time(
    data: Path, tmp_path: Path, warm_cache: Path
) -> None:
    class Impatient(NullProgress):
        def epoch(self, row: HistoryRow) -> None:
            if row.epoch == 1:
                raise KeyboardInterrupt

    settings = TrainSettings(runs=tmp_path / "runs", budget_s=600, report=False)
    with pytest.raises(KeyboardInterrupt):
        compare(str(data), ["stage6"], BASE, settings, watcher=Impatient())
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / "stage6" / "run.json").exists()
    resumed = resume(folder)
    assert [point.epoch for point in resumed.contestants[0].curve.points] == [0, 1, 2]


def test_plans_that_cannot_be_are_refused_before_anything_runs(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="stage6"):
        compare(str(data), ["stage66"], BASE, TrainSettings(runs=tmp_path, budget_s=60))
    with pytest.raises(UsageError, match="budget"):
        compare(str(data), ["frozen"], BASE, TrainSettings(runs=tmp_path))
    with pytest.raises(UsageError, match="budget"):
        TrainSettings(budget_s=0)
    with pytest.raises(UsageError, match="no name for a folder"):
        compare(str(data), {"../frozen": BASE}, settings=TrainSettings(runs=tmp_path, budget_s=60))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fractions", "empty"), [((0.75, 0.25, 0.0), "test"), ((0.75, 0.0, 0.25), "val"), ((1.0, 0.0, 0.0), "val and test")]
)
def test_without_val_or_test_nothing_is_trained_and_what_is_missing_is_said(
    fractions: tuple[float, float, float], empty: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"no pictures in {empty} \(train .*--split 70/15/15"):
        compare(str(data), ["frozen"], replace(BASE, fractions=fractions), TrainSettings(runs=tmp_path, budget_s=60))
    assert not list(tmp_path.iterdir())


def test_a_split_that_turns_out_empty_ends_the_comparison_at_the_first_plan(
    data: Path, tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Plan(image_size_px=64, fractions=(0.75, 0.25, 0.0))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_check_splits", lambda *_: None)  # as for pictures that cannot be decoded: digests do not tell
        with pytest.raises(UsageError, match="no pictures in test"):
            compare(str(data), {"one": base, "two": base}, settings=TrainSettings(runs=tmp_path / "runs", budget_s=60))
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / "two").exists()
    with pytest.raises(UsageError, match="no pictures in test"):
        resume(folder)
    assert not (folder / "two").exists()


def test_plans_of_ones_own_can_be_compared_under_any_names(data: Path, tmp_path: Path, warm_cache: Path) -> None:
    plans = {"all-taps": Plan(image_size_px=64, taps="all"), "knn": Plan(image_size_px=64, head="knn")}
    result = compare(str(data), plans, settings=TrainSettings(runs=tmp_path, budget_s=600))
    assert [contestant.record.plan.head for contestant in result.contestants] == ["linear", "knn"]
    assert result.transfer == ()


def test_pictures_are_paired_by_path_whatever_order_they_were_written_in(tmp_path: Path) -> None:
    rows = [("a", "x", "x"), ("b", "x", "y"), ("c", "y", "y")]
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "predictions.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "true", "predicted"), *order])
    assert np.array_equal(module._right(tmp_path / "one"), module._right(tmp_path / "two"))
