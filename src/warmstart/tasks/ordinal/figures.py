"""Pictures of a run of values in an order, for its report: what was taken for what, how wide sets are, where it is farthest off."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from warmstart.report.line_charts import WIDTH
from warmstart.report.printable import percent
from warmstart.report.run_record import RunRecord
from warmstart.report.svg import drawing, tag, text
from warmstart.report.task_page import Drawing, Figures
from warmstart.tasks.ordinal.scores import OrderScores

WORST = 24
MOST_NAMES = 16  # of a matrix; beyond, ranks are written
LETTERS = 9  # of a name beside a matrix


def figures(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Figures:
    """The matrix by rank, sets by their size, the pictures that are most ranks off."""
    test: OrderScores | None = record.scores.get("test")
    if test is None:
        return Figures()
    order = list(test.values)
    drawings = [
        Drawing(
            heading="What was taken for what, by rank",
            drawing=by_rank(order, test.confusion),
            note="Rows are true values, columns what was said; the darker, the larger the share of its row. Beside the diagonal it is "
            "one rank off.",
        )
    ]
    if not rows or f"{order[0]} probability" not in rows[0]:
        return Figures(drawings=tuple(drawings))
    if "set from" in rows[0]:
        drawings.append(
            Drawing(
                heading=f"Sets for {percent(test.coverage_asked or 0, 0)}: how many values they hold",
                drawing=by_size(order, rows),
                note="The fewer values, the surer. In the coloured part of a bar the set holds the true value, in the grey part it does "
                "not.",
            )
        )
    wrong = [i for i, row in enumerate(rows) if row["true"] != row["said"]]
    wrong.sort(key=lambda i: (-abs(int(rows[i]["ranks too high"])), float(rows[i][f"{rows[i]['true']} probability"])))
    return Figures(
        drawings=tuple(drawings),
        pictures=tuple((rows[i]["path"], _said(rows[i])) for i in wrong[:WORST]),
        pictures_note=f"Test pictures that are most ranks off, the worst first ({min(len(wrong), WORST)} of {len(wrong)} that are not "
        "right). A wrong value in the data looks like this too.",
    )


def by_rank(order: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """A cell for each pair of (true, said), lowest first."""
    k = len(order)
    names = [_short(name) if k <= MOST_NAMES else str(i) for i, name in enumerate(order)]
    left, top = 70.0, 40.0
    side = (WIDTH - left - 6) / k
    high = min(side, 40.0)
    parts = [text("true", 2, 14, class_="label"), text("said", WIDTH - 6, 14, anchor="end", class_="label")]
    for i, name in enumerate(names):
        parts.append(text(name, left - 6, top + high * (i + 0.5) + 4, anchor="end", class_="tick"))
        if side >= 24 or i % 4 == 0:
            parts.append(text(name, left + side * (i + 0.5), top - 6, anchor="middle", class_="tick"))
        of_row = max(1, sum(counts[i]))
        for j, count in enumerate(counts[i]):
            share = count / of_row
            about = tag("title", f"{order[i]} called {order[j]}: {count:,} of {of_row:,}")
            x, y = left + side * j, top + high * i
            parts.append(tag("rect", x=x + 1, y=y + 1, width=side - 2, height=high - 2, class_="track"))
            if count:
                shade = round(0.12 + 0.5 * share, 3)
                parts.append(
                    tag("rect", about, x=x + 1, y=y + 1, width=side - 2, height=high - 2, class_="bin", fill_opacity=shade)
                )
            if side >= 20:
                parts.append(
                    text(f"{count:,}" if count else "·", x + side / 2, y + high / 2 + 4, anchor="middle", class_="value")
                )
    said = "; ".join(
        f"{order[i]} called {order[j]} {count}" for i, row in enumerate(counts) for j, count in enumerate(row) if count
    )
    return drawing(WIDTH, top + high * k + 4, *parts, title=f"Counts of true and said values: {said}")


def by_size(order: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Markup:
    """A bar for each number of values in a set, as long as the share of pictures, with the part that holds the truth."""
    rank = {name: i for i, name in enumerate(order)}
    sizes: dict[int, list[bool]] = {}
    for row in rows:
        low, high, true = rank[row["set from"]], rank[row["set to"]], rank[row["true"]]
        sizes.setdefault(high - low + 1, []).append(low <= true <= high)
    left, right, height = 8.0, WIDTH - 8.0, 34.0
    parts, said = [], []
    for number, size in enumerate(sorted(sizes)):
        inside, top = sizes[size], 16 + height * number
        share, held = len(inside) / len(rows), sum(inside) / len(rows)
        words = f"{size} value{'s' if size > 1 else ''}"
        parts.append(text(f"{words} ({len(inside):,})", left, top, class_="label"))
        parts.append(text(f"truth inside {percent(sum(inside) / len(inside), 0)}", right, top, anchor="end", class_="value"))
        parts.append(tag("rect", x=left, y=top + 5, width=right - left, height=10, class_="track"))
        parts.append(tag("rect", x=left, y=top + 5, width=(right - left) * share, height=10, class_="bar"))
        parts.append(tag("rect", x=left, y=top + 5, width=(right - left) * held, height=10, class_="bar ours"))
        said.append(f"{words} {len(inside)}")
    return drawing(WIDTH, 16 + height * len(sizes) - 8, *parts, title=f"Pictures by the size of their set: {'; '.join(said)}")


def _said(row: Mapping[str, str]) -> str:
    off = int(row["ranks too high"])
    where = f"{abs(off)} rank{'s' if abs(off) > 1 else ''} too {'high' if off > 0 else 'low'}"
    return f"{row['true']}, said {row['said']} ({where})"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
