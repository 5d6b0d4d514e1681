"""Lines over one axis, for a page: about 360 wide, so that a telephone shows them without shrinking their letters."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from warmstart.report.printable import percent
from warmstart.report.svg import Axes, drawing, tag, text, ticks

WIDTH = 360.0
SERIES = 6


@dataclass(frozen=True, kw_only=True)
class Line:
    """A named row of points."""

    name: str
    points: Sequence[tuple[float, float]]


def learning(
    lines: Sequence[Line], *, x_label: str, y_label: str, shares: bool, level: tuple[str, float] | None = None
) -> Markup:
    """Lines over one axis; ``level`` is a named horizontal one. The names stand in the page's own legend, see `legend`."""
    values = [y for line in lines for _, y in line.points] + ([level[1]] if level else [])
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05
    low, high = (max(0.0, low - room), min(1.0, high + room) if shares else high + room)
    last = max(x for line in lines for x, _ in line.points) or 1.0
    axes = Axes(left=42, top=24, width=WIDTH - 52, height=168, x=(0, last), y=(low, high))
    shown = [(v, percent(v, 0) if shares else f"{v:.2g}") for v in ticks(low, high)]
    parts = [axes.frame(x_label, y_label, [(v, f"{v:,.4g}") for v in ticks(0, last)], shown)]
    if level:
        parts.append(axes.line([(0, level[1]), (last, level[1])], "level"))
        x, y = axes.at(last, level[1])
        parts.append(text(level[0], x, y - 4, anchor="end", class_="tick"))
    for number, line in enumerate(lines):
        style = f"series s{number % SERIES}"
        if len(line.points) > 1:
            parts.append(axes.line(line.points, style))
        for x, y in line.points if len(line.points) <= 40 else line.points[-1:]:
            cx, cy = axes.at(x, y)
            parts.append(tag("circle", cx=cx, cy=cy, r=2.6, class_=f"dot s{number % SERIES}"))
    said = "; ".join(f"{line.name} from {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in lines)
    return drawing(WIDTH, 230, *parts, title=f"{y_label} over {x_label}: {said}")
