"""A run small enough to be exported many times: random weights, and a head on the first stages."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from export_examples import Exporting

from warmstart.plan import Plan
from warmstart.session.outcome import Run
from warmstart.session.settings import TrainSettings
from warmstart.workflows.export import Export, ExportSettings, export
from warmstart.workflows.train import train

# float32 on every machine: exports are held against it, and a model that answers in bf16 is a thousandth away from itself.
TINY = Plan(backbone="timm:test_efficientnet", weights="random", image_size_px=64, taps="middle", views="flip", precision="f32")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(shapes: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Its run folder is not to be changed: exports go elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(new_cache()))
        return train(str(shapes), TINY, TrainSettings(runs=tmp_path_factory.mktemp("tiny-runs"), report=False))


@pytest.fixture(scope="session")
def exporting(tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Exporting:
    """Exports of `tiny`, each made once. int8 with --force: on five pictures one flip is more than the limit."""
    home = tmp_path_factory.mktemp("exports")

    @cache
    def made(name: str, precision: str, resize_inside: bool) -> Export:
        out = home / f"{name}-{precision}-{resize_inside}"
        settings = ExportSettings(
            format=name, precision=precision, resize_inside=resize_inside, out=out, force=precision == "int8"
        )
        return export(str(tiny.folder), settings)

    def asked(name: str, precision: str, *, resize_inside: bool = False) -> Export:
        return made(name, precision, resize_inside)

    return asked
