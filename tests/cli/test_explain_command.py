"""explain and filters as commands: where pictures go, what is shown, and what is said of what cannot be explained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warmstart.workflows.train import Run

Call = Callable[..., Any]


def test_pictures_go_to_a_new_folder_in_runs_or_where_they_were_asked_for(
    trained: Run, shapes: Path, warmstart: Call, warm_cache: Path, tmp_path: Path
) -> None:
    result = warmstart("explain", trained.folder, shapes / "circle" / "0.png")
    assert result.code == 0, result.err
    assert (folder := next(Path("runs").iterdir())).name.endswith("-0-explain")
    assert {path.stem for path in folder.iterdir()} == {"heat-map", "feature-maps", "depth", "neighbours"}
    assert "heat-map.png" in result.out
    assert "nearest training picture" in result.out
    result = warmstart("filters", trained.folder, "--out", tmp_path / "here", "--json")
    assert json.loads(result.out)["files"] == [str(tmp_path / "here" / f"filters.{kind}") for kind in ("png", "svg")]


def test_no_neighbours_are_looked_for_when_none_are_wanted(
    trained: Run, shapes: Path, warmstart: Call, warm_cache: Path
) -> None:
    result = warmstart("explain", trained.folder, shapes / "circle" / "0.png", "--neighbours", 0, "--json", "--out", "x")
    document = json.loads(result.out)
    assert (document["neighbours"], document["notes"]) == ([], [])
    assert not Path("x/neighbours.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["explain", "RUN", "PICTURE", "--layer", "stage77"], 2, "stage7"),
        (["explain", "RUN", "PICTURE", "--layer", "pooled"], 2, "no positions to map"),
        (["explain", "RUN", "PICTURE", "--class", "circel"], 2, "circle"),
        (["explain", "RUN", "PICTURE", "--method", "gradcam"], 2, "grad-cam"),
        (["explain", "RUN", "PICTURE", "--method", "grad-cam", "--layer", "pixels"], 2, "stem is the first stage"),
        (["explain", "RUN", "broken.jpg"], 1, "broken.jpg"),
        (["explain", "RUN", "nowhere.jpg"], 1, "nowhere.jpg"),
        (["explain", "RUN", "PICTURE", "--data", "nowhere"], 1, "does not exist"),
        (["explain", "nowhere", "PICTURE"], 1, "no such folder"),
        (["explain", "RUN", "PICTURE", "--out", "broken.jpg/x"], 1, "--out"),
        (["filters", "efficientnet_light0"], 2, "efficientnet_lite0"),
        (["filters", "resnet50"], 1, "--download"),
    ],
)
def test_what_cannot_be_explained_is_said_and_nothing_is_left_behind(
    arguments: list[str], code: int, words: str, trained: Run, shapes: Path, warmstart: Call, warm_cache: Path
) -> None:
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much")
    places = {"RUN": trained.folder, "PICTURE": shapes / "circle" / "0.png"}
    result = warmstart(*(places.get(argument, argument) for argument in arguments))
    assert (result.code, result.out) == (code, ""), result.said
    assert words in result.said
    assert "Traceback" not in result.err
    assert not Path("runs").exists()
