"""What a report says, from records that are like those of runs."""

from typing import Any

import pytest

from warmstart.report.run_record import RunRecord, TrainingRecord
from warmstart.tasks.classify.report import sentences

DATA = {"source": "pets", "images": 5000, "classes": {"cat": 1000, "dog": 4000}, "problems": []}
PER_CLASS = {
    "cat": {"precision": 1.0, "recall": 0.6, "f1": 0.75, "support": 100.0},
    "dog": {"precision": 0.7, "recall": 1.0, "f1": 0.8, "support": 400.0},
}


def record(test: dict[str, Any] | None = None, **changes: Any) -> RunRecord:
    """Of a run whose scores on test are these but for what ``test`` says otherwise."""
    scores = {
        "n": 500,
        "accuracy": 0.92,
        "accuracy_ci95": [0.9, 0.94],
        "macro_f1": 0.775,
        "log_loss": 0.2,
        "ece": 0.03,
        "auroc": None,
        "majority_accuracy": 0.8,
        "confusion": [[60, 40], [0, 400]],
        "per_class": PER_CLASS,
        "used_for_choosing": False,
    }
    document = {
        "data": DATA,
        "plan": {"backbone": "resnet18", "weights": "default", "taps": "stage2,pooled", "image_size_px": 224},
        "scores": {"test": scores | (test or {})},
        "run_dir": "runs/my pets",
    }
    return RunRecord.from_dict(document | changes)


