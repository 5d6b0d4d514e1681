"""What a run says of its data by the way: found from its own rows, after the test, and without any influence on it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from drawn_shapes import draw_folder, draw_shape, set_back
from photograph import photograph
from warmstart.plan import Plan
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_state import Probe
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.doctor import run_findings
from warmstart.workflows.train import Run, train


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures with a wrong label, an exact copy and a copy saved anew."""
    folder = draw_folder(tmp_path_factory.mktemp("data") / "faulty", 16)
    draw_shape("circle", 300).save(folder / "stripes" / "wrong.png")
    shutil.copy(folder / "circle" / "3.jpg", folder / "circle" / "again.jpg")
    scene = photograph(5)
    scene.save(folder / "square" / "scene.png")
    scene.resize((180, 234), Image.Resampling.BICUBIC).save(folder / "square" / "smaller.jpg", quality=90)
    set_back(folder)
    return folder


@pytest.fixture(scope="module")
def runs(faulty: Path, warm_copy: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, Probe]:
    """A run that looks for findings, one that does not, and what the first one looked at."""
    met: list[Probe] = []

    def examine(seen: Probe, folder: Path, watcher: Watcher) -> None:
        met.append(seen)
        examine_truly(seen, folder, watcher)

    examine_truly = run_findings.examine
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(warm_copy()))
        patch.setattr(run_findings, "examine", examine)
        with_them, without = (
            train(
                str(faulty),
                Plan(image_size_px=64, taps="middle"),
                TrainSettings(runs=tmp_path_factory.mktemp("runs"), report=False, findings=findings),
            )
            for findings in (True, False)
        )
    assert len(met) == 1
    return with_them, without, met[0]


def document(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "doctor.json").read_text("utf-8")))


def names(found: dict[str, Any], kind: str) -> list[set[str]]:
    return [{Path(path).name for path in one["paths"]} for one in found["findings"] if one["kind"] == kind]


def test_copies_and_doubtful_labels_are_found(runs: tuple[Run, Run, Probe]) -> None:
    found = document(runs[0].folder)
    assert names(found, "copy") == [{"3.jpg", "again.jpg"}]
    assert {"scene.png", "smaller.jpg"} in names(found, "near-copy")
    assert {"wrong.png"} in names(found, "label")
    assert any("odd shapes" in note for note in found["notes"])


def test_a_run_is_the_same_with_and_without_them(runs: tuple[Run, Run, Probe]) -> None:
    with_them, without, _ = runs
    assert not (without.folder / "doctor.json").exists()
    assert with_them.record.scores == without.record.scores
    for name in ("predictions.csv", "model/model.safetensors"):
        assert (with_them.folder / name).read_bytes() == (without.folder / name).read_bytes()


def test_what_would_take_long_is_left_out_and_said(
    runs: tuple[Run, Run, Probe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_findings, "SEARCH_MOST", 1000)
    monkeypatch.setattr(run_findings, "LABELS_MOST", 1000)
    run_findings.examine(runs[2], tmp_path, NullProgress())
    found = document(tmp_path)
    assert names(found, "copy")
    assert not names(found, "label") + names(found, "near-copy") + names(found, "outlier")
    assert any(note.startswith("labels were not judged: ") for note in found["notes"])
    assert any(note.startswith("near copies and outliers were not looked for: ") for note in found["notes"])


def test_a_network_with_random_weights_is_not_asked(runs: tuple[Run, Run, Probe], tmp_path: Path) -> None:
    run_findings.examine(replace(runs[2], plan=replace(runs[2].plan, weights="random")), tmp_path, NullProgress())
    found = document(tmp_path)
    assert {one["kind"] for one in found["findings"]} <= {"copy", "class"}
    assert "random weights" in found["notes"][0]
