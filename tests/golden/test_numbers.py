"""Every number that a user has seen stays what it was, to the last digit on a machine of the same kind: what a rebuilding is held against.

    make golden                 compare with the numbers of this kind of machine; skipped, visibly, on any other
    make golden RECORD=1        write them: at the commit whose numbers are to stay, never to make a failure go away

All goes through the command line and the files that it writes, so nothing here knows how the code is arranged. What is told beside what was
told then may be new. What hangs on how busy the machine is (speeds, forecasts, which plan fits a time) is left out. Some five minutes on
two idle cores; `make test` leaves it to `make golden`.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from patience import PATIENCE_S
from warmstart import machine

pytestmark = pytest.mark.golden

LIBRARIES = ("numpy", "openvino", "pillow", "scikit-learn", "scipy", "timm", "torch", "torchvision")
# What a run says of its time, its place and the libraries around it.
NOT_NUMBERS = frozenset(
    {
        *(
            "seconds",
            "elapsed_seconds",
            "measured_s",
            "forecast_s",
            "forecast",
            "images_per_second",
            "images_per_second_before",
        ),
        *(
            "run_dir",
            "working_folder",
            "source",
            "path",
            "versions",
            "machine",
            "memory_bytes",
            "execution",
            "created",
            "bytes",
        ),
        # Scores that decided nothing and are told no more.
        *("logme", "h_score", "leep", "nce"),
        *("file", "model", "out", "folder", "page", "fix_list", "cache", "notes", "problems", "message", "reasons", "said"),
    }
)


@dataclass(frozen=True)
class Place:
    """Where the verbs of all cases run: one cache, so what the first computed the others find."""

    folder: Path
    clothing: Path

    def verb(self, *arguments: str) -> dict[str, Any]:
        """The JSON document that a verb prints."""
        command = [sys.executable, "-c", "from warmstart.cli.main import run; run()", *arguments, "--json"]
        environment = os.environ | {"WARMSTART_CACHE": str(self.folder / "cache")}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout.replace(str(self.clothing), "")))  # where pictures lie is no number

    def run(self, *arguments: str) -> dict[str, Any]:
        """A run's numbers, from its record and its files."""
        record = self.verb(*arguments)
        folder = self.folder / record["run_dir"]
        kept = {name: record[name] for name in ("scores", "choice", "trust", "training", "parity", "parameters")}
        kept["data"] = {name: record["data"][name] for name in ("images", "classes", "splits", "fingerprint", "kept_together")}
        kept["proof"] = record["engine"]["proof"]
        tensors = load_file(folder / "model" / "model.safetensors")
        predictions = (folder / "predictions.csv").read_text("utf-8")
        for place in (str(self.clothing), sys.prefix):
            predictions = predictions.replace(place, "")
        return {
            **numbers(kept),
            "predictions": digest(predictions),
            "model": digest("".join(sorted(f"{v.dtype} {v.shape} {digest(v.tobytes())}" for v in tensors.values()))),
            "run_dir": record["run_dir"],
        }


CASES: dict[str, Callable[[Place], dict[str, Any]]] = {
    **{f"demo, seed {seed}": lambda at, seed=seed: at.run("demo", "--seed", str(seed)) for seed in range(5)},
    "clothing, frozen": lambda at: at.run("train", str(at.clothing), "--cut", "pooled"),
    "clothing, svm, mirrored": lambda at: at.run(
        "train", str(at.clothing), "--cut", "pooled", "--head", "svm", "--views", "flip"
    ),
    "clothing, a knn on stage5": lambda at: at.run(
        "train", str(at.clothing), "--cut", "stage5", "--head", "knn", "--epochs", "0"
    ),
    "five kinds of clothing, tuned from stage5": lambda at: at.run(
        *("train", str(at.clothing), "--cut", "stage5", "--unfreeze", "stage6", "--taps", "all", "--image-size", "128"),
        *("--augment", "flip", "--augment-views", "2", "--epochs", "2", "--class-weight", "balanced"),
        *(part for name in ("t-shirt", "longsleeve", "pants", "shoes", "dress") for part in ("--exclude", name)),
    ),
    "clothing, advice": lambda at: numbers(advice_of(at.verb("advise", str(at.clothing), "--budget", "1h"))),
    "clothing, doctor": lambda at: numbers(at.verb("doctor", str(at.clothing))),
    "clothing, export to onnx": lambda at: numbers(at.verb("export", frozen_run(at), "--to", "onnx", "--resize-inside")),
    "clothing, export to openvino int8": lambda at: numbers(
        at.verb("export", frozen_run(at), "--to", "openvino", "--precision", "int8", "--proof-pictures", "100")
    ),
    "clothing, evaluated": lambda at: numbers(at.verb("evaluate", frozen_run(at), str(at.clothing / "test"))),
}


@pytest.fixture(scope="module")
def place(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("golden"), shared_data)


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_what_it_was(name: str, place: Place) -> None:
    kept = Path(__file__).with_name(f"numbers-{kind_of_machine()}.json")
    document = json.loads(kept.read_text("utf-8")) if kept.is_file() else {"machine": about_machine(), "numbers": {}}
    found = json.loads(json.dumps({k: v for k, v in CASES[name](place).items() if k != "run_dir"}))
    if os.environ.get("RECORD"):
        document["numbers"][name] = found
        kept.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        return
    if name not in document["numbers"]:
        pytest.skip(f"no numbers were recorded on a machine of this kind, {kind_of_machine()}")
    assert still_told(found, document["numbers"][name]) == document["numbers"][name]


def about_machine() -> dict[str, Any]:
    """What the last digits hang on."""
    return {
        "instructions": machine.vector_instructions(),
        "cores": machine.cores(),
        "libraries": machine.versions(*LIBRARIES),
    }


def kind_of_machine() -> str:
    """A short name for `about_machine`."""
    return digest(json.dumps(about_machine(), sort_keys=True))[:8]


def digest(content: str | bytes) -> str:
    """16 hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def numbers(value: Any) -> Any:
    """A document without what is no number of ours; long lists as their digest, small ones and all floats in full."""
    if isinstance(value, dict):
        return {key: numbers(inner) for key, inner in value.items() if key not in NOT_NUMBERS}
    if isinstance(value, list):
        inner = [numbers(each) for each in value]
        return inner if len(json.dumps(inner)) < 2000 else {"length": len(inner), "digest": digest(json.dumps(inner))}
    return value if not isinstance(value, np.generic) else value.item()


def still_told(found: Any, then: Any) -> Any:
    """What is found of what was told then: of documents the same entries, all else as it is."""
    if isinstance(found, dict) and isinstance(then, dict):
        return {key: still_told(found[key], then[key]) for key in then if key in found}
    if isinstance(found, list) and isinstance(then, list) and len(found) == len(then):
        return [still_told(one, before) for one, before in zip(found, then, strict=True)]
    return found


def advice_of(document: dict[str, Any]) -> dict[str, Any]:
    """What was measured, and what each plan is to gain; which plan fits the time is the machine's."""
    return {part: document[part] for part in ("data", "evidence", "advice")}


def frozen_run(at: Place) -> str:
    """The folder of the run that exports and scores start from."""
    return str(at.run("train", str(at.clothing), "--cut", "pooled")["run_dir"])
