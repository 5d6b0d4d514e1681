"""Drawings of a page: well-formed, inside their frame, saying in words what they show."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmstart.report import line_charts
from warmstart.report.svg import Axes, tag, ticks
from warmstart.tasks.classify.report import charts
from warmstart.tasks.classify.temperature import Bin


def numbers(svg: str, *names: str) -> list[float]:
    tree = ElementTree.fromstring(svg)
    return [float(value) for element in tree.iter() for name in names if (value := element.get(name)) is not None]


def test_text_and_attributes_are_escaped() -> None:
    drawn = tag("text", "<a & b>", title='"x"', stroke_width=1.23456789, class_="k", gone=None)
    assert drawn == '<text title="&#34;x&#34;" stroke-width="1.2346" class="k">&lt;a &amp; b&gt;</text>'


@given(low=st.floats(-1e4, 1e4), span=st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 7
    room = 1e-6 * span + 1e-9 * abs(low)
    assert all(low - room <= value <= low + span + room for value in found)


def test_axes_put_their_corners_where_they_are() -> None:
    axes = Axes(left=10, top=20, width=100, height=50, x=(0, 2), y=(-1, 1))
    assert axes.at(0, -1) == (10, 70)
    assert axes.at(2, 1) == (110, 20)
    assert axes.at(1, 0) == (60, 45)


def test_bars_are_as_long_as_their_accuracies() -> None:
    bars = [charts.Bar(label="<ours>", value=0.9, interval=(0.85, 0.94), ours=True), charts.Bar(label="other", value=0.45)]
    drawn = charts.accuracies(bars)
    widths = [w for w in numbers(drawn, "width") if w < 344]
    assert widths[0] == pytest.approx(2 * widths[1], rel=1e-3)
    assert "&lt;ours&gt;" in drawn
    assert "other 45.0\u00a0%" in ElementTree.fromstring(drawn).get("aria-label", "")


@pytest.mark.parametrize("points", [[(0, 0.5)], [(0, 0.5), (1, 0.5)], [(float(i), i / 99) for i in range(100)]])
def test_learning_curves_stay_in_their_frame(points: list[tuple[float, float]]) -> None:
    lines = [line_charts.Line(name="a", points=points), line_charts.Line(name="b", points=points[:1])]
    drawn = line_charts.learning(lines, x_label="epochs", y_label="accuracy", shares=True, level=("majority", 0.3))
    assert all(0 <= x <= 360 for x in numbers(drawn, "cx", "x", "x1", "x2"))
    assert all(0 <= y <= 230 for y in numbers(drawn, "cy", "y", "y1", "y2"))


def test_reliability_has_a_bar_for_each_bin_that_holds_pictures() -> None:
    bins = [Bin(0.0, 0.5, 0, 0.0, 0.0), Bin(0.5, 0.75, 4, 0.5, 0.6), Bin(0.75, 1.0, 16, 1.0, 0.9)]
    tree = ElementTree.fromstring(charts.reliability(bins, "x"))
    bars = [element for element in tree.iter() if element.get("class") == "bin"]
    assert [float(bar.get("height", 0)) for bar in bars] == pytest.approx([103, 206])
    assert [float(bar.get("fill-opacity", 0)) for bar in bars] == pytest.approx([0.62, 1.0], abs=0.01)
    assert "right 50\u00a0%, 4 pictures" in "".join(tree.itertext())


def test_forty_classes_have_signs_of_their_own() -> None:
    assert len({charts.look(label) for label in range(40)}) == 40


def test_a_map_has_a_sign_a_picture_inside_its_frame() -> None:
    tree = ElementTree.fromstring(charts.scatter([(0, 0), (1, 1), (0.5, 0.2)], [0, 1, 9]))
    signs = [element.get("transform", "") for element in tree.iter() if element.tag.endswith("path")]
    assert signs == ["translate(8.0,352.0)", "translate(352.0,8.0)", "translate(180.0,283.2)"]


def test_a_depth_profile_names_its_stages() -> None:
    drawn = charts.depth([{"tap": "stem", "accuracy": 0.5, "accuracy_ci95": [0.4, 0.6]}, {"tap": "stage<1>", "accuracy": 0.7}])
    words = "".join(ElementTree.fromstring(drawn).itertext())
    assert "stage<1>" in words
    assert "stem: 50.0\u00a0%" in words
