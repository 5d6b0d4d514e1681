"""Drawing for a page: SVG elements as escaped text, and a pair of axes. Colours come from the page's style sheet, by class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from warmstart.report.printable import printable


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """An element. Text and values are escaped; ``stroke_width`` becomes stroke-width and ``class_`` class; None leaves one out."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inside)


def text(content: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """A line of text at (x, y)."""
    return tag("text", printable(content), x=x, y=y, text_anchor=anchor, class_=class_)


def drawing(width: float, height: float, *parts: Markup, title: str, class_: str = "chart", id_: str | None = None) -> Markup:
    """The whole picture, which scales with the page; ``title`` says in words what is to be seen, for those who do not see it."""
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=printable(title),
        class_=class_,
        id_=id_,
    )


@dataclass(frozen=True, kw_only=True)
class Axes:
    """A rectangle in a drawing, and the numbers at its edges."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where in the drawing a point lies."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return self.left + self.width * across, self.top + self.height * (1 - up)

    def line(self, points: Sequence[tuple[float, float]], class_: str) -> Markup:
        """Points joined."""
        joined = " ".join("{:.1f},{:.1f}".format(*self.at(x, y)) for x, y in points)
        return tag("polyline", points=joined, class_=class_)

    def frame(
        self, x_label: str, y_label: str, x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]]
    ) -> Markup:
        """Both axes with their ticks and names."""
        parts = [text(y_label, 2, self.top - 9, class_="label")]
        bottom = self.top + self.height
        parts.append(text(x_label, self.left + self.width, bottom + 30, anchor="end", class_="label"))
        for value, shown in y_ticks:
            _, y = self.at(self.x[0], value)
            parts.append(tag("line", x1=self.left, x2=self.left + self.width, y1=y, y2=y, class_="grid"))
            parts.append(text(shown, self.left - 5, y + 4, anchor="end", class_="tick"))
        for value, shown in x_ticks:
            x, _ = self.at(value, self.y[0])
            parts.append(text(shown, x, bottom + 15, anchor="middle", class_="tick"))
        parts.append(tag("line", x1=self.left, x2=self.left + self.width, y1=bottom, y2=bottom, class_="axis"))
        return Markup("").join(parts)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from low to high, about as many as wanted."""
    span = (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(span / wanted))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= wanted)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
