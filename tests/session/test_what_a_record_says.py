"""What a run says of itself, field by field, held against what can be found out without it: packages, files, tensors, pictures."""

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from warmstart.data.hashing import digest_file
from warmstart.data.listing import read_listing
from warmstart.extraction.features import Rows
from warmstart.model.predictor import load
from warmstart.tasks.classify.answers import ClassOutputs
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.temperature import fit_temperature, softmax
from warmstart.tasks.classify.trusted import calibrated

if TYPE_CHECKING:
    from warmstart.session.outcome import Run

LIBRARIES = {"pillow", "openvino", "timm", "torch", "torchvision"}


@pytest.fixture(scope="module")
def record(trained: "Run") -> dict[str, Any]:
    return dict(json.loads((trained.folder / "run.json").read_text("utf-8")))


def test_versions_are_those_that_are_installed(trained: "Run", record: dict[str, Any]) -> None:
    expected = {name: version(name) for name in (*LIBRARIES, "warmstart")}
    assert record["versions"] == expected
    assert load(trained.folder).about["versions"] == expected


def test_where_the_model_comes_from(trained: "Run", record: dict[str, Any], shapes: Path) -> None:
    about = load(trained.folder).about
    splits = dict.fromkeys(("train", "val", "test"), 0) | record["data"]["splits"]
    every = {digest_file(path).hex() for path in shapes.rglob("*.*")}
    plan = json.loads((trained.folder / "plan.json").read_text("utf-8"))
    assert about["plan"] == record["plan"] == {name: value for name, value in plan.items() if name != "forecast"}
    assert record["forecast"] == plan["forecast"]
    assert about["scores"]["test"] == record["scores"]["test"]
    assert about["data_fingerprint"] == record["data"]["fingerprint"]
    assert len(about["trained_on"]) == splits["train"] + splits["val"] < len(every)
    assert set(about["trained_on"]) < every
    assert about["trained_on"] == sorted(about["trained_on"])
    assert about["majority_class"] in record["data"]["classes"]
    assert about["weights"]["given"] == "default"
    assert about["weights"]["licence"]
    assert abs((datetime.fromisoformat(about["created"]) - datetime.now(UTC)).total_seconds()) < 86_400


def test_counts_are_those_of_the_pictures(record: dict[str, Any], shapes: Path) -> None:
    listed = read_listing(str(shapes)).examples
    assert record["data"]["images"] == len(listed) == sum(record["data"]["splits"].values())
    assert record["data"]["classes"] == {
        name: sum(example.class_name == name for example in listed) for name in sorted({e.class_name for e in listed})
    }
    assert record["cache"]["hits"] + record["cache"]["misses"] == len(listed)
    assert [record["scores"][split]["n"] for split in ("val", "test")] == [record["data"]["splits"][s] for s in ("val", "test")]
    assert record["data"]["source"] == str(shapes)
    assert record["run_dir"]


def test_phases_are_parts_of_the_whole(record: dict[str, Any]) -> None:
    seconds = record["seconds"]
    assert set(seconds) == {"total", "extract", "fit", "evaluate"}
    assert all(value > 0 for value in seconds.values())
    assert seconds["extract"] + seconds["fit"] + seconds["evaluate"] <= seconds["total"]
    assert record["images_per_second"] == pytest.approx(record["cache"]["misses"] / seconds["extract"])


def test_parameters_and_engine_are_those_of_the_model(trained: "Run", record: dict[str, Any]) -> None:
    model = load(trained.folder)
    counters = ("running_mean", "running_var", "num_batches_tracked")
    learnt = sum(tensor.size for name, tensor in model.tensors.items() if not name.endswith(counters))
    assert record["parameters"]["network"] == learnt
    assert record["parameters"]["trained"] == 0
    assert record["parameters"]["trained_stages"] == []
    assert record["engine"]["name"] == model.engine == record["plan"]["engine"]
    assert record["engine"]["precision"] == model.precision == record["plan"]["precision"]
    assert record["engine"]["proof"]["pictures"] == 16
    assert set(record["engine"]["proof"]["tap_errors"]) == {tap for tap, _ in model.layout}
    assert record["trust"]["temperature"] == model.temperature
    assert record["trust"]["calibration"]["pictures"] > 0


def test_a_temperature_leaves_room_for_one_mistake_that_was_not_seen(trained: "Run") -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    logits = (rng.normal(size=(24, 3)) + 4 * np.eye(3)[labels]).astype(np.float32)
    held_out = ClassOutputs(probabilities=softmax(logits), logits=logits)
    targets = ClassTargets(class_names=trained.model.class_names, labels=labels)
    layout = trained.model.layout
    bank = Rows(values=rng.normal(size=(30, sum(width for _, width in layout))).astype(np.float32), layout=layout)
    found = calibrated(trained.model.fitted, held_out, targets, bank=bank, seed=0)
    assert found.temperature == fit_temperature(logits, labels, doubt=1 / 26)
    assert found.temperature != fit_temperature(logits, labels, doubt=2 / 26)
    assert found.trust is not None
    assert (len(found.trust.calibration), len(found.trust.test)) == (24, 0)
    assert found.trust.novelty is not None
    assert len(found.trust.novelty.bank) == 30
    assert (np.diff(found.trust.calibration) >= 0).all()


def test_what_a_saved_model_knows_of_novelty_is_what_it_knew(trained: "Run") -> None:
    again = load(trained.folder)
    assert again.trust is not None
    assert again.trust.novelty is not None
    assert trained.model.trust is not None
    assert trained.model.trust.novelty is not None
    np.testing.assert_array_equal(again.trust.novelty.bank, trained.model.trust.novelty.bank)