def training(**changes: Any) -> dict[str, Any]:
    """Of one epoch, as a record says it."""
    row = {"cut": "layer4", "epoch": 1, "step": 9, "train_loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9, "best": True}
    epochs = [row | {"learning_rate": 0.1, "seconds": 1.0, "elapsed_seconds": 2.0}]
    end = {"end": "every epoch was run", "best_epoch": 1, "epochs": epochs}
    return end | {"settings": {}, "execution": {}, "images_per_second": 9.0} | changes


def said(of: RunRecord, **also: Any) -> str:
    return " | ".join(
        f"{step.text} {step.command or ''}"
        for step in sentences.next_steps(of, **{"findings": None, "compared": False, "source": "my pets"} | also)
    )


def test_the_verdict_stands_beside_what_naming_one_class_would_do() -> None:
    verdict = sentences.verdict(record()).replace("\u00a0", " ")
    assert "92.0 % rightly" in verdict
    assert "90.0 % to 94.0 %" in verdict
    assert "right for 80.0 %" in verdict
    assert "not clearly better" in sentences.verdict(record(test={"accuracy_ci95": [0.79, 0.94]}))
    assert "nothing says how good" in sentences.verdict(record(scores={"test": None}))


@pytest.mark.parametrize(
    ("frozen", "trained", "count", "expected"),
    [
        (["stem", "stage1", "stage2"], [], 0, "Stages stem to stage2 frozen, none of 11.2 M parameters trained: only a head learns."),
        (["stem"], ["stage1"], 8_400_000, "Stages stem frozen, stage1 trained: 8.4 M of 11.2 M parameters trained, and a head."),
        (["stem", "stage1", "stage3"], ["stage2"], 8_400_000,
         "Stages stem to stage1 and stage3 frozen, stage2 trained: 8.4 M of 11.2 M parameters trained, and a head."),
        (["stem"], ["stage1", "stage3"], 8_400_000,
         "Stages stem frozen, stage1 and stage3 trained: 8.4 M of 11.2 M parameters trained, and a head."),
        (["stem"], [], 8_400_000, "Stages stem frozen, pooled trained: 8.4 M of 11.2 M parameters trained, and a head."),
        ([], [], 0, "The whole network is frozen, none of 11.2 M parameters trained: only a head learns."),
        ([], ["stem", "stage1", "stage2"], 11_200_000, "Nothing frozen: 11.2 M of 11.2 M parameters trained, and a head."),
    ],
)  # fmt: skip
def test_the_plan_says_what_is_frozen_and_what_is_trained(
    frozen: list[str], trained: list[str], count: int, expected: str
) -> None:
    parameters = {"network": 11_200_000, "trained": count, "frozen_stages": frozen, "trained_stages": trained}
    assert expected in sentences.plan_in_words(record(parameters=parameters))


def test_what_was_frozen_right_of_the_cut_is_named_in_few_words() -> None:
    names = [f"layer4.{i}.bn1" for i in range(7)]
    assert sentences.frozen_in_words(None) == []
    assert sentences.frozen_in_words(TrainingRecord.from_dict(training())) == []

    def in_words(names: list[str]) -> list[str]:
        return sentences.frozen_in_words(TrainingRecord.from_dict(training(frozen={"names": names, "digest": "d"})))

    (one,) = in_words(names[:1])
    assert one == "Right of the cut, layer4.0.bn1 is bit for bit what it was, statistics included."
    (many,) = in_words(names)
    assert many.endswith("layer4.3.bn1, layer4.4.bn1 and 2 more layers are bit for bit what they were, statistics included.")
    parts = {"network": 11_200_000, "trained": 11_100_000, "frozen_stages": [], "trained_stages": ["stem", "stage1"]}
    said = sentences.plan_in_words(record(parameters=parts, training=training(frozen={"names": names, "digest": "d"})))
    assert "No stage frozen whole: 11.1 M of 11.2 M parameters trained, and a head." in said


def test_a_record_without_newer_keys_is_said_in_fewer_words() -> None:
    assert sentences.plan_in_words(record()) == [
        "The network is resnet18, pretrained on ImageNet; it sees pictures of 224 × 224 px."
    ]
    assert sentences.calibration_in_words(record()) == []
    assert sentences.novelty_in_words(record()) is None


@pytest.mark.parametrize(("after", "verdict"), [(0.03, "taken at their word"), (0.05, "off by more than chance")])
def test_calibration_is_judged_by_what_chance_alone_does(after: float, verdict: str) -> None:
    trust = {
        "temperature": 1.2,
        "calibration": {"on": "300 pictures of val", "pictures": 300, "apart": True},
        "ece": {"before": 0.08, "after": after, "p95_when_calibrated": 0.04},
    }
    text = " ".join(sentences.calibration_in_words(record(trust=trust)))
    assert verdict in text
    assert f"{after:.3f} (0.080 before" in text
    assert "0.040 in 95 of 100" in text
    assert "None of them had a part in the choice" in text


def test_next_steps_begin_with_the_data_and_end_with_the_use_of_the_model() -> None:
    problem = {"path": "a.jpg", "kind": "truncated", "message": "a.jpg ends early"}
    text = said(record(data=DATA | {"problems": [problem, problem]}))
    for earlier, later in (
        ("2 problems", "doctor"),
        ("doctor", "cat is taken for dog (40 of 100)"),
        ("taken for dog", "Add pictures of cat"),
        ("Add pictures", "advise"),
    ):
        assert text.index(earlier) < text.index(later)
    assert text.endswith("warmstart predict 'runs/my pets' PICTURES… --coverage 0.95")
    assert "warmstart compare 'my pets'" in text


def test_what_was_done_is_not_advised_and_commands_need_a_place() -> None:
    done = said(record(advice={"case": "x"}), findings=(), compared=True)
    assert not [verb for verb in ("doctor", "advise", "compare") if f"warmstart {verb}" in done]
    assert "warmstart doctor" not in said(record(), source=None)
    assert "Look for wrong labels" in said(record(), source=None)


def test_findings_lead_to_a_list_of_fixes() -> None:
    text = said(record(), findings=({}, {}, {}))
    assert "(here 3)" in text
    assert "warmstart doctor 'my pets' --fix-list fixes.csv" in text
    assert "--fix-list" not in said(record(), findings=({},), source=None)


def test_a_small_test_is_called_so() -> None:
    assert "150 test pictures" in said(record(test={"n": 150}))
    assert "The test is small" not in said(record())
