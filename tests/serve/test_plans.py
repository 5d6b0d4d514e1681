"""Plans out of requests."""

import pytest

from warmstart.errors import UsageError
from warmstart.serve.errors import ApiError
from warmstart.serve.plans import checked_plan


def test_a_plan_that_names_what_to_freeze_is_a_recipe_and_leaves_nothing_to_advice() -> None:
    assert checked_plan({}, cut="auto").cut == "auto"
    plan = checked_plan({"freeze": ["stem", "stage[1-3]"]}, cut="auto")
    assert (plan.cut, plan.freeze) == ("pooled", ("stem", "stage[1-3]"))
    training = {"freeze": ["stem", "stage[1-3]"], "augment": "flip", "unfreeze": ["stage6"]}  # of which only the network tells
    assert checked_plan(training, cut="auto").augment == "flip"
    with pytest.raises(UsageError, match="nothing of it is trained"):
        checked_plan(training | {"head": "svm"}, cut="auto")
    with pytest.raises(UsageError, match="'freeze' is 'stem'; expected a list"):
        checked_plan({"freeze": "stem"}, cut="auto")


def test_folders_in_folders_are_no_classes_of_a_data_set_that_was_uploaded() -> None:
    with pytest.raises(ApiError, match="animal>dog>pug"):
        checked_plan({"nested": True}, cut="auto")
