import math
import re
import subprocess
import sys
import warnings
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image, ImageFont

from patience import PATIENCE_S
from warmstart.evaluation.learning_curves import CurvePoint, LearningCurve
from warmstart.report.learning_rates import draw_learning_rates
from warmstart.tasks.classify.report.curves import draw_curves

SVG = "{http://www.w3.org/2000/svg}"


def curve(name: str, start: float, end: float, first_s: float, last_s: float, epochs: int) -> LearningCurve:
    """From start to end, ever more slowly."""
    share = [1 - math.exp(-3 * epoch / epochs) if epochs else 0.0 for epoch in range(epochs + 1)]
    return LearningCurve(
        name=name,
        points=tuple(
            CurvePoint(
                epoch=epoch,
                seconds=first_s + (last_s - first_s) * epoch / max(epochs, 1),
                train_loss=None if epoch == 0 else 0.5,
                val_loss=0.5,
                val_accuracy=start + (end - start) * share[epoch] / (share[-1] or 1),
            )
            for epoch in range(epochs + 1)
        ),
    )


FOUR = [
    curve("scratch", 0.37, 0.75, 3, 600, 40),
    curve("full@128", 0.62, 0.88, 22, 590, 14),
    curve("stage4", 0.87, 0.90, 24, 300, 12),
    curve("frozen", 0.86, 0.86, 18, 18, 0),
]
NEAR_EQUAL = [curve(f"plan {i}", 0.5 + 0.02 * i, 0.89 + 0.0005 * i, 10, 600, 20) for i in range(8)]
MANY = [curve(f"a plan with a name that is long enough to be broken {i}", 0.5, 0.6, 1, 9, 3) for i in range(30)]


def draw(
    folder: Path, curves: list[LearningCurve], *, title: str = "solar cells", budget_s: float | None = 600
) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return draw_curves(curves, majority_accuracy=0.63, budget_s=budget_s, title=title, folder=folder)


def draw_rates(folder: Path, suggestion: float = 3e-4) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rates = np.geomspace(1e-6, 0.3, 60)
    smoothed = 0.7 - 0.3 / (1 + (3e-3 / rates)) + 4 * rates
    losses = smoothed * (1 + 0.1 * np.sin(np.arange(60) * 2.3))
    return draw_learning_rates(rates.tolist(), losses.tolist(), smoothed.tolist(), suggestion, folder)


def texts(svg: Path) -> list[ElementTree.Element]:
    return list(ElementTree.parse(svg).iter(f"{SVG}text"))


def boxes(svg: Path) -> dict[str, tuple[float, float, float, float]]:
    """Where each text stands, in points: left, top, right, bottom of its letters. Measured with Pillow, not matplotlib."""
    path = font_manager.findfont("DejaVu Sans")
    found = {}
    for number, element in enumerate(texts(svg)):
        style, transform = element.get("style", ""), element.get("transform", "")
        size = re.search(r"([\d.]+)px", style)
        place = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", transform)
        x, y = (float(place[1]), float(place[2])) if place else (float(element.get("x", 0)), float(element.get("y", 0)))
        assert size is not None
        font = ImageFont.truetype(path, 10 * float(size[1]))  # ten times as large: Pillow's boxes are whole pixels
        left, top, right, bottom = (edge / 10 for edge in font.getbbox(element.text or "", anchor="ls"))
        if "text-anchor: middle" in style:
            left, right = left - right / 2, right / 2
        elif "text-anchor: end" in style:
            left, right = left - right, 0.0
        if "rotate(-90 " in transform:
            left, top, right, bottom = top, -right, bottom, -left
        found[f"{number}: {element.text}"] = (x + left, y + top, x + right, y + bottom)
    return found


