"""A callback is told everything that training tells, can end it, and what it raises leaves a run to go on with."""

from pathlib import Path
from typing import Any

import pytest

import warmstart as ws
from warmstart.session.run_folder import checkpoint_path
from warmstart.training.events import Epoch, Event, Finished, Step

HOW: dict[str, Any] = {
    "cut": "stage6",
    "training": {"epochs": 3},
    "batch_size": 8,
    "image_size_px": 64,
    "report": False,
    "quiet": True,
}


def test_everything_is_told_in_order(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    run = ws.train(shapes, runs=tmp_path, on_event=told.append, logger="csv", **HOW)
    assert [event.epoch for event in told if isinstance(event, Epoch)] == [0, 1, 2, 3]
    steps = [event.step for event in told if isinstance(event, Step)]
    assert steps == list(range(1, len(steps) + 1))
    assert isinstance(told[-1], Finished)
    assert len((run.folder / "steps.csv").read_text().splitlines()) == 1 + len(steps)
    assert run.record.training.end == "every epoch was run"


def test_true_ends_training_and_keeps_the_best_epoch(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    run = ws.train(shapes, runs=tmp_path, on_event=lambda event: isinstance(event, Step) and event.epoch == 2, **HOW)
    assert run.record.training.end == "ended by on_event after epoch 1"
    assert [row.epoch for row in run.record.training.epochs] == [0, 1]
    assert run.scores.test.n > 0
    whole = ws.train(shapes, runs=tmp_path, on_event=lambda event: "yes", **HOW)  # true, and not True: nothing was asked for
    assert len(whole.record.training.epochs) == 4


def test_what_it_raises_comes_through_and_the_run_can_be_gone_on_with(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    def fails(event: Event) -> None:
        if isinstance(event, Step) and event.epoch == 2:
            raise RuntimeError("a fault of the user's")

    with pytest.raises(RuntimeError, match="a fault of the user's"):
        ws.train(shapes, runs=tmp_path / "runs", on_event=fails, **HOW)
    (folder,) = (tmp_path / "runs").iterdir()
    assert checkpoint_path(folder, "stage6").is_file()
    gone_on = ws.resume(folder, quiet=True)
    whole = ws.train(shapes, runs=tmp_path / "whole", **HOW)
    assert [row.val_loss for row in gone_on.record.training.epochs] == [row.val_loss for row in whole.record.training.epochs]
