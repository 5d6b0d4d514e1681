"""How labels are shown: see `report.shown`, whose functions these stand in for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warmstart.report.printable import percent, printable
from warmstart.report.run_record import RunRecord
from warmstart.report.shown import Grid, Loud, novelty, unlike
from warmstart.tasks.multilabel.labeller import Labelled
from warmstart.tasks.multilabel.parity import LabelParity
from warmstart.tasks.multilabel.recall import RecallFound
from warmstart.tasks.multilabel.scores import LabelScores
from warmstart.tasks.multilabel.targets import NONE

NOTHING = "none of them"
MOST_BARS = 30


def data(said: Mapping[str, Any]) -> str:
    """How many labels, and how many a picture has."""
    return f"{len(said['labels'])} labels, {said['labels_a_picture']:.2g} a picture"


def choice(record: RunRecord) -> str:
    """Taps and penalties."""
    chosen = record.choice
    penalties = sorted(set(chosen["settings"]["penalties"].values()))
    told = (
        f"penalty {penalties[0]:g}"
        if len(penalties) == 1
        else f"penalties {penalties[0]:g} to {penalties[-1]:g}, a label its own"
    )
    return f"taps '{chosen['tap_set']}', logistic ({told}), chosen by folds of train"


def scores(by_split: Mapping[str, LabelScores]) -> tuple[Grid, ...]:
    """A column a split; a table of each label beside, of test or what comes last."""
    heads = [split + (" (chosen on)" if s.used_for_choosing and split == "val" else "") for split, s in by_split.items()]
    lines: tuple[tuple[str, Callable[[LabelScores], str]], ...] = (
        ("pictures", lambda s: f"{s.n:,}"),
        ("mAP, mean over labels (macro)", lambda s: "-" if s.map_macro is None else Loud(f"{s.map_macro:.3f}")),
        ("  95 % interval", lambda s: _ends(s.map_macro_ci95)),
        ("  of the label prior", lambda s: _plain(s.map_macro_of_prior)),
        ("mAP of all entries (micro)", lambda s: _plain(s.map_micro)),
        ("  of the label prior", lambda s: _plain(s.map_micro_of_prior)),
        ("F1 of all entries (micro)", lambda s: _plain(s.f1_micro)),
        ("  of saying every label", lambda s: _plain(s.f1_micro_of_all)),
        ("F1, mean over labels (macro)", lambda s: _plain(s.f1_macro)),
        ("F1, mean over pictures", lambda s: _plain(s.f1_samples)),
        ("wrong entries (Hamming)", lambda s: _plain(s.hamming)),
        ("  of the label prior", lambda s: _plain(s.hamming_of_prior)),
        ("pictures without a wrong entry", lambda s: _plain(s.subset_accuracy)),
        ("  of the label prior", lambda s: _plain(s.subset_accuracy_of_prior)),
        ("ranking of labels (LRAP)", lambda s: _plain(s.lrap)),
        ("  of the label prior", lambda s: _plain(s.lrap_of_prior)),
        ("share of labels found (recall)", _recall),
        ("labels said, and there, a picture", lambda s: f"{s.said_a_picture:.2f}, {s.labels_a_picture:.2f}"),
    )
    rows = tuple((name, *(show(s) for s in by_split.values())) for name, show in lines)
    grid = Grid(columns=("", *heads), rows=rows, numbers=tuple(range(1, len(heads) + 1)))
    last = by_split.get("test") or next(reversed(list(by_split.values())), None)
    return (grid,) if last is None else (grid, _labels(last))


def answers(
    found: Sequence[Labelled], names: Sequence[str], coverage: RecallFound | None, top: int
) -> tuple[Grid, tuple[str, ...]]:
    """What is said of each picture, then what comes next."""
    told = any(one.novelty is not None for one in found)
    columns = ["picture", "labels"]
    columns += [f"with recall {coverage.asked:g}"] if coverage else []
    columns += ["novelty"] if told else []
    rows = []
    for name, one in zip(names, found, strict=True):
        p = one.probabilities
        others = [f"{label} {p[label]:.2f}" for label in sorted(p, key=lambda label: -p[label]) if label not in one.labels]
        rows.append(
            (
                name,
                ", ".join(f"{label} {p[label]:.2f}" for label in one.labels) or NOTHING,
                *([", ".join(one.with_recall or ()) or NOTHING] if coverage else []),
                *([novelty(one.novelty)] if told else []),
                ", ".join(others[:top]),
            )
        )
    notes = [_recalled(coverage)] if coverage else []
    notes += unlike(found)
    numbers = tuple(i for i, column in enumerate(columns) if column == "novelty")
    return Grid(columns=(*columns, "next"), rows=tuple(rows), numbers=numbers), tuple(notes)


def table(
    found: Sequence[Labelled], facts: Mapping[str, Any], coverage: RecallFound | None
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """path, labels joined by ';' ('none' for none), with a coverage the labels that have this recall, novelty, a column a label."""
    names: Sequence[str] = facts["labels"]
    rows = []
    for one in found:
        wider = [";".join(one.with_recall or ()) or NONE[1]] if coverage else []
        shares = [f"{one.probabilities[name]:.6f}" for name in names]
        novelty = "" if one.novelty is None else f"{one.novelty:.1f}"
        rows.append((one.source, ";".join(one.labels) or NONE[1], *wider, novelty, *shares))
    return ("path", "labels", *(["labels with recall"] if coverage else []), "novelty", *names), rows


def parity(found: LabelParity) -> Grid:
    """An export beside float32 PyTorch."""

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    ties = f" ({found.ties} ties left out)" if found.ties else ""
    return Grid(
        columns=("", "PyTorch float32", "exported"),
        rows=(
            ("mAP", number(found.map_before, ".4f"), number(found.map_after, ".4f")),
            ("same labels", "", f"{found.agreement:.1%}{ties}"),
            ("largest difference of a probability", "", f"{found.difference:.1e}"),
            ("images/s, from files", number(found.images_per_second_before, ".0f"), number(found.images_per_second, ".0f")),
            ("size", "", "-" if found.bytes is None else f"{found.bytes / 1e6:.1f} MB"),
        ),
        numbers=(1, 2),
    )


def plot(record: RunRecord, rows: Sequence[Mapping[str, str]], axes: Any) -> None:
    """Average precision of each label on test with its interval, and a stroke where the label prior lies."""
    test: LabelScores | None = record.scores.get("test")
    known = [(name, one) for name, one in (test.labels if test else {}).items() if one["ap"] is not None]
    known = sorted(known, key=lambda item: item[1]["pictures"])[-MOST_BARS:]
    at, values = range(len(known)), [one["ap"] for _, one in known]
    ends = [(one["ap"] - one["ap_ci95"][0], one["ap_ci95"][1] - one["ap"]) for _, one in known]
    whiskers = [[max(0.0, low) for low, _ in ends], [max(0.0, high) for _, high in ends]]
    axes.barh(at, values, xerr=whiskers, color="#56B4E9", ecolor="#767676", height=0.6)
    axes.plot(
        [one["ap_of_prior"] for _, one in known],
        at,
        linestyle="none",
        marker="|",
        markersize=16,
        markeredgewidth=2.5,
        color="#D55E00",
        label="label prior",
    )
    axes.set_yticks(at, [f"{printable(name)} ({one['pictures']:,})" for name, one in known])
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"average precision, {test.n if test else 0:,} test pictures; in brackets how many have the label")
    axes.grid(visible=False, axis="y")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.75, 1.14))


def worst(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Sequence[tuple[str, str]]:
    """Those with the most surely wrong entries."""
    from warmstart.tasks.multilabel.figures import figures

    return figures(record, rows).pictures


def verdict(record: RunRecord) -> list[str]:
    """What the scores come down to, in sentences."""
    test: LabelScores | None = record.scores.get("test")
    if test is None:
        return ["No picture was held out for a test, so nothing says how good these labels are."]
    if test.map_macro is None or test.map_macro_ci95 is None or test.map_macro_of_prior is None:
        return [f"None of {test.n:,} test pictures has a label, so nothing says how good these labels are."]
    low, high = test.map_macro_ci95
    out = [
        f"On {test.n:,} test pictures the mean average precision over labels is {test.map_macro:.3f} (95 % interval {low:.3f} to "
        f"{high:.3f}); by always giving each label its share in train it would be {test.map_macro_of_prior:.3f}."
    ]
    if low <= test.map_macro_of_prior:
        out.append("The two cannot be told apart.")
    out.append(
        f"Of all labels of all pictures {percent(test.hamming)} are told wrongly; {percent(test.hamming_of_prior)} would be by "
        f"always saying what most pictures of train have. {percent(test.subset_accuracy)} of pictures have no mistake."
    )
    if test.recall is not None and test.recall_ci95 is not None:
        low, high = test.recall_ci95
        asked = "" if test.recall_asked is None else f" ({percent(test.recall_asked, 0)} were asked for)"
        out.append(
            f"Of the labels of a picture it finds {percent(test.recall, 0)} on average{asked} (95 % interval {percent(low, 0)} to "
            f"{percent(high, 0)}), and names {test.said_a_picture:.2f} labels a picture where {test.labels_a_picture:.2f} are there."
        )
    without = [name for name, one in test.labels.items() if not one["pictures"]]
    if without:
        out.append(
            f"No test picture has {', '.join(without[:10])}{' …' if len(without) > 10 else ''}: nothing measures these labels."
        )
    return out


def _labels(found: LabelScores) -> Grid:
    rows = tuple(
        (
            name,
            f"{one['pictures']:,} of {one['known']:,}",
            _plain(one["ap"]),
            _ends(one["ap_ci95"]),
            _plain(one["ap_of_prior"]),
            _plain(one["precision"]),
            _plain(one["recall"]),
            _plain(one["f1"]),
        )
        for name, one in found.labels.items()
    )
    columns = ("label", "pictures", "AP", "95 % interval", "of prior", "precision", "recall", "F1")
    return Grid(columns=columns, rows=rows, numbers=(1, 2, 3, 4, 5, 6, 7))


def _recall(found: LabelScores) -> str:
    if found.recall is None:
        return "-"
    return _plain(found.recall) + ("" if found.recall_asked is None else f" of {found.recall_asked:g} asked")


def _recalled(coverage: RecallFound) -> str:
    calibrated = f"calibrated on {coverage.calibrated_on:,} pictures"
    if coverage.measured is None or coverage.ci95 is None:
        return f"asked for {coverage.asked:g}; no test pictures to measure it on ({calibrated})"
    low, high = coverage.ci95
    return (
        f"asked for {coverage.asked:g}; on {coverage.pictures:,} test pictures {coverage.measured:.3f} of a picture's labels were among "
        f"them on average (95 % interval {low:.3f}-{high:.3f}; {calibrated})"
    )


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f}-{ends[1]:.3f}"