@pytest.mark.parametrize("curves", [FOUR, NEAR_EQUAL, FOUR[3:], MANY], ids=["four", "near equal", "one", "many"])
def test_no_text_overlaps_another_or_leaves_the_picture(tmp_path: Path, curves: list[LearningCurve]) -> None:
    _, svg = draw(tmp_path, curves, title="A comparison of plans with a title that needs a second line " * 2)
    _, _, width, height = map(float, ElementTree.parse(svg).getroot().get("viewBox", "").split())
    placed = boxes(svg)
    assert len(placed) > 10
    for name, (left, top, right, bottom) in placed.items():
        assert left >= 0, name
        assert top >= 0, name
        assert right <= width, name
        assert bottom <= height, name
    for (name, a), (other, b) in combinations(placed.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{name!r} at {a} overlaps {other!r} at {b}"


def test_pictures_are_a_png_and_an_svg_of_1200_by_700_pixels(tmp_path: Path) -> None:
    for png, svg, name in ((*draw(tmp_path, FOUR), "curves"), (*draw_rates(tmp_path), "lr-find")):
        assert (png, svg) == (tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        with Image.open(png) as picture:
            assert (picture.format, picture.size) == ("PNG", (1200, 700))
            picture.verify()
        root = ElementTree.parse(svg).getroot()
        assert root.tag == f"{SVG}svg"
        assert root.get("viewBox") == "0 0 864 504"  # points, 72 to the inch; the PNG has 100 pixels to the inch


def test_very_many_plans_make_the_picture_higher(tmp_path: Path) -> None:
    png, _ = draw(tmp_path, MANY)
    with Image.open(png) as picture:
        assert picture.width == 1200
        assert picture.height > 1000


def test_axes_plans_budget_and_majority_class_are_named_in_text_that_can_be_searched(tmp_path: Path) -> None:
    _, svg = draw(tmp_path, FOUR)
    said = [element.text for element in texts(svg)]
    assert "solar cells" in said
    assert "wall-clock time since each plan began (seconds)" in said
    assert "accuracy on val (percent)" in said
    assert "budget 600 s" in said
    labels = ["scratch  best 75.0%", "full@128  best 88.0%", "stage4  best 90.0%", "frozen  86.0%", "majority class  63.0%"]
    assert set(labels) <= set(said)


def test_labels_stand_in_the_order_in_which_the_lines_end(tmp_path: Path) -> None:
    _, svg = draw(tmp_path, FOUR)
    tops = {text.split(": ")[1].split("  ")[0]: box[1] for text, box in boxes(svg).items()}
    assert tops["stage4"] < tops["full@128"] < tops["frozen"] < tops["scratch"] < tops["majority class"]


def test_the_search_for_a_learning_rate_names_its_axes_and_its_suggestion_beside_the_line(tmp_path: Path) -> None:
    for suggestion in (3e-4, 2e-6, 0.2, 1e-8):
        _, svg = draw_rates(tmp_path, suggestion)
        placed = {name.split(": ", 1)[1]: box for name, box in boxes(svg).items()}
        assert "learning rate (logarithmic)" in placed
        assert "training loss (dots: each step; line: smoothed)" in placed
        tick = {rate: (box[0] + box[2]) / 2 for rate, box in placed.items() if rate in ("0.0001", "0.01")}
        line = tick["0.0001"] + (tick["0.01"] - tick["0.0001"]) / 2 * math.log10(suggestion / 1e-4)
        left, top, right, _ = placed[f"suggestion {suggestion:.2g}"]
        assert 0 <= left <= right <= 864
        assert top >= 0
        assert right < line - 5 or left > line + 5


@pytest.mark.parametrize("picture", [lambda folder: draw(folder, FOUR), draw_rates], ids=["curves", "lr-find"])
def test_the_same_numbers_give_the_same_bytes_whatever_the_user_has_set_for_matplotlib(tmp_path: Path, picture) -> None:
    first = [path.read_bytes() for path in picture(tmp_path / "a")]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "other", "savefig.dpi": 30}):
        again = [path.read_bytes() for path in picture(tmp_path / "b")]
        assert matplotlib.rcParams["font.size"] == 30  # and leaves it so
    assert first == again


def test_names_that_look_like_formulas_markup_or_other_scripts_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = ["a$b_c$", "<b>&amp;", "日本", "bell\x07\nline", "no text\udcff", ""]
    curves = [curve(name, 0.5, 0.9, 1, 9, 3) for name in odd]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, svg = draw(tmp_path, curves, title="100 $ of \udcff & <more>")
    said = [element.text for element in texts(svg)]
    shown = ["a$b_c$", "<b>&amp;", "日本", r"bell\x07\nline", r"no text\udcff", ""]
    assert {f"{name}  best 90.0%".strip() for name in shown} <= {(text or "").strip() for text in said}
    assert r"100 $ of \udcff & <more>" in said


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_extremes_are_drawn_within_0_to_100_percent(tmp_path: Path, accuracy: float) -> None:
    """A single evaluation, in no time, as good as the majority class: nothing has an extent."""
    single = curve("frozen", accuracy, accuracy, 0, 0, 0)
    _, svg = draw_curves([single], majority_accuracy=accuracy, budget_s=None, title="", folder=tmp_path)
    ticks = [float(text) for element in texts(svg) if re.fullmatch(r"[-−\d.]+", text := (element.text or "").replace("−", "-"))]
    assert min(ticks) >= 0
    assert max(ticks) <= 100


def test_eight_plans_are_told_apart_without_colour() -> None:
    from warmstart.tasks.classify.report.curves import COLOURS, DASHES, MARKERS

    assert len(set(MARKERS)) >= 8
    alike = {(i % len(COLOURS), i % len(DASHES), i % len(MARKERS)) for i in range(360)}
    assert len(alike) == 360


def test_no_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no curves to draw"):
        draw(tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_drawing_imports_neither_pyplot_nor_torch(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from warmstart.evaluation.learning_curves import CurvePoint, LearningCurve
from warmstart.tasks.classify.report.curves import draw_curves
point = CurvePoint(epoch=0, seconds=18.0, train_loss=None, val_loss=0.3, val_accuracy=0.86)
curve = LearningCurve(name="frozen", points=(point,))
draw_curves([curve], majority_accuracy=0.63, budget_s=600, title="", folder=Path(sys.argv[1]))
print(sorted({"matplotlib.pyplot", "torch", "tkinter"} & set(sys.modules)))
"""
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
