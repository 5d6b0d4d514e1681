"""Views by a callable of one's own: drawn by content and name, kept where the callable has an id, refused where they do not fit."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

import warmstart as ws
from drawn_shapes import draw_shape
from warmstart.errors import UsageError
from warmstart.extraction.own_views import OwnViews
from warmstart.extraction.rendering import PICTURES
from warmstart.extraction.scanning import picture_of
from warmstart.records import Preprocessing

HOW = Preprocessing(size_px=32)


def transform(name: str | None = "mine") -> Any:
    made = v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(0.5), v2.RandomResizedCrop(32, scale=(0.5, 1))])
    if name:
        made.id = name
    return made


def test_a_view_hangs_on_picture_and_name_alone() -> None:
    picture = picture_of(draw_shape("circle", 0), name="a")
    views = OwnViews.of(transform())
    names = views.names(4)
    assert names[0] == "plain"
    rendered, _ = views.render(picture, names, HOW)
    (plain,), _ = PICTURES.render(picture, ["plain"], HOW)
    assert (rendered[0] == plain).all()
    assert len({view.tobytes() for view in rendered}) == 4
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    again, _ = OwnViews.of(transform()).render(picture, [names[2]], HOW)
    assert (again[0] == rendered[2]).all()
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()


def test_the_id_names_the_rows_and_without_one_they_are_for_this_run() -> None:
    assert OwnViews.of(transform()).names(2) == OwnViews.of(transform()).names(2) != OwnViews.of(transform("other")).names(2)
    first, second = OwnViews.of(transform(None)), OwnViews.of(transform(None))
    assert not first.lasting
    assert first.names(2) != second.names(2)
    assert all(len(name) <= 16 for name in OwnViews.of(transform()).names(1_000_000)[-1:])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (v2.Resize(16), r"gives uint8 \(3, 16, 16\) for uint8 \(3, 32, 32\)"),
        (v2.ToDtype(torch.float32, scale=True), "gives float32"),
        (lambda pixels: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_does_not_fit_is_said(made: Callable[[Any], Any], said: str) -> None:
    views = OwnViews.of(made)
    with pytest.raises(UsageError, match=said):
        views.render(picture_of(draw_shape("circle", 0), name="a"), views.names(2), HOW)
    with pytest.raises(UsageError, match="augment is 7"):
        OwnViews.of(7)


def test_a_network_learns_from_them_and_a_second_run_computes_none(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    class Dims:
        """A callable that is no transform of torchvision's."""

        id = "dims by a half"

        def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels // 2

    def run() -> Any:
        return ws.train(
            shapes,
            cut="stage6",
            augment=Dims(),
            augment_views=2,
            training={"epochs": 1},
            batch_size=8,
            image_size_px=64,
            runs=tmp_path,
            report=False,
            quiet=True,
        )

    first, second = run(), run()
    assert first.record.plan.augment == "given"
    assert first.record.cache.misses > second.record.cache.misses == 0
    assert [row.val_loss for row in first.record.training.epochs] == [row.val_loss for row in second.record.training.epochs]
    with pytest.raises(UsageError, match="give it again"):
        ws.train(shapes, first.record.plan, runs=tmp_path, quiet=True)
