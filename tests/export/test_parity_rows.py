"""Two tables of probabilities → a row: what counts as the same class, and what as a tie."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from warmstart.session.outcome import Run
from warmstart.tasks.classify import parity
from warmstart.tasks.classify.answers import ClassAnswers
from warmstart.tasks.classify.parity import TIE, Decide, Parity, compare, most_probable


def shares(*positive: float) -> np.ndarray:
    return np.array([[1 - p, p] for p in positive])


def at(threshold: float) -> Decide:
    return lambda probabilities: (probabilities[:, 1] >= threshold).astype(np.int64)


def row(reference: np.ndarray, exported: np.ndarray, decide: Decide, labels: list[int] | None = None) -> Parity:
    return compare(
        reference,
        exported,
        labels=None if labels is None else np.array(labels),
        paths=[str(i) for i in range(len(reference))],
        class_names=("a", "b", "c")[: reference.shape[1]],
        format="onnx",
        precision="int8",
        decide=decide,
    )


def test_decisions_that_flip_at_a_threshold_are_counted() -> None:
    before, after = shares(0.2, 0.2, 0.01, 0.8), shares(0.05, 0.2, 0.3, 0.8)
    by_threshold = row(before, after, at(0.1), labels=[1, 1, 0, 1])
    assert (by_threshold.agreement, by_threshold.accuracy_before, by_threshold.accuracy_after) == (0.5, 1.0, 0.5)
    assert not by_threshold.proven
    assert [(w.path, w.expected, w.found) for w in by_threshold.worst[:2]] == [("2", "a", "b"), ("0", "b", "a")]
    assert row(before, after, most_probable).agreement == 1.0


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_a_tie_lies_at_the_threshold_and_not_at_one_half(threshold: float) -> None:
    near, far = 0.4 * TIE, 0.6 * TIE
    before = shares(threshold - far, threshold - near, threshold, threshold + near, threshold + far, threshold - 0.05)
    assert row(before, before, at(threshold)).ties == 3


def test_the_two_best_of_many_tie_where_no_threshold_is() -> None:
    two_best = [[0.4, 0.4 - 0.9 * TIE, 0.2], [0.2, 0.4 - 1.1 * TIE, 0.4], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4]]
    assert row(np.array(two_best), np.array(two_best), most_probable).ties == 3


def test_an_export_is_held_against_the_decisions_of_its_model(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warmstart.workflows import export as workflow

    seen: list[Decide] = []

    def watched(*arguments: object, decide: Decide, **options: object) -> None:
        seen.append(decide)
        raise InterruptedError

    monkeypatch.setattr(parity, "compare", watched)
    with pytest.raises(InterruptedError):
        workflow.export(str(tiny.folder), workflow.ExportSettings(format="openvino", force=True, out=tmp_path / "out"))
    (decide,) = seen
    reading: ClassAnswers = replace(decide.__self__, class_names=("a", "b"), positive="b", threshold=0.1)  # type: ignore[attr-defined]
    assert reading.decide(shares(0.2, 0.05)).tolist() == [1, 0]
