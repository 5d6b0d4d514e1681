"""A run folder or a comparison as one self-contained HTML page: no request leaves it, and it opens from disk.

    run folder → what is in it → numbers, words, drawings → thumbnails within a budget → template

Each picture is embedded once, in a table that the page's script takes it from. Templates escape everything.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from markupsafe import Markup

from warmstart.inspection.findings import KINDS, About
from warmstart.records import Scores
from warmstart.report.line_charts import Line, learning
from warmstart.report.page import Page, environment
from warmstart.report.printable import printable
from warmstart.report.resize_modes import modes_grid
from warmstart.report.run_record import RunRecord
from warmstart.report.thumbnails import Thumbnails
from warmstart.tasks.classify.report import charts, confusion, sentences
from warmstart.tasks.classify.report.run_files import Judged, RunFiles, points_of
from warmstart.tasks.classify.report.saliency_examples import Looks
from warmstart.tasks.classify.temperature import Bin, reliability_bins, softmax
from warmstart.tasks.classify.tree import confusion_at, tree_of

if TYPE_CHECKING:
    from jinja2 import Environment

MISTAKES = 24
FINDINGS_SHOWN = 12  # of each kind
GROUP_SHOWN = 4  # pictures of a group of copies
PROBLEMS_SHOWN = 200


def run_page(run: RunFiles, created: str, looks: Looks) -> Page:
    """The report of a run. ``created``: when, for its foot. ``looks``: heat-maps of some test pictures."""
    record, names = run.record, run.class_names
    mistakes = sorted((p for p in run.judged if not p.right), key=lambda p: -p.probability)
    test: Scores | None = record.scores.get("test")
    matrix = confusion.cells(test.confusion) if test else []
    behind = confusion.behind(run.judged, names)
    pictures = _Pictures(record.data.source)
    findings = _by_kind(run.findings or ())
    shown_findings = [finding for _, _, shown in findings for finding in shown]
    on_map = _on_map(run)

    thumbnails = Thumbnails(locate=run.located)
    thumbnails.add(p.path for p in mistakes[:MISTAKES])
    thumbnails.add(path for notice in record.data.notices for path in notice.paths)
    thumbnails.add(path for finding in shown_findings for path in _paths(finding))
    thumbnails.add(p.path for key, cell in behind.items() for p in cell if _off_diagonal(key))
    thumbnails.add(path for path, _ in on_map)
    thumbnails.add(p.path for cell in behind.values() for p in cell)

    judged = {p.path: p for p in run.judged}
    data = {
        "cells": {key: [pictures.number(p.path, p) for p in cell] for key, cell in behind.items()},
        "map": [pictures.number(path, judged.get(path), names[label]) for path, label in on_map],
    }
    of_mistakes = [(p, pictures.number(p.path, p)) for p in mistakes[:MISTAKES]]
    class_of = _classes(run)
    of_findings = [
        (about, count, [_Found.of(f, [pictures.number(p, judged.get(p), class_of.get(p)) for p in _paths(f)]) for f in shown])
        for about, count, shown in findings
    ]
    of_notices = [
        (notice.message, [pictures.number(path, judged.get(path), class_of.get(path)) for path in notice.paths])
        for notice in record.data.notices
    ]
    data |= {"pictures": pictures.rows, "images": [thumbnails.images.get(path, "") for path in pictures.paths]}
    html = _environment().get_template("run.html").render(
        title=Path(record.data.source or run.folder.name).name,
        created=created,
        run=run,
        record=record,
        names=[printable(name) for name in names],
        modes=modes_grid(record.resize) if record.resize and record.resize.modes else None,
        plan=sentences.plan_in_words(record),
        verdict=sentences.verdict(record),
        calibration=sentences.calibration_in_words(record),
        novelty=sentences.novelty_in_words(record),
        steps=sentences.next_steps(record, findings=run.findings, compared=run.compared, source=run.source),
        accuracies=charts.accuracies(_bars(test, run.cold)) if test else "",
        curves=_curves(record),
        reliabilities=_reliabilities(run),
        depths=_depths(test) if test else None,
        matrix=matrix if 0 < len(matrix) <= confusion.LARGEST else [],
        pairs=confusion.confused_pairs(matrix),
        behind={key: len(cell) for key, cell in behind.items()},
        mistakes=of_mistakes,
        mistakes_in_all=len(mistakes),
        per_class=_per_class(test, names) if test else [],
        depth=_depth(record),
        map=charts.scatter(run.pictures.coordinates.tolist(), [label for _, label in on_map]) if run.pictures and on_map else "",
        mapped=len(on_map),
        marks=[charts.mark(label) for label in range(len(names))],
        findings=of_findings,
        notices=of_notices,
        look_for=sentences.looking_further(run.source),
        looks=looks,
        problems=record.data.problems[:PROBLEMS_SHOWN],
        seconds=_seconds(record),
        thumbnails=thumbnails,
        data=_json(data),
    )  # fmt: skip
    return Page(
        html=html,
        thumbnails=len(thumbnails.images),
        unreadable=len(thumbnails.unreadable),
        without_room=len(thumbnails.without_room),
    )


def comparison_page(result: Mapping[str, Any], created: str) -> Page:
    """The report of a comparison, from its compare.json, in which records are typed."""
    contestants, data = result["contestants"], result["contestants"][0]["record"].data
    budget = [Line(name=c["name"], points=_accuracy_over_time(c)) for c in contestants]
    bars = [
        charts.Bar(
            label=c["name"],
            value=c["record"].scores["test"].accuracy,
            interval=c["record"].scores["test"].accuracy_ci95,
            ours=c["name"] == result["best"],
        )
        for c in contestants
    ]
    majority = charts.Bar(label="always the most frequent class", value=result["majority_accuracy"])
    html = _environment().get_template("compare.html").render(
        title=Path(data.source).name,
        created=created,
        result=result,
        accuracies=charts.accuracies([*bars, majority]),
        curves=learning(
            budget,
            x_label="seconds since each plan began",
            y_label="accuracy on val",
            shares=True,
            level=("most frequent class", result["majority_val"]),
        ),
        names=[line.name for line in budget],
        record=contestants[0]["record"],
        notices=data.notices,
    )  # fmt: skip
    return Page(html=html, thumbnails=0, unreadable=0, without_room=0)


class _Pictures:
    """Numbers the pictures that a page shows, and holds a row of words for each."""

    def __init__(self, source: str) -> None:
        self.rows: list[list[Any]] = []  # name, true class, predicted class, its probability, novelty; null where not known
        self.paths: list[str] = []
        self._number: dict[str, int] = {}
        self._source = source

    def number(self, path: str, judged: Judged | None, true: str | None = None) -> int:
        """The place of this picture in the page's table."""
        if path not in self._number:
            self._number[path] = len(self.rows)
            self.paths.append(path)
            said = (
                [printable(judged.true), printable(judged.predicted), judged.probability, judged.novelty]
                if judged
                else [None if true is None else printable(true), None, None, None]
            )
            self.rows.append([printable(_shown(path, self._source)), *said])
        return self._number[path]


