"""Which pictures calibrate: none that the model learnt from, none that chose; and what is said where that cannot be."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from drawn_shapes import draw_folder
from warmstart.plan import Plan
from warmstart.records import Picture
from warmstart.session import dataset as dataset_module
from warmstart.session.calibration import Calibration, also_chosen_by
from warmstart.session.dataset import Dataset, halves_of_val
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.task import TASK
from warmstart.tasks.classify.trusted import uncalibrated
from warmstart.workflows.train import Run, train

TUNED = Plan(cut="stage6", image_size_px=64, batch_size=8, training={"epochs": 1})


def data_set(val: int) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(
        source="x",
        task=TASK,
        pictures=tuple(Picture(path=str(i), digest=rng.bytes(16)) for i in range(val + 10)),
        targets=ClassTargets(class_names=("a", "b"), labels=np.arange(val + 10) % 2),
        splits=("train",) * 10 + ("val",) * val,
        units=np.arange(val + 10),
        problems=(),
    )


def test_halves_share_val_between_them_class_by_class() -> None:
    choosing, calibrating = halves_of_val(data_set(401), trains_network=True)
    assert set(choosing) | set(calibrating) == set(range(10, 411))
    assert not set(choosing) & set(calibrating)
    assert len(choosing) - len(calibrating) in (0, 1, 2)
    assert abs((choosing % 2).sum() - (calibrating % 2).sum()) <= 1


def test_a_frozen_network_and_a_small_val_are_not_halved() -> None:
    for dataset, trained in ((data_set(401), False), (data_set(199), True)):
        choosing, calibrating = halves_of_val(dataset, trains_network=trained)
        assert len(choosing) == len(dataset.positions("val"))
        assert not len(calibrating)


def test_more_pictures_leave_those_that_were_there_where_they_were() -> None:
    dataset = data_set(400)
    _, before = halves_of_val(dataset, trains_network=True)
    fewer = replace(dataset, splits=(*dataset.splits[:-2], "train", "train"))
    _, after = halves_of_val(fewer, trains_network=True)
    assert len(set(before) ^ set(after)) <= 4


@pytest.fixture
def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    def run(least_half: int) -> Run:
        monkeypatch.setattr(dataset_module, "LEAST_HALF", least_half)
        folder = draw_folder(tmp_path / "data", per_class=16)
        return train(str(folder), TUNED, TrainSettings(runs=tmp_path / "runs", report=False))

    return run


@pytest.mark.parametrize(("least_half", "apart"), [(2, True), (100, False)])
def test_of_a_trained_network_half_of_val_chooses_and_the_other_half_calibrates(run_with, least_half: int, apart: bool) -> None:  # type: ignore[no-untyped-def]
    record = run_with(least_half).record
    val = record.data.splits["val"]
    calibration = record.trust["calibration"]
    assert calibration["apart"] is apart
    assert calibration["pictures"] in ((val // 2, val // 2 - 1) if apart else (val,))
    assert ("chosen as well" in calibration["on"]) is not apart
    assert record.trust["novelty"]["bank"] == val  # train is known by heart and would tell nothing


def test_probabilities_lead_back_to_those_before_temperature_scaling() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (20, 4))

    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    assert uncalibrated(softmax(logits / 1.7), 1.7) == pytest.approx(softmax(logits))


@pytest.mark.parametrize(("by_folds", "calibrating", "apart"), [(False, 0, False), (False, 3, True), (True, 0, True)])
def test_a_frozen_network_that_val_kept_before_trained_ones_was_not_calibrated_by_pictures_that_chose_nothing(
    by_folds: bool, calibrating: int, apart: bool
) -> None:
    seen = SimpleNamespace(learnt=SimpleNamespace(by_folds=by_folds), calibrating=np.arange(calibrating))
    before = Calibration(outputs="of 6", targets="of 6", on="6 pictures of val", apart=True)
    after = also_chosen_by(before, cast(Any, seen))
    assert after.apart is apart
    assert ("by which it was chosen as well" in after.on) is not apart
