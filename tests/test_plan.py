"""Plans as JSON: out and in again, edited by hand, and refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmstart.errors import MachineError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.session.run_folder import read_plan, under_way, write_plan


@given(
    st.builds(
        Plan,
        cut=st.sampled_from(["pooled", "stage5"]),
        image_size_px=st.none() | st.integers(32, 2048),
        threshold=st.none() | st.floats(0.01, 0.99),
        unfreeze=st.lists(st.sampled_from(["stage6", "stage7"]), unique=True).map(tuple),
        freeze=st.lists(st.sampled_from(["stem", "stage[1-4]", "*.bn*"]), unique=True).map(tuple),
        training=st.dictionaries(st.sampled_from(["epochs", "learning_rate"]), st.integers(1, 9)),
    )
)
def test_a_plan_survives_json(plan: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cut": 5}, "'cut' is 5; expected a text"),
        ({"seed": "x"}, "expected a whole number"),
        ({"seed": True}, "expected a whole number"),
        ({"image_size_px": 1.5}, "expected a whole number or null"),
        ({"threshold": "a"}, "expected a number or null"),
        ({"fractions": [1, "a", 0]}, "expected a list"),
        ({"freeze": ["stem", 1]}, "expected a list"),
        ({"training": []}, "expected an object"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_was_expected(values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Plan.from_dict(values)


def test_a_plan_that_freezes_nothing_by_name_is_written_as_it_always_was() -> None:
    assert "freeze" not in Plan(cut="stage5").to_dict()
    assert Plan.from_dict(Plan(cut="stage5").to_dict()).freeze == ()
    assert Plan(freeze=("stem",)).to_dict()["freeze"] == ["stem"]


def test_one_name_to_freeze_is_not_taken_letter_by_letter() -> None:
    for make in (lambda: Plan(freeze="stem"), lambda: Plan.from_dict({"freeze": "stem"})):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"freeze.* is 'stem'; expected a (tuple of names, such as|list)"):
            make()


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_a_seed_that_no_generator_takes_is_refused_from_code_and_from_a_file(seed: int) -> None:
    assert Plan(seed=2**32 - 1).seed == 4294967295
    for make in (lambda: Plan(seed=seed), lambda: Plan.from_dict({"seed": seed})):
        with pytest.raises(UsageError, match=rf"seed {seed} is outside 0 … 4294967295"):
            make()


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(UsageError, match="leave train nothing to learn from"):
        Plan(fractions=(0.0, 0.5, 0.5))


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean .*'cut'"):
        Plan.from_dict({"cutt": "stage5"})


@pytest.mark.parametrize("cut", ["pooled", "stage6"])
@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"learning_rat": 1}, r"unknown setting of training 'learning_rat'.*Did you mean .*'learning_rate'"),
        ({"epochs": 2.5}, "'training': 'epochs' is 2.5; expected a whole number"),
        ({"epochs": "3"}, "'training': 'epochs' is '3'; expected a whole number"),
        ({"epochs": False}, "'training': 'epochs' is False; expected a whole number"),
        ({"epochs": -1}, "'training': 'epochs' is -1; expected a whole number, 0 or more"),
        ({"optimizer": "adam"}, "'training': 'optimizer' is 'adam'; expected 'adamw' or 'sgd'"),
        ({"learning_rate": "fast"}, "'training': 'learning_rate' is 'fast'; expected a number"),
        ({"patience": 1.5}, "'training': 'patience' is 1.5; expected a whole number or null"),
        ({"class_weights": [1, "a"]}, "'training': 'class_weights' is .*; expected a list or null"),
        ({"epochs": 0, "label_smoothing": 2}, "label smoothing 2 is outside"),
    ],
)
def test_a_setting_of_training_that_cannot_be_is_refused_whatever_the_cut(
    training: dict[str, object], words: str, cut: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Plan.from_dict({"cut": cut, "training": training})


def test_settings_of_training_that_can_be_are_taken_whatever_the_cut() -> None:
    training = {"epochs": 0, "learning_rate": 1, "optimizer": "sgd", "patience": None, "class_weights": [1, 2.5]}
    for cut in ("pooled", "stage6"):
        Plan.from_dict({"cut": cut, "training": training}).require_runnable()


@pytest.mark.parametrize("plan", [Plan(), Plan(cut="stage5", head="svm"), Plan(cut="stage5", training={"epochs": 0})])
def test_gradual_unfreezing_where_nothing_is_trained_is_refused(plan: Plan) -> None:
    with pytest.raises(UsageError, match=r"--unfreeze stage6 .* nothing of it is trained"):
        replace(plan, unfreeze=("stage6",)).require_runnable()


def test_a_plan_is_read_from_its_file_or_from_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"cut": "stage5", "seed": 3}')
    assert read_plan(tmp_path) == read_plan(tmp_path / "plan.json") == Plan(cut="stage5", seed=3)


@pytest.mark.parametrize(("text", "words"), [("{", "no JSON document"), ("[]", "holds list"), (None, "cannot be read")])
def test_a_file_that_is_no_plan_is_refused_by_name(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=rf"mine\.json.* {words}"):
        read_plan(path)


def test_a_plan_that_cannot_be_written_names_its_file_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/plan\.json' cannot be written \(Not a directory\)"):
        write_plan(tmp_path / "file" / "plan.json", Plan(), None)


def test_a_run_folder_whose_plan_cannot_be_written_is_taken_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MachineError, match=r"plan\.json' cannot be written: the disk is full"), under_way(tmp_path / "run"):
        write_plan(tmp_path / "run" / "plan.json", Plan(), None)
    assert not (tmp_path / "run").exists()