def _shown(path: str, source: str) -> str:
    """Relative to the data set, where it lies in it."""
    return os.path.relpath(path, source) if source and path.startswith(source.rstrip("/") + "/") else Path(path).name


def _off_diagonal(key: str) -> bool:
    true, _, predicted = key.partition("-")
    return true != predicted


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A finding as the page shows it."""

    message: str
    suggestion: str
    pictures: list[int]  # their numbers
    more: int  # pictures of it that are not shown

    @classmethod
    def of(cls, finding: Mapping[str, Any], numbers: list[int]) -> Self:
        return cls(
            message=str(finding.get("message", "")),
            suggestion=str(finding.get("suggestion", "")),
            pictures=numbers,
            more=len(finding.get("paths") or ()) - len(numbers),
        )


def _by_kind(findings: Sequence[Mapping[str, Any]]) -> list[tuple[About, int, list[Mapping[str, Any]]]]:
    """(what the kind means, how many there are, the first of them), in the doctor's order; kinds unknown here come last."""
    kinds: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in KINDS}
    for finding in findings:
        kinds.setdefault(str(finding.get("kind", "finding")), []).append(finding)
    known: Mapping[str, About] = {str(kind): about for kind, about in KINDS.items()}
    return [
        (known.get(kind, About(title=kind, explanation="")), len(found), found[:FINDINGS_SHOWN])
        for kind, found in kinds.items()
        if found
    ]


def _paths(finding: Mapping[str, Any]) -> list[str]:
    """The pictures that a finding is about, the first few."""
    found = finding.get("paths") or [finding.get("path")]
    return [path for path in found if isinstance(path, str)][:GROUP_SHOWN]


def _classes(run: RunFiles) -> dict[str, str]:
    """Path → class, of every picture of the run."""
    if run.pictures is None:
        return {}
    return {path: run.pictures.class_names[label] for path, label in zip(run.pictures.paths, run.pictures.labels, strict=True)}


def _on_map(run: RunFiles) -> list[tuple[str, int]]:
    """(path, label) of each sign."""
    if run.pictures is None:
        return []
    return [(run.pictures.paths[i], int(run.pictures.labels[i])) for i in run.pictures.mapped]


