import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from drawn_shapes import draw_shape
from warmstart.report.thumbnails import SIDE_PX, Thumbnails


@pytest.mark.parametrize("size", [(640, 200), (200, 640), (8, 8), (1, 900)])
def test_a_thumbnail_keeps_the_shape_of_its_picture_and_is_never_larger(tmp_path: Path, size: tuple[int, int]) -> None:
    path = str(tmp_path / "x.png")
    draw_shape("circle", 1).resize(size).save(path)
    thumbnails = Thumbnails()
    thumbnails.add([path])
    with Image.open(io.BytesIO(base64.b64decode(thumbnails.images[path]))) as small:
        assert small.format == "JPEG"
        assert max(small.size) <= min(SIDE_PX, max(size))
        if min(size) >= 8:
            assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.05)


def test_those_asked_for_first_are_kept_and_each_is_made_once(tmp_path: Path) -> None:
    paths = []
    for seed in range(12):
        paths.append(str(tmp_path / f"{seed}.png"))
        draw_shape("stripes", seed).save(paths[-1])
    all_of_them = Thumbnails()
    all_of_them.add([*paths, *paths])
    assert list(all_of_them.images) == paths
    half = sum(len(all_of_them.images[path]) for path in paths[:6])
    few = Thumbnails(budget_bytes=half)
    few.add(paths[:3])
    few.add(paths)
    assert list(few.images) == paths[:6]
    assert few.size_bytes == half
    assert few.without_room == set(paths[6:])
    few.add(paths)
    assert len(few.images) == 6


def test_missing_and_broken_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing more")
    thumbnails = Thumbnails()
    thumbnails.add([str(tmp_path / "gone.png"), str(tmp_path / "broken.jpg")])
    assert len(thumbnails.unreadable) == 2
    assert not thumbnails.images
