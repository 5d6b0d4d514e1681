"""How classes are shown: see `report.shown`, whose functions these stand in for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from warmstart.records import Prediction, Scores, Sure
from warmstart.report.cards import Matrix
from warmstart.report.printable import printable
from warmstart.report.run_record import RunRecord
from warmstart.report.shown import Grid, Loud, novelty, unlike
from warmstart.tasks.classify.parity import Parity
from warmstart.tasks.classify.tree import levels, tree_of
from warmstart.tasks.classify.trust import Coverage

SCORES_SHOWN: Mapping[str, Callable[[Scores], str]] = {
    "pictures": lambda s: f"{s.n:,}",
    "accuracy": lambda s: Loud(f"{s.accuracy:.3f}"),
    "  95 % interval": lambda s: "{:.3f}-{:.3f}".format(*s.accuracy_ci95),
    "  of the majority class": lambda s: f"{s.majority_accuracy:.3f}",
    "macro-F1": lambda s: f"{s.macro_f1:.3f}",
    "AUROC": lambda s: "-" if s.auroc is None else f"{s.auroc:.3f}",
    "log-loss": lambda s: f"{s.log_loss:.3f}",
    "calibration error (ECE)": lambda s: f"{s.ece:.3f}",
}
MATRIX_MOST = 12
IN_BRIEF = ("n", "accuracy", "accuracy_ci95", "macro_f1", "majority_accuracy")


def data(said: Mapping[str, Any]) -> str:
    """How many classes."""
    return f"{len(said['classes'])} classes"


def choice(record: RunRecord) -> str:
    """Taps, head and its settings."""
    chosen = record.choice
    settings = ", ".join(f"{name} {value}" for name, value in chosen["settings"].items())
    how = "on val" if chosen["method"] == "val" else "by folds of train"
    return f"taps '{chosen['tap_set']}', head {record.plan.head}{f' ({settings})' if settings else ''}, chosen {how}"


def scores(by_split: Mapping[str, Scores]) -> tuple[Grid, ...]:
    """A column a split, a row a score: fits 80 columns whatever is measured. Of test, or what comes last, every class."""
    heads = [split + (" (chosen on)" if s.used_for_choosing and split == "val" else "") for split, s in by_split.items()]
    rows = tuple((name, *(show(s) for s in by_split.values())) for name, show in SCORES_SHOWN.items())
    grid = Grid(columns=("", *heads), rows=rows, numbers=tuple(range(1, len(heads) + 1)))
    best = by_split.get("test") or by_split.get("unseen") or by_split.get("all, seen ones too")
    return (grid,) if best is None else (grid, *_depths(best), _classes(best))


def verdict(record: RunRecord) -> list[str]:
    """How many are right, and what to hold it against."""
    from warmstart.tasks.classify.report.sentences import verdict as said

    return [said(record)]


def worst(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Mistakes, those that it was surest of first."""
    wrong = [row for row in rows if row["true"] != row["predicted"]]
    wrong.sort(key=lambda row: -float(row["probability"]))
    return [(row["path"], f"{row['true']}, said {row['predicted']} {float(row['probability']):.2f}") for row in wrong]


def matrix(record: RunRecord) -> Matrix | None:
    """Counts, for up to `MATRIX_MOST` classes."""
    names = tuple(record.data.of_task["classes"])
    test = record.scores.get("test")
    return Matrix(names=names, counts=test.confusion) if test and len(names) <= MATRIX_MOST else None


