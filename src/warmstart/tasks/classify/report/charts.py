"""The drawings of a report. Each is about 360 wide, so that a telephone shows it without shrinking its letters.

`accuracies`   accuracy with its interval, beside what it has to be compared with
`reliability`  how often predictions are right over how sure they are
`depth`        what a probe reads at each stage
`scatter`      the map of the data set
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from warmstart.report.line_charts import WIDTH
from warmstart.report.printable import percent, printable
from warmstart.report.svg import Axes, drawing, tag, text, ticks
from warmstart.tasks.classify.temperature import Bin

COLOURS, SHAPES = 8, 5  # as in report.css and `_SHAPES`; without a common factor: 40 classes before two look alike


@dataclass(frozen=True, kw_only=True)
class Bar:
    """An accuracy, 0 … 1."""

    label: str
    value: float
    interval: tuple[float, float] | None = None
    ours: bool = False


def accuracies(bars: Sequence[Bar]) -> Markup:
    """A bar each, whiskers where there is an interval."""
    left, right, row = 8.0, WIDTH - 8.0, 42.0
    parts = []
    for number, bar in enumerate(bars):
        top = 16 + row * number
        across = left + (right - left) * bar.value
        parts.append(text(bar.label, left, top, class_="label"))
        shown = percent(bar.value) + ("" if bar.interval is None else " ({} to {})".format(*map(percent, bar.interval)))
        parts.append(text(shown, right, top, anchor="end", class_="value"))
        parts.append(tag("rect", x=left, y=top + 6, width=right - left, height=14, class_="track"))
        parts.append(tag("rect", x=left, y=top + 6, width=across - left, height=14, class_="bar ours" if bar.ours else "bar"))
        if bar.interval is not None:
            low, high = (left + (right - left) * edge for edge in bar.interval)
            parts.append(
                tag(
                    "path",
                    d=f"M{low:.1f},{top + 8}v10M{low:.1f},{top + 13}H{high:.1f}M{high:.1f},{top + 8}v10",
                    class_="whisker",
                )
            )
    said = "; ".join(f"{bar.label} {percent(bar.value)}" for bar in bars)
    return drawing(WIDTH, 16 + row * len(bars) - 14, *parts, title=f"Accuracy: {said}")


def reliability(bins: Sequence[Bin], name: str) -> Markup:
    """A bar a bin, as high as its predictions are right; on the diagonal they would be as often right as they are sure."""
    axes = Axes(left=42, top=24, width=206, height=206, x=(0, 1), y=(0, 1))
    quarters = [(v / 4, percent(v / 4, 0)) for v in range(5)]
    parts = [axes.frame("probability said", "share that was right", quarters, quarters)]
    most = max((b.count for b in bins), default=1) or 1
    for b in bins:
        if not b.count:
            continue
        (x0, y), (x1, floor) = axes.at(b.low, b.accuracy), axes.at(b.high, 0)
        about = tag("title", f"said {percent(b.confidence, 0)} on average, right {percent(b.accuracy, 0)}, {b.count} pictures")
        share = round(0.25 + 0.75 * (b.count / most) ** 0.5, 2)  # many pictures: a full colour
        parts.append(
            tag("rect", about, x=x0 + 0.8, y=y, width=x1 - x0 - 1.6, height=floor - y, class_="bin", fill_opacity=share)
        )
    parts.append(axes.line([(0, 0), (1, 1)], "level"))
    return drawing(
        276, 268, *parts, title=f"Reliability {name}: see the sentence beside it for the numbers", class_="chart square"
    )


def depth(stages: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy of a probe at each stage with its interval; stages as `inspection.depth.StageProbe` writes them."""
    values = [float(stage["accuracy"]) for stage in stages]
    intervals = [stage.get("accuracy_ci95") or (value, value) for stage, value in zip(stages, values, strict=True)]
    low, high = min(edges[0] for edges in intervals), max(edges[1] for edges in intervals)
    room = 0.06 * (high - low) or 0.05
    axes = Axes(left=42, top=24, width=WIDTH - 60, height=150, x=(0, max(1, len(stages) - 1)), y=(low - room, high + room))
    parts = [axes.frame("", "accuracy of a probe", [], [(v, percent(v, 0)) for v in ticks(low - room, high + room)])]
    parts.append(axes.line(list(enumerate(values)), "series s0"))
    for i, (stage, value, edges) in enumerate(zip(stages, values, intervals, strict=True)):
        (x, y), (_, bottom), (_, top) = axes.at(i, value), axes.at(i, edges[0]), axes.at(i, edges[1])
        name = printable(str(stage["tap"]))
        parts.append(tag("text", name, transform=f"translate({x + 3:.1f},190) rotate(-40)", text_anchor="end", class_="tick"))
        parts.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="whisker"))
        parts.append(tag("circle", tag("title", f"{name}: {percent(value)}"), cx=x, cy=y, r=3, class_="dot s0"))
    said = "; ".join(f"{stage['tap']} {percent(value)}" for stage, value in zip(stages, values, strict=True))
    return drawing(WIDTH, 232, *parts, title=f"Accuracy of a probe by stage: {said}")


def look(label: int) -> tuple[int, int]:
    """(colour, shape) of a class."""
    return label % COLOURS, label % SHAPES


# Within a square of side 8 around (0, 0).
_SHAPES = (
    "M-3.4,0a3.4,3.4 0 1 0 6.8,0a3.4,3.4 0 1 0-6.8,0",
    "M-3,-3h6v6h-6z",
    "M0,-4L4,3.2H-4z",
    "M0,-4.4L4.4,0L0,4.4L-4.4,0z",
    "M0,4L4,-3.2H-4z",
)


def mark(label: int) -> Markup:
    """The sign of a class, for a legend."""
    colour, shape = look(label)
    return tag(
        "svg", tag("path", d=_SHAPES[shape], class_=f"mark k{colour}"), viewBox="-5 -5 10 10", class_="sign", aria_hidden="true"
    )


def scatter(points: Sequence[tuple[float, float]], labels: Sequence[int]) -> Markup:
    """A sign a picture, at coordinates 0 … 1. The page's script tells which is pointed at, by its place among the signs."""
    side, edge = 360.0, 8.0
    signs = []
    for (x, y), label in zip(points, labels, strict=True):
        colour, shape = look(label)
        at = f"translate({edge + (side - 2 * edge) * x:.1f},{edge + (side - 2 * edge) * (1 - y):.1f})"
        signs.append(tag("path", d=_SHAPES[shape], transform=at, class_=f"mark k{colour} c{label}"))
    return drawing(
        side, side, *signs, title=f"Map of {len(points):,} pictures; alike ones lie together", class_="chart map", id_="map"
    )
