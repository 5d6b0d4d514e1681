"""The picture of the depth profile: everything it is given stands in it, and the same numbers give the same bytes."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from warmstart.tasks.classify.evidence.depth import StageProbe
from warmstart.tasks.classify.report.depth_profile import draw_depth_profile

STAGES = [
    StageProbe(tap=tap, accuracy=a, accuracy_ci95=(a - 0.05, a + 0.05), knn_accuracy=a - 0.1, information_bits=a)
    for tap, a in (("stem", 0.4), ("stage1", 0.55), ("stage2", 0.8), ("pooled", 0.7))
]


def draw(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    return draw_depth_profile(
        STAGES, majority_accuracy=0.25, distances={"stem": 0.43, "stage2": 0.71}, title="photos <b> $1", folder=folder
    )


def test_stages_distances_baseline_and_title_can_be_read_in_it(tmp_path: Path) -> None:
    png, svg = draw(tmp_path / "a")
    assert png.read_bytes().startswith(b"\x89PNG")
    text = " ".join(ElementTree.parse(svg).getroot().itertext())
    for part in ("stem", "pooled", "0.43", "0.71", "majority class 25.0%", "photos <b> $1", "nearest neighbours"):
        assert part in text


def test_equal_numbers_give_equal_files(tmp_path: Path) -> None:
    for one, other in zip(draw(tmp_path / "a"), draw(tmp_path / "b"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stages"):
        draw_depth_profile([], majority_accuracy=0.5, distances={}, title="", folder=tmp_path)