def plot(record: RunRecord, rows: Sequence[Mapping[str, str]], axes: Any) -> None:
    """What was taken for what, each row by its share; of many classes how many of each are right."""
    test = record.scores.get("test")
    names, found = [printable(name) for name in record.data.of_task["classes"]], matrix(record)
    if test is None:
        axes.set_title("no picture was held out for a test")
        return
    axes.grid(visible=False)
    if found is None:
        ranked = sorted(zip(names, test.per_class.values(), strict=True), key=lambda one: one[1]["recall"])
        said, scores_of = [name for name, _ in ranked], [one["recall"] for _, one in ranked]
        axes.barh(said, scores_of, color="#0072B2")
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of its test pictures that are right, of {test.n:,} in all")
        axes.tick_params(axis="y", labelsize=max(3, min(12, 400 // len(names))))
        return
    k = len(names)
    axes.imshow([[found.shade(i, j) for j in range(k)] for i in range(k)], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i in range(k):
        for j in range(k):
            if found.counts[i][j]:
                axes.text(
                    j,
                    i,
                    f"{found.counts[i][j]:,}",
                    ha="center",
                    va="center",
                    color="#fff" if found.shade(i, j) > 0.5 else "#222",
                )
    axes.set_xticks(range(k), names, rotation=0 if k < 6 else 45, ha="center" if k < 6 else "right")
    axes.set_yticks(range(k), names)
    axes.set_xlabel("said")
    axes.set_ylabel("true")


def in_brief(scores: Scores) -> dict[str, Any]:
    """How many are right, and what to hold it against."""
    return {name: getattr(scores, name) for name in IN_BRIEF}


def answers(
    found: Sequence[Prediction], names: Sequence[str], coverage: Coverage | None, top: int
) -> tuple[Grid, tuple[str, ...]]:
    """The most probable classes first; beside an answer that says where in a tree they stand, by the last part of their names."""
    told = any(prediction.novelty is not None for prediction in found)
    columns = ["picture", "class", "probability"]
    columns += [f"one of these ({coverage.asked:g})"] if coverage else []
    asked = next((prediction.sure.asked for prediction in found if prediction.sure), None)
    columns += [f"sure of {asked:g}"] if asked is not None else []
    columns += ["novelty"] if told else []
    short = tree_of(tuple(found[0].probabilities)).short if asked is not None else {}
    rows = []
    for name, prediction in zip(names, found, strict=True):
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        others = [f"{short.get(other, other)} {p:.2f}" for other, p in ranked if other != prediction.class_name][: top - 1]
        rows.append(
            (
                name,
                short.get(prediction.class_name, prediction.class_name),
                f"{prediction.probability:.3f}",
                *([", ".join(prediction.classes or ())] if coverage else []),
                *([_sure(prediction.sure)] if asked is not None else []),
                *([novelty(prediction.novelty)] if told else []),
                ", ".join(others),
            )
        )
    notes = [_coverage(coverage)] if coverage else []
    notes += [_how_sure(found, asked)] if asked is not None else []
    notes += unlike(found)
    numbers = tuple(i for i, column in enumerate(columns) if column in ("probability", "novelty"))
    return Grid(columns=(*columns, "next"), rows=tuple(rows), numbers=numbers), tuple(notes)


def table(
    found: Sequence[Prediction], facts: Mapping[str, Any], coverage: Coverage | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """path, class, probability, novelty, with a coverage the set of classes joined by '|', with sure the deepest answer and its
    probability, then one column a class.
    """
    names: Sequence[str] = facts["classes"]
    sets = ["classes"] if coverage else []
    rows = []
    for p in found:
        shares = [f"{p.probabilities[name]:.6f}" for name in names]
        novelty = "" if p.novelty is None else f"{p.novelty:.1f}"
        joined = ["|".join(p.classes or ())] if coverage else []
        deepest = [p.sure.class_name or "", "" if p.sure.probability is None else f"{p.sure.probability:.6f}"] if p.sure else []
        rows.append((p.source, p.class_name, f"{p.probability:.6f}", novelty, *joined, *deepest, *shares))
    surely = ["sure", "sure_probability"] if any(p.sure for p in found) else []
    return ("path", "class", "probability", "novelty", *sets, *surely, *names), rows


def parity(found: Parity) -> Grid:
    """An export beside float32 PyTorch."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    ties = f" ({found.ties} ties left out)" if found.ties else ""
    return Grid(
        columns=("", "PyTorch float32", "exported"),
        rows=(
            ("accuracy", share(found.accuracy_before), share(found.accuracy_after)),
            ("same class", "", f"{found.agreement:.1%}{ties}"),
            ("largest difference of a probability", "", f"{found.difference:.1e}"),
            ("images/s, from files", number(found.images_per_second_before), number(found.images_per_second)),
            ("size", "", "-" if found.bytes is None else f"{found.bytes / 1e6:.1f} MB"),
        ),
        numbers=(1, 2),
    )


def _depths(found: Scores) -> tuple[Grid, ...]:
    """Accuracy at each depth, where names of classes are a tree."""
    if not found.by_depth:
        return ()
    tree = tree_of(tuple(found.per_class))
    rows = tuple(
        (
            str(depth),
            f"{len(set(tree.at(depth).tolist())):,}",
            Loud(f"{one.accuracy:.3f}"),
            "{:.3f}-{:.3f}".format(*one.accuracy_ci95),
            f"{one.majority_accuracy:.3f}",
        )
        for depth, one in enumerate(found.by_depth, 1)
    )
    columns = ("cut to depth", "classes there", "accuracy", "95 % interval", "of the majority class")
    return (Grid(columns=columns, rows=rows, numbers=(0, 1, 2, 3, 4)),)


def _sure(sure: Sure | None) -> str:
    return "-" if sure is None or sure.class_name is None else f"{sure.class_name} {sure.probability:.2f}"


def _how_sure(found: Sequence[Prediction], asked: float) -> str:
    """How many answers stand at which depth."""
    tree = tree_of(tuple(found[0].probabilities))
    none, *counts = levels(tree, [p.sure.class_name if p.sure else None for p in found])
    if not tree.is_nested:
        return f"sure of {asked:g}: {counts[0]:,} of {len(found):,} pictures are; of the others the probability of the class is less"
    at = ", ".join(f"{count:,} to depth {depth}" for depth, count in reversed(list(enumerate(counts, 1))) if count)
    return (
        f"sure of {asked:g}, of {len(found):,} pictures: {at or 'none'}"
        + (f"; {none:,} at no depth" if none and at else "")
        + ". A class above others has the probability of all below it"
    )


def _classes(found: Scores) -> Grid:
    names = list(found.per_class)
    rows = tuple(
        (
            name,
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            f"{row['support']:.0f}",
            _confused(i, found.confusion[i], names),
        )
        for i, (name, row) in enumerate(found.per_class.items())
    )
    columns = ("class", "precision", "recall", "F1", "pictures", "most often taken for")
    return Grid(columns=columns, rows=rows, numbers=(1, 2, 3, 4, 5))


def _confused(label: int, counts: Iterable[int], names: Sequence[str]) -> str:
    wrong = [(count, names[i]) for i, count in enumerate(counts) if i != label and count]
    return f"{max(wrong)[1]} ({max(wrong)[0]})" if wrong else ""


def _coverage(coverage: Coverage) -> str:
    calibrated = f"sets calibrated on {coverage.calibrated_on:,} pictures"
    if coverage.measured is None or coverage.ci95 is None:
        return f"asked for {coverage.asked:g}; no test pictures to measure it on ({calibrated})"
    low, high = coverage.ci95
    return (
        f"asked for {coverage.asked:g}; on {coverage.pictures:,} test pictures the set held the true class "
        f"{coverage.measured:.3f} of the time (95 % interval {low:.3f}-{high:.3f}; {calibrated})"
    )
