"""Pictures of a run of numbers, for its report: what was said over what is true, and where it is farthest off."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from warmstart.report.line_charts import WIDTH
from warmstart.report.run_record import RunRecord
from warmstart.report.svg import Axes, drawing, tag, ticks
from warmstart.report.task_page import Drawing, Figures

WORST = 24
MOST_POINTS = 2000


def figures(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Figures:
    """A scatter for each target; the pictures with the largest errors, each in deviations of its target."""
    targets = [name for name in record.data.of_task.get("targets", {}) if rows and f"{name} estimated" in rows[0]]
    if not targets:
        return Figures()
    drawings, errors = [], dict.fromkeys(range(len(rows)), 0.0)
    for name in targets:
        truth, said = ([float(row[column]) for row in rows] for column in (name, f"{name} estimated"))
        ends = [(float(row[f"{name} low"]), float(row[f"{name} high"])) for row in rows] if f"{name} low" in rows[0] else None
        drawings.append(
            Drawing(
                heading=f"{name}: estimated over true",
                drawing=scatter(truth, said, ends, name),
                note="A dot is a test picture; on the line the two are equal."
                + (" Upright lines are the intervals." if ends else ""),
            )
        )
        deviation = float(record.data.of_task["targets"][name]["deviation"]) or 1.0
        errors = {i: max(errors[i], abs(said[i] - truth[i]) / deviation) for i in errors}
    worst = sorted(errors, key=lambda i: -errors[i])[:WORST]
    return Figures(
        drawings=tuple(drawings),
        pictures=tuple((rows[i]["path"], _said(rows[i], targets)) for i in worst),
        pictures_note=f"The {len(worst)} test pictures that it is farthest off on, the worst first. A wrong number in the table looks "
        "like this too.",
    )


def scatter(truth: Sequence[float], said: Sequence[float], ends: Sequence[tuple[float, float]] | None, name: str) -> Markup:
    """Dots with their intervals, and the line on which both are equal."""
    low, high = min(*truth, *said), max(*truth, *said)
    room = 0.04 * (high - low) or 0.5
    low, high = low - room, high + room
    axes = Axes(left=46, top=24, width=WIDTH - 60, height=WIDTH - 60, x=(low, high), y=(low, high))
    shown = [(value, f"{value:,.4g}") for value in ticks(low, high)]
    parts = [axes.frame(f"true {name}", f"estimated {name}", shown, shown), axes.line([(low, low), (high, high)], "level")]
    step = max(1, len(truth) // MOST_POINTS)
    for i in range(0, len(truth), step):
        x, y = axes.at(truth[i], said[i])
        if ends is not None:
            (_, bottom), (_, top) = (axes.at(truth[i], min(max(end, low), high)) for end in ends[i])
            parts.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="whisker", opacity=0.25))
        parts.append(
            tag("circle", tag("title", f"true {truth[i]:.4g}, estimated {said[i]:.4g}"), cx=x, cy=y, r=2.6, class_="dot s0")
        )
    return drawing(WIDTH, WIDTH + 6, *parts, title=f"Estimated over true {name}: {len(truth)} test pictures", class_="chart")


def _said(row: Mapping[str, str], targets: Sequence[str]) -> str:
    return "; ".join(f"{name} {float(row[name]):.4g}, estimated {float(row[f'{name} estimated']):.4g}" for name in targets)
