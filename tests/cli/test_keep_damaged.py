"""--keep-damaged reaches the plan of every verb that learns, and the call of every verb that uses a model."""

from typing import Any

import pytest

from warmstart.cli.main import app


class ReachedError(Exception):
    """In place of the workflow's work, which takes minutes."""


WORKFLOWS = {
    "train": "warmstart.workflows.train.train",
    "compare": "warmstart.tasks.classify.compare.compare",
    "advise": "warmstart.tasks.classify.advice.advise.advise",
    "lr-find": "warmstart.workflows.lr_find.lr_find",
    "doctor": "warmstart.tasks.classify.doctor.examination.doctor",
}


@pytest.mark.parametrize("verb", WORKFLOWS)
@pytest.mark.parametrize("kept", [False, True])
def test_a_verb_that_learns_has_it_in_its_plan(verb: str, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Any] = []

    def workflow(*given: Any, **_: Any) -> None:
        plans.extend(one for one in given if hasattr(one, "keep_damaged"))
        raise ReachedError

    monkeypatch.setattr(WORKFLOWS[verb], workflow)
    with pytest.raises(ReachedError):
        app([verb, "photos", *(["--keep-damaged"] if kept else [])], standalone_mode=False)
    assert [plan.keep_damaged for plan in plans] == [kept]


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
@pytest.mark.parametrize(("typed", "meant"), [([], None), (["--keep-damaged"], True), (["--no-keep-damaged"], False)])
def test_a_verb_that_uses_a_model_follows_it_unless_told(
    verb: str, typed: list[str], meant: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def workflow(*_: Any, **settings: Any) -> None:
        assert settings["keep_damaged"] is meant
        raise ReachedError

    monkeypatch.setattr(f"warmstart.workflows.{verb}.{verb}", workflow)
    with pytest.raises(ReachedError):
        app([verb, "model", "photos", *typed], standalone_mode=False)
