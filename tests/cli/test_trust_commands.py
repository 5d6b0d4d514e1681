"""predict --coverage and report on the command line: what is printed, the CSV, the JSON document, the exit codes."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from warmstart.workflows.train import Run

Command = Callable[..., Any]


@pytest.fixture
def pictures(shapes: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(shapes / "circle" / "0.png", folder / "a.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(folder / "noise.png")
    return folder


def test_predict_names_sets_with_the_coverage_that_was_measured(
    trained: Run, warm_cache: Path, warmstart: Command, pictures: Path
) -> None:
    result = warmstart("predict", trained.folder, pictures, "--coverage", "0.8")
    assert result.code == 0
    measured = trained.model.coverage(0.8)
    assert (
        f"asked for 0.8; on {measured.pictures} test pictures the set held the true class {measured.measured:.3f}"
        in result.said
    )
    assert "one of these (0.8)" in result.said
    assert "1 of 2 pictures are unlike training" in result.said
    plain = warmstart("predict", trained.folder, pictures)
    assert "one of these" not in plain.said
    assert "novelty" in plain.said


def test_the_csv_has_columns_for_both(trained: Run, warm_cache: Path, warmstart: Command, pictures: Path) -> None:
    rows = list(
        csv.DictReader(io.StringIO(warmstart("predict", trained.folder, pictures, "--coverage", "0.8", "--csv", "-").out))
    )
    assert list(rows[0])[:5] == ["path", "class", "probability", "novelty", "classes"]
    assert rows[0]["classes"].split("|")[0] == rows[0]["class"]
    assert float(rows[0]["novelty"]) < 99 <= float(rows[1]["novelty"])
    without = list(csv.DictReader(io.StringIO(warmstart("predict", trained.folder, pictures, "--csv", "-").out)))
    assert "classes" not in without[0]


def test_the_document_says_the_same(trained: Run, warm_cache: Path, warmstart: Command, pictures: Path) -> None:
    document = json.loads(warmstart("predict", trained.folder, pictures, "--coverage", "0.8", "--json").out)
    assert document["coverage"] == json.loads(json.dumps(trained.model.coverage(0.8).to_dict()))
    assert document["predictions"][0]["classes"][0] == document["predictions"][0]["class"]
    assert document["predictions"][1]["novelty"] >= 99
    plain = json.loads(warmstart("predict", trained.folder, pictures, "--json").out)
    assert plain["coverage"] is None
    assert plain["predictions"][0]["classes"] is None


@pytest.mark.parametrize("coverage", ["0", "1", "95", "nan"])
def test_a_coverage_that_is_none_is_a_usage_error(trained: Run, warmstart: Command, pictures: Path, coverage: str) -> None:
    result = warmstart("predict", trained.folder, pictures, "--coverage", coverage)
    assert result.code == 2
    assert "outside 0 … 1" in result.said


def test_report_writes_the_page_again_and_says_what_it_lacks(trained: Run, warmstart: Command, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    (folder / "report.html").unlink()
    (folder / "pictures.json").unlink()
    result = warmstart("report", folder)
    assert result.code == 0
    assert str(folder / "report.html") in result.out.replace("\n", "")
    assert "without the map of the data set" in result.said
    document = json.loads(warmstart("report", folder, "--json").out)
    assert document["path"] == str(folder / "report.html")
    assert document["bytes"] == (folder / "report.html").stat().st_size
    assert len(document["missing"]) == 1


def test_report_of_what_is_no_run_is_the_users_error(warmstart: Command, tmp_path: Path) -> None:
    result = warmstart("report", tmp_path)
    assert result.code == 1
    assert "is not a finished run" in result.said
