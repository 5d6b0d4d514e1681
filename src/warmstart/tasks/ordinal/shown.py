"""How values in an order are shown: see `report.shown`, whose functions these stand in for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warmstart.report.cards import Matrix
from warmstart.report.printable import percent
from warmstart.report.run_record import RunRecord
from warmstart.report.shown import Grid, Loud, novelty, unlike
from warmstart.tasks.ordinal.parity import OrderParity
from warmstart.tasks.ordinal.ranker import Ranked
from warmstart.tasks.ordinal.scores import OrderScores
from warmstart.tasks.ordinal.sets import SetCoverage

MATRIX_MOST = 12  # values


def data(said: Mapping[str, Any]) -> str:
    """How many values."""
    return f"{len(said['values'])} values in order"


def choice(record: RunRecord) -> str:
    """Taps and penalty."""
    chosen = record.choice
    return f"taps '{chosen['tap_set']}', cumulative link (penalty {chosen['settings']['penalty']:g}), chosen by folds of train"


def scores(by_split: Mapping[str, OrderScores]) -> tuple[Grid, ...]:
    """A column a split; of test, or what comes last, what was taken for what, and each value's own numbers."""
    heads = [split + (" (chosen on)" if s.used_for_choosing and split == "val" else "") for split, s in by_split.items()]
    lines: tuple[tuple[str, Callable[[OrderScores], str]], ...] = (
        ("pictures", lambda s: f"{s.n:,}"),
        ("quadratic kappa", lambda s: "-" if s.qwk is None else Loud(f"{s.qwk:.3f}")),
        ("  95 % interval", lambda s: _ends(s.qwk_ci95)),
        ("ranks off on average", lambda s: f"{s.mae_ranks:.3f}"),
        ("  95 % interval", lambda s: _ends(s.mae_ranks_ci95)),
        ("  of always the median", lambda s: f"{s.mae_ranks_of_median:.3f}"),
        ("right", lambda s: _percent(s.accuracy)),
        ("  95 % interval", lambda s: _shares(s.accuracy_ci95)),
        ("  of the most frequent", lambda s: _percent(s.accuracy_of_most)),
        ("off by one rank at most", lambda s: _percent(s.within_one)),
        ("  95 % interval", lambda s: _shares(s.within_one_ci95)),
        ("  of always the median", lambda s: _percent(s.within_one_of_median)),
        ("log-loss", lambda s: f"{s.log_loss:.3f}"),
        ("  of the shares of train", lambda s: f"{s.log_loss_of_shares:.3f}"),
        ("truth inside its set", _inside),
        ("  values in a set", lambda s: "-" if s.set_size is None else f"{s.set_size:.2f}"),
    )
    rows = tuple((name, *(show(s) for s in by_split.values())) for name, show in lines)
    grids = [Grid(columns=("", *heads), rows=rows, numbers=tuple(range(1, len(heads) + 1)))]
    last = by_split.get("test") or next(reversed(list(by_split.values())), None)
    return (*grids, *([_values(last)] if last is not None else []))


def answers(
    found: Sequence[Ranked], names: Sequence[str], coverage: SetCoverage | None, top: int
) -> tuple[Grid, tuple[str, ...]]:
    """What is said, its set, and the likeliest values beside."""
    told = any(one.novelty is not None for one in found)
    ranged = next((one.coverage for one in found if one.coverage is not None), None)
    columns = [
        "picture",
        "value",
        "probability",
        *([f"{ranged:.0%} set"] if ranged is not None else []),
        *(["novelty"] if told else []),
    ]
    rows = []
    for name, one in zip(names, found, strict=True):
        others = sorted((v for v in one.probabilities if v != one.value), key=lambda v: -one.probabilities[v])
        rows.append(
            (
                name,
                one.value,
                f"{one.probability:.3f}",
                *([span(one.values)] if ranged is not None else []),
                *([novelty(one.novelty)] if told else []),
                ", ".join(f"{v} {one.probabilities[v]:.2f}" for v in others[: max(top - 1, 0)]),
            )
        )
    notes = [_held(coverage)] if coverage is not None else []
    notes += unlike(found)
    numbers = tuple(i for i, column in enumerate(columns) if column in ("probability", "novelty"))
    return Grid(columns=(*columns, "next"), rows=tuple(rows), numbers=numbers), tuple(notes)


