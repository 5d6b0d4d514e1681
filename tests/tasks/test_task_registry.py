"""Plug-ins that are wrong, and models of tasks that are not installed: told by name, with what provides them."""

from pathlib import Path

import numpy as np
import pytest
from plug_ins import install

import warmstart as ws
from drawn_shapes import draw_folder
from warmstart.errors import ModelFileError, PlugInError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.session.listed import listed
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.task_registry import find_task, task_names
from warmstart.workflows.train import train

BROKEN = """
from dataclasses import replace
from invented.memory import MemoryTask, Unlikeness

class Raising(MemoryTask):
    name = "raising"
    def fit(self, train, val, run):
        return [][3]

class Claiming(MemoryTask):
    name = "claiming"
    def claims(self, listing):
        return "everything is one for it"

class AlsoClaiming(Claiming):
    name = "also"

class RaisingClaim(MemoryTask):
    name = "claimraises"
    def claims(self, listing):
        raise KeyError("what")

class Few(MemoryTask):
    name = "few"
    def fit(self, train, val, run):
        learnt = super().fit(train, val, run)
        object.__setattr__(learnt.fitted, "outputs", lambda rows: Unlikeness(maps=rows.map("stage3")[:1, 0]))
        return learnt

class Nothing:
    name = "nothing"

RAISING, CLAIMING, ALSO, RAISES, FEW, NOTHING = Raising(), Claiming(), AlsoClaiming(), RaisingClaim(), Few(), Nothing()
OTHER = Raising()
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = f"broken_{abs(hash(str(tmp_path)))}"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / f"{name}.py").write_text(BROKEN)

    def plug(tasks: dict[str, str], package: str = "invented") -> None:
        install(monkeypatch, tmp_path / "site", {task: f"{name}:{place}" for task, place in tasks.items()}, name=package)

    install.plug = plug  # type: ignore[attr-defined]
    return tmp_path / "site"


def _plug(tasks: dict[str, str], package: str = "invented") -> None:
    install.plug(tasks, package)  # type: ignore[attr-defined]


def _train(folder: Path, tmp_path: Path, **plan: object) -> None:
    train(str(folder), Plan(cut="pooled", image_size_px=96, **plan), TrainSettings(runs=tmp_path / "runs"))  # type: ignore[arg-type]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "pictures", 8, classes=("circle", "square"))
    (folder / "circle").rename(folder / "good")
    return folder


def test_what_a_plug_in_raises_is_told_as_its_own_with_the_line(site: Path, good: Path, tmp_path: Path) -> None:
    _plug({"raising": "RAISING"})
    with pytest.raises(
        PlugInError,
        match=r"'raising' of invented failed in 'fit' \(IndexError: .*; broken_\d+.py line 8\)",
    ):
        _train(good, tmp_path, task="raising")


def test_other_shapes_than_it_said_are_refused(site: Path, good: Path, tmp_path: Path) -> None:
    _plug({"few": "FEW"})
    with pytest.raises(PlugInError, match=r"the task 'few' of invented 1.0 gives 1 outputs for \d+ pictures"):
        _train(good, tmp_path, task="few")


def test_two_that_claim_the_same_are_both_named(site: Path, good: Path) -> None:
    _plug({"claiming": "CLAIMING", "also": "ALSO"})
    with pytest.raises(
        UsageError, match=r"is claimed by 2 tasks: also \(everything .*\); claiming \(everything .*Name the one.*--task"
    ):
        listed(str(good), TrainSettings(), Plan(cut="pooled"), NullProgress())
    assert listed(str(good), TrainSettings(), Plan(cut="pooled", task="classify"), NullProgress())[1].name == "classify"


def test_one_that_fails_while_it_is_asked_does_not_stop_the_others(site: Path, good: Path) -> None:
    _plug({"claimraises": "RAISES"})
    heard: list[str] = []

    class Listening(NullProgress):
        def say(self, line: str) -> None:
            heard.append(line)

    assert listed(str(good), TrainSettings(), Plan(cut="pooled"), Listening())[1].name == "classify"
    assert any("'claimraises' of invented failed in 'claims'" in line for line in heard)


def test_a_name_is_one_task(site: Path) -> None:
    _plug({"regress": "RAISING"})
    with pytest.raises(
        UsageError, match=r"the task 'regress' of invented has the name of another, of warmstart: uninstall one"
    ):
        task_names()


def test_two_packages_with_one_name_are_both_named(site: Path, tmp_path: Path) -> None:
    _plug({"raising": "RAISING"})
    _plug({"raising": "OTHER"}, package="other")
    with pytest.raises(
        UsageError, match=r"the task 'raising' of (other|invented) has the name of another, of (invented|other)"
    ):
        find_task("raising")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"nothing": "NOTHING"}, r"lacks .*fit.*, which warmstart asks of a task"),
        ({"renamed": "RAISING"}, r"'renamed' of invented calls itself 'raising'"),
        ({"absent": "ABSENT"}, r"'absent' of invented cannot be imported \(AttributeError"),
    ],
)
def test_what_is_no_task_is_refused_by_name(tasks: dict[str, str], message: str, site: Path) -> None:
    _plug(tasks)
    with pytest.raises(UsageError, match=message):
        find_task(next(iter(tasks)))


def test_a_model_of_a_task_that_is_not_installed_names_what_provides_it(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:
        install(here, tmp_path / "site", {"memory": "invented.memory:TASK"})
        run = train(str(good), Plan(task="memory", cut="pooled", image_size_px=96), TrainSettings(runs=tmp_path / "runs"))
        assert np.isfinite(ws.load(run.folder).predict(next(good.rglob("*.png"))).unlikeness)
    with pytest.raises(
        ModelFileError, match=r"is a model of the task 'memory' of invented 1.0, which cannot be used here: unknown task"
    ):
        ws.load(run.folder)
    with pytest.raises(UnknownNameError, match="unknown task 'memory'"):
        _train(good, tmp_path, task="memory")
