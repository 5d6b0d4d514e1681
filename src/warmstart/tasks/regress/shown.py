"""How numbers are shown: see `report.shown`, whose functions these stand in for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warmstart.report.printable import percent, printable
from warmstart.report.run_record import RunRecord
from warmstart.report.shown import Grid, Loud, novelty, unlike
from warmstart.tasks.regress.intervals import IntervalCoverage
from warmstart.tasks.regress.parity import NumberParity
from warmstart.tasks.regress.regressor import Estimate
from warmstart.tasks.regress.scores import NumberScores


def data(said: Mapping[str, Any]) -> str:
    """The targets, and between which numbers they lie."""
    return ", ".join(f"{name} {of['min']:.4g} … {of['max']:.4g}" for name, of in said["targets"].items())


def choice(record: RunRecord) -> str:
    """Taps and penalty."""
    chosen = record.choice
    robust = ", robust" if chosen["robust"] else ""
    settings = "".join(f" ({name} {value:g})" for name, value in chosen["settings"].items())
    return f"taps '{chosen['tap_set']}', {chosen['head']}{settings}{robust}, chosen by leaving train pictures out"


def scores(by_split: Mapping[str, NumberScores]) -> tuple[Grid, ...]:
    """A column a split; of several targets a table of each beside, of test or what comes last."""
    heads = [split + (" (chosen on)" if s.used_for_choosing and split == "val" else "") for split, s in by_split.items()]
    lines: tuple[tuple[str, Callable[[NumberScores], str]], ...] = (
        ("pictures", lambda s: f"{s.n:,}"),
        ("R²", lambda s: _loud(s.r2)),
        ("  95 % interval", lambda s: _ends(s.r2_ci95)),
        ("mean absolute error (MAE)", lambda s: f"{s.mae:.4g}"),
        ("  95 % interval", lambda s: _ends(s.mae_ci95)),
        ("  of always naming the median", lambda s: f"{s.mae_of_median:.4g}"),
        ("root mean square error (RMSE)", lambda s: f"{s.rmse:.4g}"),
        ("  of always naming the mean", lambda s: f"{s.rmse_of_mean:.4g}"),
        ("Spearman's correlation", lambda s: _plain(s.spearman)),
        ("  95 % interval", lambda s: _ends(s.spearman_ci95)),
        (
            "truth inside its interval",
            lambda s: "-" if s.coverage is None else f"{100 * s.coverage:.1f} % of {100 * (s.coverage_asked or 0):.0f} % asked",
        ),
    )
    rows = tuple((name, *(show(s) for s in by_split.values())) for name, show in lines)
    grids = [Grid(columns=("", *heads), rows=rows, numbers=tuple(range(1, len(heads) + 1)))]
    last = by_split.get("test") or next(reversed(list(by_split.values())), None)
    if last is not None and len(last.targets) > 1:
        grids.append(_targets(last))
    return tuple(grids)


def plot(record: RunRecord, rows: Sequence[Mapping[str, str]], axes: Any) -> None:
    """Estimated over true, on test; several targets in deviations from their means."""
    of_targets = record.data.of_task["targets"]
    low, high = float("inf"), float("-inf")
    for name, of in of_targets.items():
        truth, said = ([float(row[column]) for row in rows] for column in (name, f"{name} estimated"))
        if len(of_targets) > 1:
            truth, said = ([(value - of["mean"]) / (of["deviation"] or 1) for value in values] for values in (truth, said))
        axes.plot(truth, said, linestyle="none", marker="o", markersize=4, alpha=0.7, label=printable(name))
        low, high = min(low, *truth, *said), max(high, *truth, *said)
    axes.plot([low, high], [low, high], color="#767676", linewidth=1, zorder=0)
    unit = "" if len(of_targets) == 1 else " (deviations from the mean)"
    axes.set_xlabel(f"true{unit}, {len(rows):,} test pictures")
    axes.set_ylabel(f"estimated{unit}")
    axes.legend(frameon=False)


def worst(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Sequence[tuple[str, str]]:
    """Those with the largest errors."""
    from warmstart.tasks.regress.figures import figures

    return figures(record, rows).pictures


def answers(
    found: Sequence[Estimate], names: Sequence[str], coverage: IntervalCoverage | None, top: int
) -> tuple[Grid, tuple[str, ...]]:
    """A column a target, and its interval."""
    targets = list(found[0].values) if found else []
    ranged = any(one.intervals for one in found)
    told = any(one.novelty is not None for one in found)
    share = next((one.coverage for one in found if one.coverage is not None), None)
    columns = ["picture"]
    for target in targets:
        columns += [target, *([f"{share:.0%} interval"] if ranged and share is not None else [])]
    columns += ["novelty"] if told else []
    rows = []
    for name, one in zip(names, found, strict=True):
        cells = [name]
        for target in targets:
            cells += [f"{one.values[target]:.4g}", *([_ends(one.intervals[target]) if one.intervals else ""] if ranged else [])]
        cells += [novelty(one.novelty)] if told else []
        rows.append(tuple(cells))
    notes = []
    if coverage is not None and coverage.measured is not None and coverage.ci95 is not None:
        low, high = coverage.ci95
        notes.append(
            f"asked for {coverage.asked:g}; on {coverage.pictures:,} test pictures the interval held the truth {coverage.measured:.3f} of "
            f"the time (95 % interval {low:.3f}-{high:.3f}; calibrated on {coverage.calibrated_on:,} pictures)"
        )
    notes += unlike(found)
    return Grid(columns=tuple(columns), rows=tuple(rows), numbers=tuple(range(1, len(columns)))), tuple(notes)


def table(
    found: Sequence[Estimate], facts: Mapping[str, Any], coverage: IntervalCoverage | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """path, for each target the number and the ends of its interval, novelty."""
    targets: Sequence[str] = facts["targets"]
    ranged = any(one.intervals for one in found)
    columns = ["path"]
    for target in targets:
        columns += [target, *([f"{target} low", f"{target} high"] if ranged else [])]
    rows = []
    for one in found:
        cells: list[Any] = [one.source]
        for target in targets:
            ends = one.intervals[target] if one.intervals else ("", "")
            cells += [one.values[target], *(ends if ranged else ())]
        rows.append((*cells, "" if one.novelty is None else round(one.novelty, 1)))
    return (*columns, "novelty"), rows


def parity(found: NumberParity) -> Grid:
    """An export beside float32 PyTorch."""

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return Grid(
        columns=("", "PyTorch float32", "exported"),
        rows=(
            ("mean absolute error", number(found.mae_before, ".5g"), number(found.mae_after, ".5g")),
            ("typical difference, in deviations", "", f"{found.typical:.1e}"),
            ("largest difference, in deviations", "", f"{found.difference:.1e}"),
            ("images/s, from files", number(found.images_per_second_before, ".0f"), number(found.images_per_second, ".0f")),
            ("size", "", "-" if found.bytes is None else f"{found.bytes / 1e6:.1f} MB"),
        ),
        numbers=(1, 2),
    )


def verdict(record: RunRecord) -> list[str]:
    """What the scores come down to, in sentences."""
    test: NumberScores | None = record.scores.get("test")
    if test is None:
        return ["No picture was held out for a test, so nothing says how good these numbers are."]
    out = []
    if test.r2 is not None and test.r2_ci95 is not None:
        low, high = test.r2_ci95
        out.append(
            f"On {test.n:,} test pictures it explains {100 * test.r2:.0f} % of the spread (R² {test.r2:.3f}, 95 % interval "
            f"{low:.3f} to {high:.3f})."
        )
        if low <= 0:
            out.append("That cannot be told from always naming the mean.")
    out.append(f"It is off by {test.mae:.4g} on average; always naming the median would be off by {test.mae_of_median:.4g}.")
    if test.coverage is not None and test.coverage_ci95 is not None:
        low, high = test.coverage_ci95
        out.append(
            f"Its intervals were to hold the truth in {percent(test.coverage_asked or 0, 0)} of pictures, and hold it in "
            f"{percent(test.coverage, 0)} (95 % interval {percent(low, 0)} to {percent(high, 0)})."
        )
    return out


def _targets(found: NumberScores) -> Grid:
    rows = tuple(
        (
            name,
            _plain(one["r2"]),
            f"{one['mae']:.4g}",
            f"{one['mae_of_median']:.4g}",
            _plain(one["spearman"]),
            "-" if one["coverage"] is None else f"{one['coverage']:.1%}",
            "-" if one["width"] is None else f"{one['width']:.4g}",
        )
        for name, one in found.targets.items()
    )
    return Grid(
        columns=("target", "R²", "MAE", "of the median", "Spearman", "inside", "mean width"),
        rows=rows,
        numbers=(1, 2, 3, 4, 5, 6),
    )


def _loud(value: float | None) -> str:
    return "-" if value is None else Loud(f"{value:.3f}")


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.4g} … {ends[1]:.4g}"