def _bars(test: Scores, beside: RunRecord | None) -> list[charts.Bar]:
    bars = [charts.Bar(label="this model", value=test.accuracy, interval=test.accuracy_ci95, ours=True)]
    if beside:
        cold: Scores = beside.scores["test"]
        bars.append(charts.Bar(label="cold start", value=cold.accuracy, interval=cold.accuracy_ci95))
    return [*bars, charts.Bar(label="always the most frequent class", value=test.majority_accuracy)]


def _curves(record: RunRecord) -> list[tuple[str, Markup, list[str]]]:
    """(heading, drawing, names of its lines) of accuracy and of loss; nothing where no network was trained."""
    points = points_of(record.training.epochs if record.training else ())
    if len(points) < 2:
        return []
    val = [(float(p.epoch), p.val_loss) for p in points]
    train = [(float(p.epoch), p.train_loss) for p in points if p.train_loss is not None]
    accuracy = Line(name="val", points=[(float(p.epoch), p.val_accuracy) for p in points])
    losses = [Line(name="val", points=val), *([Line(name="train", points=train)] if train else [])]
    return [
        ("Accuracy on val", learning([accuracy], x_label="epochs", y_label="accuracy", shares=True), ["val"]),
        ("Loss", learning(losses, x_label="epochs", y_label="log-loss", shares=False), [line.name for line in losses]),
    ]


def _reliabilities(run: RunFiles) -> list[tuple[str, Markup]]:
    """(heading, drawing) after and, where all probabilities are known, before temperature scaling."""
    out = []
    if before := _bins_before(run):
        out.append(("Before temperature scaling", charts.reliability(before, "before temperature scaling")))
    if run.judged:
        confidence = np.array([p.probability for p in run.judged])
        right = np.array([p.right for p in run.judged])
        # As two classes, right and wrong: bins look at the predicted class alone.
        after = reliability_bins(np.stack([1 - confidence, confidence], axis=1), right.astype(int), np.ones(len(right), int))
        out.append(
            ("As the model says it" if before else "After temperature scaling", charts.reliability(after, "of the model"))
        )
    return out


def _bins_before(run: RunFiles) -> tuple[Bin, ...] | None:
    temperature = run.record.trust.get("temperature")
    if run.pictures is None or temperature is None:
        return None
    seen = run.pictures
    of_test = np.array([seen.splits[i] == "test" for i in seen.held_out], bool)
    if not of_test.any():
        return None
    shares, labels = seen.probabilities[of_test], seen.labels[seen.held_out[of_test]]
    before = softmax(temperature * np.log(np.maximum(shares.astype(np.float64), 1e-300)))
    predicted = {p.path: p.predicted for p in run.judged}
    names = {name: label for label, name in enumerate(seen.class_names)}
    chosen = [
        names.get(predicted.get(seen.paths[i], ""), int(row.argmax()))
        for i, row in zip(seen.held_out[of_test], shares, strict=True)
    ]
    return reliability_bins(before, labels, np.array(chosen))


def _per_class(test: Scores, names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for i, (name, row) in enumerate(test.per_class.items()):
        wrong = [(count, names[j]) for j, count in enumerate(test.confusion[i]) if j != i and count]
        rows.append({"name": printable(name), **row, "taken_for": "{0[1]} ({0[0]})".format(max(wrong)) if wrong else ""})
    return rows


def _depths(test: Scores) -> dict[str, Any] | None:
    """Where names of classes are a tree: a row a depth, and who is taken for whom at the top."""
    if not test.by_depth:
        return None
    tree = tree_of(tuple(test.per_class))
    tops, counts = confusion_at(tree, test.confusion, 1)
    few = 1 < len(tops) <= confusion.LARGEST
    return {
        "rows": [
            {"depth": depth, "classes": len(set(tree.at(depth).tolist())), "scores": one}
            for depth, one in enumerate(test.by_depth, 1)
        ],
        "tops": [printable(name) for name in tops],
        "matrix": confusion.cells(counts) if few else [],
    }


def _depth(record: RunRecord) -> Markup | None:
    stages = record.advice.get("evidence", {}).get("depth", {}).get("stages")
    return charts.depth(stages) if stages else None


def _seconds(record: RunRecord) -> list[tuple[str, float | None, float | None]]:
    """(phase, measured, forecast)."""
    measured, forecast = record.seconds, record.forecast.get("seconds", {})
    return [(phase, measured.get(phase), forecast.get(phase)) for phase in dict.fromkeys([*measured, *forecast])]


def _accuracy_over_time(contestant: Mapping[str, Any]) -> list[tuple[float, float]]:
    return [(point["seconds"], point["val_accuracy"]) for point in contestant["curve"]["points"]]


def _json(data: Any) -> Markup:
    """JSON that may stand in a script element: nothing in it can end that."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _environment() -> "Environment":
    return environment("warmstart.tasks.classify.report", scripts=("report.js",))
