"""Prediction with a model folder needs no cache folder, and no package metadata."""

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from warmstart import machine
from warmstart.errors import StoreError
from warmstart.model.predictor import load

if TYPE_CHECKING:
    from warmstart.session.outcome import Run


@pytest.mark.parametrize("cache", ["a file stands there", "no home"])
def test_predictions_are_the_same_where_nothing_can_be_kept(
    cache: str, trained: "Run", shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = sorted(shapes.rglob("*.png"))[:3]
    expected = load(trained.folder).predict(pictures)
    if cache == "no home":

        def unknown() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv("WARMSTART_CACHE")
        monkeypatch.setattr(Path, "home", unknown)
        with pytest.raises(StoreError, match="Set WARMSTART_CACHE"):
            machine.store_folder()
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "file"))
    found = load(trained.folder).predict(pictures)
    assert [p.probabilities for p in found] == [p.probabilities for p in expected]


def test_a_source_tree_that_was_never_installed_has_no_version_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    from warmstart.extraction.stored_rows import library_versions

    def none(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", none)
    assert machine.installed_version("warmstart") == "unknown"
    assert set(library_versions().values()) == {"unknown"}


def test_the_cache_is_named_by_its_variable_or_by_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", os.fspath(Path("/some/where")))
    assert machine.cache_folder() == Path("/some/where")
