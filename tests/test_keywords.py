"""Options as keyword arguments: what is said, where it goes, and what is misspelt."""

import inspect

import pytest

import warmstart as ws
from warmstart.errors import UnknownNameError, UsageError
from warmstart.keywords import asked
from warmstart.options import fields_of
from warmstart.plan import ADVISED, Plan
from warmstart.session.settings import TrainSettings


def test_fields_go_where_they_belong() -> None:
    plan, settings = asked(
        {"cut": "stage5", "budget_s": 60, "robust": True, "target": "a,b", "logger": "csv"}, None, usual=Plan()
    )
    assert (plan.cut, plan.target, dict(plan.options)) == ("stage5", ("a", "b"), {"robust": True})
    assert (settings.budget_s, settings.logger) == (60, ("csv",))


def test_a_plan_is_left_to_advice_until_something_says_how() -> None:
    usual = Plan(cut=ADVISED)
    assert asked({"seed": 3, "backbone": "resnet50"}, None, usual=usual)[0] == Plan(cut=ADVISED, seed=3, backbone="resnet50")
    assert asked({"head": "ridge"}, None, usual=usual)[0] == Plan(head="ridge")
    assert asked({"seed": 3}, Plan(cut="stage4"), usual=usual)[0] == Plan(cut="stage4", seed=3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ctu": "stage5"}, "unknown argument 'ctu'.*'cut'"),
        ({"training": {"epoch": 3}}, "'epochs'"),
        ({"cut": "stag5"}, "'stage5'"),
        ({"head": "liner"}, "'linear'"),
        ({"logger": "tensorbord"}, "'tensorboard'"),
    ],
)
def test_a_misspelt_one_names_the_nearest(options: dict[str, object], said: str) -> None:
    with pytest.raises(UnknownNameError, match=said):
        asked(options, None, usual=Plan())


def test_a_wrong_value_is_refused() -> None:
    with pytest.raises(UsageError, match="batch size"):
        asked({"batch_size": 0}, None, usual=Plan())


def test_help_names_every_field() -> None:
    for verb in (ws.train, ws.compare, ws.advise, ws.lr_find, ws.doctor):
        parameters = inspect.signature(verb).parameters
        for options in (Plan, TrainSettings):
            assert set(fields_of(options)) <= set(parameters), verb.__name__
        assert "budget_s" in (verb.__doc__ or "")
