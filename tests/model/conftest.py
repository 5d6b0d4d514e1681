"""Small models of every kind of head, to be tampered with."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train

TINY = Plan(backbone="timm:test_efficientnet", weights="random", image_size_px=64, taps="middle", views="flip", precision="f32")


@pytest.fixture(scope="session")
def model_with(shapes: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Head → a model folder with it, made once and not to be changed."""
    place, cache_folder = tmp_path_factory.mktemp("tiny-models"), new_cache()

    @cache
    def made(head: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WARMSTART_CACHE", str(cache_folder))
            settings = TrainSettings(runs=place / head, report=False)
            return train(str(shapes), replace(TINY, head=head), settings).folder / "model"

    return made
