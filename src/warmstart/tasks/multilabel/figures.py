"""Pictures of a run of labels, for its report: how well each label is ranked, whether probabilities hold, what is surely wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from warmstart.data.manifest import LABELS
from warmstart.report.line_charts import WIDTH
from warmstart.report.printable import percent
from warmstart.report.run_record import RunRecord
from warmstart.report.svg import Axes, drawing, tag, text
from warmstart.report.task_page import Drawing, Figures
from warmstart.tasks.multilabel.scores import LabelScores
from warmstart.tasks.multilabel.targets import flag, names_in

WORST = 24
MOST_BARS = 60
BINS = 10


def figures(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Figures:
    """A bar for each label, a diagram of reliability, the pictures with the most surely wrong entries."""
    names = [name for name in record.data.of_task.get("labels", {}) if rows and f"{name} probability" in rows[0]]
    drawings = []
    test: LabelScores | None = record.scores.get("test")
    if test is not None and test.map_macro is not None:
        drawings.append(
            Drawing(
                heading="Average precision of each label",
                drawing=bars(test.labels),
                note="The upright stroke is what always giving a label its share comes to; whiskers are 95 % intervals."
                + (f" The first {MOST_BARS} of {len(test.labels)} labels." if len(test.labels) > MOST_BARS else ""),
            )
        )
    if not names:
        return Figures(drawings=tuple(drawings))
    entries = [
        (i, name, truth, float(row[f"{name} probability"])) for i, row in enumerate(rows) for name, truth in _truth(row, names)
    ]
    drawings.append(
        Drawing(
            heading="How often a label is there, over its probability",
            drawing=reliability([(truth, p) for _, _, truth, p in entries]),
            note="Of all entries of test; on the line probabilities mean what they say. Darker: more entries.",
        )
    )
    wrong: dict[int, tuple[float, str]] = {}
    for i, name, truth, p in entries:
        off = abs(truth - p)
        if off > wrong.get(i, (0.5, ""))[0]:
            wrong[i] = (off, f"{'has' if truth else 'has not'} {name}, probability {p:.2f}")
    worst = sorted(wrong, key=lambda i: -wrong[i][0])[:WORST]
    return Figures(
        drawings=tuple(drawings),
        pictures=tuple((rows[i]["path"], f"{wrong[i][1]}; said: {rows[i]['said'].replace(';', ', ')}") for i in worst),
        pictures_note=f"Test pictures with a surely wrong entry, the surest first ({len(worst)} of {len(wrong)}). A label that is missing "
        "in the table looks like this too.",
    )


def bars(labels: Mapping[str, Mapping[str, Any]]) -> Markup:
    """A bar a label, whiskers for its interval, a stroke where its share lies; most pictures first."""
    left, right, row = 8.0, WIDTH - 8.0, 34.0
    shown = sorted(labels.items(), key=lambda item: -item[1]["pictures"])[:MOST_BARS]
    parts = []

    def across(share: float) -> float:
        return left + (right - left) * share

    for number, (name, one) in enumerate(shown):
        top = 16 + row * number
        parts.append(text(f"{name} ({one['pictures']:,})", left, top, class_="label"))
        parts.append(text("-" if one["ap"] is None else f"{one['ap']:.3f}", right, top, anchor="end", class_="value"))
        parts.append(tag("rect", x=left, y=top + 5, width=right - left, height=10, class_="track"))
        if one["ap"] is None:
            continue
        (low, high), prior = map(across, one["ap_ci95"]), across(one["ap_of_prior"])
        parts.append(tag("rect", x=left, y=top + 5, width=across(one["ap"]) - left, height=10, class_="bar ours"))
        parts.append(
            tag("path", d=f"M{low:.1f},{top + 6}v8M{low:.1f},{top + 10}H{high:.1f}M{high:.1f},{top + 6}v8", class_="whisker")
        )
        parts.append(tag("line", x1=prior, x2=prior, y1=top + 3, y2=top + 17, class_="level"))
    said = "; ".join(f"{name} {'-' if one['ap'] is None else format(one['ap'], '.3f')}" for name, one in shown)
    return drawing(WIDTH, 16 + row * len(shown) - 8, *parts, title=f"Average precision by label: {said}")


def reliability(entries: Sequence[tuple[float, float]]) -> Markup:
    """A bar for each tenth of probability, as high as labels are there; of (truth, probability)."""
    axes = Axes(left=42, top=24, width=206, height=206, x=(0, 1), y=(0, 1))
    quarters = [(v / 4, percent(v / 4, 0)) for v in range(5)]
    parts = [axes.frame("probability said", "share that is there", quarters, quarters)]
    bins: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for truth, p in entries:
        bins[min(int(p * BINS), BINS - 1)].append((truth, p))
    most = max(map(len, bins)) or 1
    for number, inside in enumerate(bins):
        if not inside:
            continue
        there, sure = (sum(values) / len(inside) for values in zip(*inside, strict=True))
        (x0, y), (x1, floor) = axes.at(number / BINS, there), axes.at((number + 1) / BINS, 0)
        about = tag("title", f"said {percent(sure, 0)} on average, there {percent(there, 0)}, {len(inside):,} entries")
        shade = round(0.25 + 0.75 * (len(inside) / most) ** 0.5, 2)
        parts.append(
            tag("rect", about, x=x0 + 0.8, y=y, width=x1 - x0 - 1.6, height=floor - y, class_="bin", fill_opacity=shade)
        )
    parts.append(axes.line([(0, 0), (1, 1)], "level"))
    return drawing(276, 268, *parts, title=f"Reliability of {len(entries):,} entries", class_="chart square")


def _truth(row: Mapping[str, str], names: Sequence[str]) -> list[tuple[str, float]]:
    """Of each label that is known, whether the picture has it."""
    if LABELS in row and LABELS not in names:
        own = names_in(row[LABELS])
        return [(name, float(name in own)) for name in names]
    return [(name, value) for name in names if (value := flag(row.get(name))) is not None]
