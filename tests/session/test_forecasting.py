"""What is measured before a run, and what need not be."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from warmstart.inspection import speed
from warmstart.plan import Plan
from warmstart.session import forecasting
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import fit
from warmstart.workflows.train import train

if TYPE_CHECKING:
    from warmstart.session.outcome import Run


SMALL = Plan(image_size_px=64)  # as `trained` was made


@pytest.mark.parametrize("missing", [True, False])
def test_speeds_are_measured_where_a_frozen_run_has_something_to_compute(
    missing: bool, trained: "Run", warm_cache: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    real = forecasting.measured_speed

    def noted(*arguments: Any) -> Any:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(forecasting, "measured_speed", noted)
    settings = TrainSettings(runs=tmp_path, report=False, findings=False)
    # Its mirrored rows are not there yet.
    run = train(str(shapes), replace(SMALL, views="flip") if missing else SMALL, settings)
    assert bool(asked) is missing
    assert bool(run.record.cache.misses) is missing
    assert run.record.forecast["seconds"]["extract"] >= 0


@pytest.mark.parametrize(("enough_val", "folds"), [(1, 1), (1000, fit.FOLDS)])
def test_a_fit_is_forecast_by_folds_where_val_is_too_small_to_choose_on(
    enough_val: int, folds: int, trained: "Run", warm_cache: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fit, "ENOUGH_VAL", enough_val)
    monkeypatch.setattr(speed, "fit_seconds", lambda *_, folds, **__: asked.append(folds) or 1.0)
    train(str(shapes), SMALL, TrainSettings(runs=tmp_path, report=False, findings=False))
    assert asked == [folds]
