"""One bad folder under `--models` says what is wrong with it, and hides no other."""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from warmstart.model.files import DESCRIPTION, _own_digest
from warmstart.serve.errors import ApiError
from warmstart.serve.registry import Models
from warmstart.serve.settings import ServeSettings

if TYPE_CHECKING:
    from warmstart.session.outcome import Run


def tampered(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / DESCRIPTION).read_text("utf-8")) | changes
    document.pop("digest")
    (folder / DESCRIPTION).write_text(json.dumps(document | {"digest": _own_digest(document)}), "utf-8")


BAD: dict[str, dict[str, Any]] = {
    "about-a-text": {"about": "text"},
    "about-a-list": {"about": [1]},
    "scores-a-text": {"about": {"scores": "good", "weights": {}}},
    "score-a-list": {"about": {"scores": {"test": [0.9]}}},
    "weights-a-text": {"about": {"weights": "mine"}},
    "classes-a-number": {"class_names": 3},
    "classes-objects": {"class_names": [{}, []]},
    "preprocessing-a-list": {"preprocessing": []},
    "head-a-list": {"head": []},
    "backbone-a-text": {"backbone": "resnet"},
    "task-a-list": {"task": ["classify"]},
    "task-unheard-of": {"task": "divine"},
}


@pytest.mark.parametrize("first", ["", "zzz-"], ids=["before the good ones", "after them"])
def test_bad_folders_are_listed_with_their_problem_beside_good_ones(
    trained: "Run", warm_cache: Path, tmp_path: Path, first: str
) -> None:
    place = tmp_path / "models"
    for name in ("mmm-good", *(first + bad for bad in BAD), first + "deep", first + "long-name-is-fine"):
        shutil.copytree(trained.folder / "model", place / name)
    for name, changes in BAD.items():
        tampered(place / (first + name), **changes)
    (place / (first + "deep") / DESCRIPTION).write_text("[" * 100_000, "utf-8")
    pipe = place / (first + "pipe")
    pipe.mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe / DESCRIPTION)
    loop = place / (first + "loop")
    loop.symlink_to(loop)
    models = Models(ServeSettings(models_folder=place, look_every_s=3600))
    try:
        models.look()
        described = {entry["name"]: entry for entry in models.describe()}
        assert described["mmm-good"]["problem"] is None
        assert described["mmm-good"]["classes"] == list(trained.model.class_names)
        for name in (*BAD, "deep"):
            assert DESCRIPTION in described[first + name]["problem"], described[first + name]
            with pytest.raises(ApiError, match="cannot be opened"):
                models.open(first + name)
        json.dumps(models.describe())  # what the page and the API are made of
        assert models.open("mmm-good").model.class_names == trained.model.class_names
    finally:
        models.close()
