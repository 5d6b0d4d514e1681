"""What pictures lose on their way into the network is said once a data set, and a normal data set has nothing said of it."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from drawn_shapes import CLASSES, draw_folder, draw_shape, set_back
from warmstart.cli import tables
from warmstart.data.listing import read_listing
from warmstart.data.one_colour import loss_of
from warmstart.data.views import resize
from warmstart.plan import Plan
from warmstart.records import Depth, Facts, Notice, Picture, Problem, ValueRange
from warmstart.session.dataset import prepare
from warmstart.session.progress import NullProgress
from warmstart.session.run_folder import read_plan
from warmstart.session.settings import TrainSettings
from warmstart.session.what_is_lost import before_blame, notices, seen_of
from warmstart.store.cache import Store
from warmstart.tasks.classify.advice.advise import advise
from warmstart.tasks.classify.doctor.examination import doctor, write
from warmstart.tasks.classify.targets import alike_names
from warmstart.workflows.inspect import inspect
from warmstart.workflows.train import train
from workspaces import session_of

SMALL = Plan(image_size_px=64)


def picture(name: str, width: int = 100, height: int = 100, **facts: Any) -> Picture:
    of = Facts(**{"format": "png", "width": width, "height": height, "mode": "RGB"} | facts)
    return Picture(path=name, digest=name.encode().ljust(16), facts=of)


def kinds(found: tuple[Notice, ...]) -> list[str]:
    return [notice.kind for notice in found]


def elongated(folder: Path, per_class: int = 8) -> Path:
    """Shapes that lie at one end of a strip: a centre crop shows none of them."""
    for class_name in CLASSES:
        (folder / class_name).mkdir(parents=True)
        for seed in range(per_class):
            strip = Image.new("RGB", (400, 80), (30, 30, 30))
            strip.paste(draw_shape(class_name, seed).resize((80, 80)), (320 * (seed % 2), 0))
            strip.putpixel((100, 40), (30, 30, 30 + seed))  # no two with the same bytes
            strip.save(folder / class_name / f"{seed}.png")
    set_back(folder)
    return folder


def test_the_share_that_is_seen_is_told_with_the_median_and_the_worst_tenth() -> None:
    photographs = [picture(str(i), 600, 400) for i in range(9)]
    seen = seen_of([*photographs, picture("panorama", 3000, 300)], "crop")
    assert (seen.pictures, seen.median, seen.worst_tenth) == (10, round(0.875**2 / 1.5, 4), round(0.875**2 / 10, 4))
    for mode in ("squash", "pad"):
        whole = seen_of([picture("panorama", 3000, 300)], mode)
        assert (whole.median, whole.worst_tenth, whole.little) == (1.0, 1.0, False)
    broken = Picture(path="broken", digest=b"b" * 16)
    assert seen_of([broken], "crop").to_dict() == {"resize": "crop", "pictures": 0, "median": None, "worst_tenth": None}
    assert notices([broken], resize="crop") == ()


@pytest.mark.parametrize(("width", "height", "said"), [(100, 100, False), (400, 300, False), (300, 200, False), (200, 300, False),
                                                       (1920, 1080, True), (100, 250, True), (4000, 400, True)])  # fmt: skip
def test_square_pictures_and_photographs_are_nobodys_loss_and_elongated_ones_are_said(
    width: int, height: int, said: bool
) -> None:
    found = notices([picture(str(i), width, height) for i in range(20)], resize="crop")
    assert kinds(found) == ["cropped"] * said
    assert notices([picture(str(i), width, height) for i in range(20)], resize="pad") == ()
    if said:
        share = f"{100 * 0.875**2 * min(width, height) / max(width, height):.0f} %"
        assert all(words in found[0].message for words in (share, "20 pictures", "--resize squash", "--resize pad"))
        assert found[0].pictures == 20
        assert share in (before_blame(seen_of([picture("a", width, height)], "crop")) or "")


def test_a_tenth_of_panoramas_is_said_and_a_hundredth_is_not() -> None:
    square = [picture(str(i)) for i in range(90)]
    long = [picture(f"long {i}", 1000, 100) for i in range(10)]
    (notice,) = notices([*square, *long], resize="crop")
    assert (notice.pictures, notice.paths) == (10, ("long 0", "long 1", "long 2"))
    assert notices([*square, *square, *long[:1]], resize="crop") == ()


def test_pages_cures_losses_and_kept_damage_are_said_once_each_with_count_and_three_names() -> None:
    values = ValueRange(bits=16)
    found = notices(
        [
            *(picture(f"{i}.tif", pages=i + 1) for i in range(5)),
            picture("glyph.png", cure="on-black"),
            *(picture(f"hidden {i}.png", lost="its transparency hides what it shows") for i in range(4)),
            picture("dark.tif", depth=Depth(bits=8)),
            picture("fine.tif", depth=Depth(bits=12)),
            picture("cut.jpg", damage="the file ends early"),
        ],
        resize="crop",
        values=values,
        keep_damaged=True,
    )
    assert kinds(found) == ["one-colour", "one-colour", "cured", "pages", "damaged"]
    hidden, dark, cured, pages, damaged = found
    assert (hidden.pictures, hidden.paths) == (4, ("hidden 0.png", "hidden 1.png", "hidden 2.png"))
    assert "4 pictures" in hidden.message
    assert "hidden 3.png" not in hidden.message
    assert (dark.paths, cured.paths, damaged.paths) == (("dark.tif",), ("glyph.png",), ("cut.jpg",))
    assert (pages.pictures, pages.paths) == (4, ("1.tif", "2.tif", "3.tif"))
    assert "10 are not" in pages.message


def test_damaged_pictures_are_said_to_be_used_only_where_they_are() -> None:
    of = [picture("cut.jpg", damage="the file ends early")]
    assert notices(of, resize="crop", keep_damaged=False) == ()
    assert "used all the same" in notices(of, resize="crop", keep_damaged=True)[0].message
    assert "left out, unless" in notices(of, resize="crop", keep_damaged=None)[0].message


def test_class_names_that_look_alike_are_named_in_pairs() -> None:
    names = ["Cat", "cat", "dog", "do\u200bg", "\u0441at", "straße", "STRASSE", "bird house", "bird  house", "ﬁsh", "fish"]
    (notice,) = alike_names(names)
    assert (notice.kind, notice.pictures) == ("alike-names", 0)
    assert "7 pairs of class names look alike" in notice.message
    assert "'bird  house' and 'bird house' (they differ in space)" in notice.message
    assert "'cat' and '\\u0441at' (they differ in letters of another alphabet)" in notice.message
    assert "'dog' and 'do\\u200bg' (they differ in characters that cannot be seen)" in notice.message
    assert "'STRASSE' and 'straße' (they differ in capital letters)" in notice.message
    assert alike_names(["cat", "dog", "doge", "1", "10", "é", "e", "ü", "u"]) == ()


def whole(pixels: np.ndarray) -> tuple[np.ndarray, Image.Image]:
    """The plain view at 64 px by the centre crop, and the picture."""
    image = Image.fromarray(pixels).convert("RGB")
    return resize(image, size_px=64, mode="crop"), image


def test_what_the_crop_cut_away_is_told_from_what_is_too_small_and_from_what_is_one_colour_itself() -> None:
    empty = np.full((80, 400, 3), 30, np.uint8)
    assert loss_of(*whole(empty), mode="crop", lossless=True) is None
    at_an_end = empty.copy()
    at_an_end[20:60, 10:50] = 200
    assert loss_of(*whole(at_an_end), mode="crop", lossless=True) == "crop"
    in_the_middle = empty.copy()
    in_the_middle[20:60, 180:220] = 200
    assert loss_of(*whole(in_the_middle), mode="crop", lossless=True) is None
    dots = np.full((2000, 2000, 3), 128, np.uint8)
    dots[::28, ::28] = 255
    dots[14::28, 14::28] = 1
    assert loss_of(*whole(dots), mode="crop", lossless=True) == "resize"


def test_a_mask_of_labels_is_told_from_a_dark_frame_with_noise() -> None:
    random = np.random.default_rng(0)
    mask = np.zeros((120, 120), np.uint8)
    mask[10:50, 10:60], mask[60:110, 30:100] = 1, 3
    assert loss_of(*whole(mask), mode="crop", lossless=True) == "levels"
    assert loss_of(*whole(mask), mode="crop", lossless=False) is None
    for chance in (0.5, 0.05, 0.01):
        noise = (random.random((120, 120)) < chance).astype(np.uint8)
        assert loss_of(*whole(noise), mode="crop", lossless=True) is None
    assert loss_of(*whole(np.full((50, 50), 255, np.uint8)), mode="crop", lossless=True) is None


def test_a_normal_folder_has_nothing_said_of_it(shapes: Path) -> None:
    result = inspect(str(shapes))
    assert result.notices == ()
    assert result.problems == ()
    assert result.seen.median is not None
    assert 0.5 < result.seen.median < 0.77
    assert "seen" in result.to_dict()


def test_elongated_pictures_are_said_by_every_verb_and_the_cure_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = elongated(tmp_path / "data")
    settings = TrainSettings(runs=tmp_path / "runs", strict=True, heat_maps=False, findings=False)  # not even --strict fails
    share = f"{100 * 0.875**2 / 5:.0f} %"

    inspected = inspect(str(data))
    assert inspected.notices[0].kind == "cropped"
    assert inspected.to_dict()["seen"] == {"resize": "crop", "pictures": 24, "median": 0.1531, "worst_tenth": 0.1531}

    cold = train(str(data), SMALL, settings)
    said = json.loads((cold.folder / "run.json").read_text())["data"]
    assert [n["kind"] for n in said["notices"]] == ["cropped", "one-colour"]
    assert (said["notices"][1]["pictures"], "--resize squash or pad" in said["notices"][1]["message"]) == (24, True)
    assert said["seen"]["median"] == 0.1531
    assert said["problems"] == []

    warm = train(str(data), SMALL, settings)
    assert warm.record.cache.misses == 0
    assert warm.record.data.notices == cold.record.data.notices

    out = io.StringIO()
    monkeypatch.setattr(tables, "console", lambda: Console(file=out, width=80, highlight=False))
    tables.train(cold.record)
    tables.inspect(inspected)
    assert out.getvalue().count(f"The network sees {share} of the median picture") == 2
    assert max(map(len, out.getvalue().split("written to")[0].splitlines())) <= 80

    report = (cold.folder / "report.html").read_text()
    assert f"The network sees {share} of the median picture" in report
    assert "--resize pad" in report.split('id="next"')[1]

    diagnosis = doctor(str(data), SMALL, settings)
    assert [n["kind"] for n in diagnosis.to_dict()["notices"]] == ["cropped", "one-colour"]
    write(diagnosis, fix_list=None, page=tmp_path / "page.html", watcher=NullProgress())
    assert f"The network sees {share} of the median picture" in (tmp_path / "page.html").read_text()

    first = advise(str(data), SMALL, settings).to_dict()["advice"]["reasons"][0]
    assert (f"sees {share}" in first["text"], "Before labels are doubted" in first["text"]) == (True, True)

    with Store(tmp_path / "store", 2**24) as store:
        padded = prepare(read_listing(str(data)), replace(SMALL, resize="pad"), session_of(store)).record()
    assert padded.notices == ()
    assert padded.seen["worst_tenth"] == 1.0


def test_label_masks_white_glyphs_and_pages_are_named_cold_and_warm(tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 6)
    mask = Image.new("L", (90, 90))
    ImageDraw.Draw(mask).rectangle((10, 10, 50, 60), fill=3)
    mask.save(data / "square" / "mask.png")
    glyph = Image.new("RGBA", (90, 90), (255, 255, 255, 0))
    ImageDraw.Draw(glyph).ellipse((20, 20, 70, 70), fill=(255, 255, 255, 255))
    glyph.save(data / "circle" / "glyph.png")
    pages = [draw_shape("stripes", seed) for seed in (50, 51, 52)]
    pages[0].save(data / "stripes" / "pages.tif", save_all=True, append_images=pages[1:])
    set_back(data)
    settings = TrainSettings(runs=tmp_path / "runs", report=False, findings=False)
    told = [
        inspect(str(data)).notices,
        *(train(str(data), SMALL, settings).record.data.notices for _ in "12"),
        doctor(str(data), SMALL, settings).notices,
    ]
    assert all(one == told[0] for one in told)
    masks, cured, several = told[0]
    assert (masks.kind, masks.paths) == ("one-colour", (str(data / "square" / "mask.png"),))
    assert (cured.kind, cured.paths) == ("cured", (str(data / "circle" / "glyph.png"),))
    assert (several.kind, several.paths, "2 are not" in several.message) == (
        "pages",
        (str(data / "stripes" / "pages.tif"),),
        True,
    )


def test_damaged_pictures_are_left_out_by_name_and_used_with_keep_damaged(tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 6)
    cut = data / "circle" / "0.png"
    content = bytearray(cut.read_bytes())
    content[content.index(b"IEND") - 5] ^= 1  # the last byte of the checksum of the pixels
    cut.write_bytes(content)
    set_back(data)
    settings = TrainSettings(runs=tmp_path / "runs", report=False, findings=False)

    def of(problems: Sequence[Problem]) -> list[tuple[str, str]]:
        return [(p.kind, p.path) for p in problems]

    left_out = train(str(data), SMALL, settings)
    assert left_out.record.data.images == 17
    assert of(left_out.record.data.problems) == [("damaged", str(cut))]
    assert "--keep-damaged" in left_out.record.data.problems[0].message
    inspected = inspect(str(data))
    assert (inspected.images, of(inspected.problems)) == (17, [("damaged", str(cut))])
    assert doctor(str(data), SMALL, settings).images == 17

    kept = train(str(data), replace(SMALL, keep_damaged=True), settings)
    assert kept.record.data.images == 18
    assert kept.record.data.problems == ()
    assert [n.kind for n in kept.record.data.notices] == ["damaged"]
    assert read_plan(kept.folder / "plan.json").keep_damaged
    assert doctor(str(data), replace(SMALL, keep_damaged=True), settings).images == 18

    from warmstart.workflows.evaluate import evaluate
    from warmstart.workflows.predict import predict

    for run, says in ((left_out, 17), (kept, 18)):
        assert evaluate(str(run.folder), str(data)).images == says
        assert evaluate(str(run.folder), str(data), keep_damaged=True).images == 18
        assert evaluate(str(run.folder), str(data), keep_damaged=False).images == 17
        (one,) = (p := predict(str(run.folder), [str(cut)])).predictions or p.problems
        assert isinstance(one, Problem) == (says == 17)
        assert predict(str(run.folder), [str(cut)], keep_damaged=True).problems == ()
        assert of(predict(str(run.folder), [str(cut)], keep_damaged=False).problems) == [("damaged", str(cut))]