def table(
    found: Sequence[Ranked], facts: Mapping[str, Any], coverage: SetCoverage | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """path, value, rank (0 is the lowest), the ends of its set, novelty, a column a value."""
    names: Sequence[str] = facts["order"]
    ranged = any(one.values for one in found)
    rows = []
    for one in found:
        ends = [(one.values or ("",))[at] for at in (0, -1)] if ranged else []
        told = "" if one.novelty is None else f"{one.novelty:.1f}"
        rows.append((one.source, one.value, one.rank, *ends, told, *(f"{one.probabilities[name]:.6f}" for name in names)))
    return ("path", "value", "rank", *(("set from", "set to") if ranged else ()), "novelty", *names), rows


def parity(found: OrderParity) -> Grid:
    """An export beside float32 PyTorch."""

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    ties = f" ({found.ties} ties left out)" if found.ties else ""
    return Grid(
        columns=("", "PyTorch float32", "exported"),
        rows=(
            ("ranks off on average", number(found.mae_before, ".4f"), number(found.mae_after, ".4f")),
            ("same answers", "", f"{found.agreement:.1%}{ties}"),
            ("largest difference of a probability", "", f"{found.difference:.1e}"),
            ("images/s, from files", number(found.images_per_second_before, ".0f"), number(found.images_per_second, ".0f")),
            ("size", "", "-" if found.bytes is None else f"{found.bytes / 1e6:.1f} MB"),
        ),
        numbers=(1, 2),
    )


def worst(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Sequence[tuple[str, str]]:
    """Those that are most ranks off."""
    from warmstart.tasks.ordinal.figures import figures

    return figures(record, rows).pictures


def matrix(record: RunRecord) -> Matrix | None:
    """Counts by rank, for up to `MATRIX_MOST` values."""
    test: OrderScores | None = record.scores.get("test")
    if test is None or len(test.values) > MATRIX_MOST:
        return None
    return Matrix(names=tuple(test.values), counts=tuple(tuple(row) for row in test.confusion))


def verdict(record: RunRecord) -> list[str]:
    """What the scores come down to, in sentences."""
    test: OrderScores | None = record.scores.get("test")
    if test is None:
        return ["No picture was held out for a test, so nothing says how good these values are."]
    order = list(test.values)
    out = [
        f"The order is {', '.join(order[:12])}{' …' if len(order) > 12 else ''}, from lowest to highest.",
        f"On {test.n:,} test pictures it is off by {test.mae_ranks:.2f} ranks on average; always answering the median would be off by "
        f"{test.mae_ranks_of_median:.2f}. {percent(test.accuracy)} are right, and {percent(test.within_one)} are off by one rank at most.",
    ]
    if test.qwk is not None and test.qwk_ci95 is not None:
        low, high = test.qwk_ci95
        out.append(f"Its agreement with the truth (quadratic kappa) is {test.qwk:.3f}, 95 % interval {low:.3f} to {high:.3f}.")
        if low <= 0:
            out.append("That cannot be told from always answering the same.")
    if test.coverage is not None and test.coverage_ci95 is not None and test.set_size is not None:
        low, high = test.coverage_ci95
        out.append(
            f"Its sets of neighbouring values were to hold the truth in {percent(test.coverage_asked or 0, 0)} of pictures, and hold it in "
            f"{percent(test.coverage, 0)} (95 % interval {percent(low, 0)} to {percent(high, 0)}), with {test.set_size:.2f} values each."
        )
    without = [name for name, one in test.values.items() if not one["pictures"]]
    if without:
        out.append(
            f"No test picture has {', '.join(without[:10])}{' …' if len(without) > 10 else ''}: nothing measures these values."
        )
    return out


def span(values: Sequence[str] | None) -> str:
    """Neighbours, by their ends."""
    if not values:
        return ""
    return values[0] if len(values) == 1 else f"{values[0]} … {values[-1]}"


def _values(found: OrderScores) -> Grid:
    rows = tuple(
        (
            name,
            f"{one['pictures']:,}",
            f"{one['said']:,}",
            "-" if one["right"] is None else _percent(one["right"]),
            "-" if one["mae_ranks"] is None else f"{one['mae_ranks']:.2f}",
            _percent(one["share_in_train"]),
        )
        for name, one in found.values.items()
    )
    return Grid(
        columns=("value, lowest first", "pictures", "said", "right", "ranks off", "share of train"),
        rows=rows,
        numbers=(1, 2, 3, 4, 5),
    )


def _inside(found: OrderScores) -> str:
    return "-" if found.coverage is None else f"{_percent(found.coverage)} of {_percent(found.coverage_asked or 0, 0)} asked"


def _held(coverage: SetCoverage) -> str:
    calibrated = f"calibrated on {coverage.calibrated_on:,} pictures"
    if coverage.measured is None or coverage.ci95 is None:
        return f"asked for {coverage.asked:g}; no test pictures to measure it on ({calibrated})"
    low, high = coverage.ci95
    return (
        f"asked for {coverage.asked:g}; on {coverage.pictures:,} test pictures the set held the true value {coverage.measured:.3f} of the "
        f"time (95 % interval {low:.3f}-{high:.3f}; {coverage.size:.2f} values a set; {calibrated})"
    )


def _percent(share: float, digits: int = 1) -> str:
    """With a plain space, for a terminal's table as well."""
    return f"{100 * share:.{digits}f} %"


def _ends(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f}-{ends[1]:.3f}"


def _shares(ends: tuple[float, float]) -> str:
    return f"{_percent(ends[0])}-{_percent(ends[1])}"
