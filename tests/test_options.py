"""An option is written once: what is made of the fields of any options dataclass, with `Plan` as the one that matters most."""

import ast
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import warmstart as ws
from warmstart.backbones.cut_names import declared_cuts
from warmstart.cli import options as o
from warmstart.cli.option_groups import Given, Group, Groups, command
from warmstart.cli.reference import plan_page, with_training_table
from warmstart.errors import UnknownNameError, UsageError, WarmstartError
from warmstart.options import (
    NAMES,
    SECONDS,
    FrozenMapping,
    Option,
    Range,
    explained,
    fields_of,
    from_document,
    settle,
    to_document,
)
from warmstart.plan import TAP_SETS, Plan
from warmstart.session.settings import TrainSettings
from warmstart.strategy.taps import tap_sets
from warmstart.tasks.classify.heads.catalog import HEADS
from warmstart.training_settings import TrainingSettings

SOURCE = Path(ws.__file__).parent
DOCS = SOURCE.parents[1] / "docs"
MOST_PARAMETERS = 12


@dataclass(frozen=True, kw_only=True)
class Knots:
    """Options of a task that nobody has written yet."""

    strands: Annotated[int, Option("How many strands are tied.", range=Range(least=2, most=9))] = 3
    tie: Annotated[str, Option("One of {choices}.", choices=("reef", "granny"))] = "reef"
    slack: Annotated[float | None, Option("Slack that is left.", unit="mm", range=Range(above=0))] = None
    order: Annotated[tuple[str, ...], Option("What is tied first.", form=NAMES)] = ()
    colours: Annotated[tuple[str, ...], Option("Repeatable.", flag="--colour")] = ()
    rest_s: Annotated[float, Option("Between knots.", flag="--rest", form=SECONDS)] = 2.0
    side: Annotated[Literal["left", "right"], Option("Where it begins.")] = "left"
    wet: Annotated[bool, Option("Tie it wet.")] = False
    tight: Annotated[bool, Option("Pull.")] = True
    only_elsewhere: Annotated[int, Option("Not of this command.", verbs=("other",))] = 1
    of_no_command: int = 7

    def __post_init__(self) -> None:
        settle(self, "knot key")


@dataclass(frozen=True, kw_only=True)
class LaterPlan(Plan):
    """The plan, when somebody has written one more field."""

    polish: Annotated[int, Option("How often it is polished.", range=Range(least=0, most=5))] = 1


def ran(verb: str, *groups: type) -> typer.Typer:
    """An application of one command that prints what it was given."""
    parameters: Any = {f"part{n}": Annotated[Given[of], Group(verb)] for n, of in enumerate(groups)}  # type: ignore[valid-type]

    def show(**given: Any) -> None:
        for part in given.values():
            print(json.dumps({"made": to_document(part.make()), "typed": part.typed}))

    show.__annotations__ = parameters
    show.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint) for name, hint in parameters.items()]
    )
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command(show))
    return app


def shown(app: typer.Typer, *arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_invented_field_is_checked_read_from_json_explained_and_has_a_flag_without_another_edit() -> None:
    with pytest.raises(UsageError, match=r"polish 6 is outside 0 … 5"):
        LaterPlan(polish=6)
    with pytest.raises(UsageError, match=r"plan key 'polish' is 'x'; expected a whole number"):
        LaterPlan.from_dict({"polish": "x"})
    with pytest.raises(UnknownNameError, match="Did you mean 'polish'"):
        LaterPlan.from_dict({"polsh": 2})
    assert LaterPlan.from_dict(LaterPlan(polish=4).to_dict()).polish == 4
    assert LaterPlan.explain("polish").splitlines() == [
        "polish: How often it is polished.",
        "takes a whole number, 0 … 5; default 1",
        "on the command line --polish",
    ]
    app = ran("train", LaterPlan)
    (found,) = shown(app, "--polish", "3", "--cut", "stage5", "--epochs", "2", "--training", "momentum=0.8")
    assert found["made"] == LaterPlan(polish=3, cut="stage5", training={"epochs": 2, "momentum": 0.8}).to_dict()
    assert found["typed"] == {"cut": ["--cut"], "training": ["--epochs", "--training"], "polish": ["--polish"]}
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "How often it is polished." in text
    assert "[default: 1]" in text


def test_the_options_of_any_dataclass_become_flags() -> None:
    app = ran("train", Knots)
    assert shown(app) == [{"made": to_document(Knots()), "typed": {}}]
    typed = ["--strands", "4", "--tie", "granny", "--slack", "1.5", "--order", "b, a", "--colour", "red", "--colour", "blue"]
    (found,) = shown(app, *typed, "--rest", "1m", "--side", "right", "--wet", "--no-tight")
    expected = Knots(
        strands=4,
        tie="granny",
        slack=1.5,
        order=("b", "a"),
        colours=("red", "blue"),
        rest_s=60,
        side="right",
        wet=True,
        tight=False,
    )
    assert from_document(Knots, found["made"], "knot key") == expected
    assert (found["typed"]["tight"], found["typed"]["rest_s"]) == (["--no-tight"], ["--rest"])
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert "One of reef or granny." in text
    assert "<left|right>" in text
    assert "only-elsewhere" not in text
    assert "no-command" not in text


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"strands": 1}, UsageError, "strands 1 is outside 2 … 9"),
        ({"strands": True}, UsageError, "knot key 'strands' is True; expected a whole number"),
        ({"tie": "gran"}, UnknownNameError, "unknown tie 'gran'; known: reef, granny. Did you mean 'granny'"),
        ({"slack": 0}, UsageError, "slack 0 mm is not above 0"),
        ({"slack": math.inf}, UsageError, "slack inf mm is not above 0 and finite"),
        ({"slack": math.nan}, UsageError, "slack nan mm is not above 0"),
        ({"side": "up"}, UsageError, "expected 'left' or 'right'"),
        ({"strands": 99, "slack": -1}, UsageError, "strands 99 is outside 2 … 9; slack -1 mm is not above 0"),
    ],
)
def test_what_a_field_does_not_take_is_refused_with_what_it_takes(
    values: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words.replace("…", ".")):
        Knots(**values)


@dataclass(frozen=True, kw_only=True)
class Splices:
    """Another task's, which has a flag in common with the first."""

    strands: Annotated[int, Option("How many strands are spliced.", range=Range(least=2))] = 5
    taper: Annotated[bool, Option("Thinner to the end.")] = False

    def __post_init__(self) -> None:
        settle(self, "splice key")


def test_options_of_several_tasks_are_flags_of_one_command_each_with_its_own_defaults() -> None:
    made: list[Any] = []

    def tie(*, recipe: Annotated[Given[Plan], Group("train")], tasks: Annotated[Mapping[str, Given[Any]], TASKS]) -> None:
        made.append((recipe.make().cut, {name: (given.make(), dict(given.typed)) for name, given in tasks.items()}))

    app = typer.Typer(rich_markup_mode=None)
    app.command()(command(tie))
    for arguments in ([], ["--strands", "4", "--taper", "--cut", "stage5"]):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert made == [
        ("pooled", {"knots": (Knots(), {}), "splices": (Splices(), {})}),
        (
            "stage5",
            {
                "knots": (Knots(strands=4), {"strands": ("--strands",)}),
                "splices": (Splices(strands=4, taper=True), {"strands": ("--strands",), "taper": ("--taper",)}),
            },
        ),
    ]


TASKS = Groups("train", lambda: {"knots": Knots, "splices": Splices})


def test_a_range_never_holds_nan_and_infinity_only_where_it_is_said() -> None:
    for infinite in (Range(finite=False), Range(least=0, finite=False)):
        assert (infinite.holds(math.nan), infinite.holds(math.inf)) == (False, True)
    assert not Range().holds(math.nan)
    assert not Range(least=0).holds(math.inf)
    ranges = [
        Range(above=0, most=1),
        Range(least=0, below=1),
        Range(above=0, below=1),
        Range(least=1),
        Range(above=0),
        Range(most=3),
        Range(below=3),
    ]
    assert [str(one) for one in ranges] == [
        "0 (exclusive) … 1",
        "0 … 1 (exclusive)",
        "0 … 1 (exclusive)",
        "1 or more",
        "above 0",
        "3 or less",
        "below 3",
    ]


@pytest.mark.parametrize("name", ["seed", "image_size_px", "threshold", "batch_size", "fractions", "training"])
def test_a_number_of_four_hundred_digits_is_refused_like_any_other(name: str) -> None:
    huge = 10**400
    value = {"fractions": (huge, 0.5, -0.5), "training": {"learning_rate": huge}, "batch_size": -huge}.get(name, huge)
    with pytest.raises(UsageError):
        Plan(**{name: value})


def test_two_groups_with_one_name_are_refused_when_the_command_is_made() -> None:
    with pytest.raises(WarmstartError, match="has two options called colours, order"):
        ran("train", Knots, type("More", (Knots,), {}))


def test_an_option_that_is_not_there_cannot_be_explained() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'strands'"):
        explained(Knots, "strand", "knot key")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cut": "stag5"}, r"backbone 'efficientnet_lite0' has no cut 'stag5'.*Did you mean 'stage5'"),
        ({"cut": "stage7", "backbone": "resnet18"}, r"Its cuts are pixels, stem, stage1 … stage4, pooled"),
        ({"cut": "stage7", "backbone": "timm:resnet18.a2_in1k"}, "has no cut 'stage7'"),
        ({"unfreeze": ("stage6", "stag5")}, "has no cut 'stag5'"),
        ({"backbone": "resnet"}, "Did you mean 'resnet50'"),
        ({"head": "liner"}, "Did you mean 'linear'"),
        ({"views": "flp"}, "Did you mean 'flip'"),
        ({"resize": "crpo"}, "Did you mean 'crop'"),
        ({"engine": "tensorrt"}, "unknown engine 'tensorrt'; known: auto, openvino, pytorch"),
        ({"precision": "int8"}, "unknown precision 'int8'; known: auto, bf16, f32"),
        ({"class_weight": "balance"}, "Did you mean 'balanced'"),
        ({"augment": "strng"}, "Did you mean 'strong'"),
        ({"taps": "stage3,foo"}, "unknown tap 'foo'"),
        ({"taps": "midle"}, "Did you mean 'middle'"),
        ({"training": {"epoch": 3}}, "Did you mean 'epochs'"),
    ],
)
def test_a_plan_that_names_what_is_not_there_is_refused_when_it_is_made(values: dict[str, Any], words: str) -> None:
    for make in (lambda: Plan(**values), lambda: Plan.from_dict(values), lambda: replace(Plan(), **values)):
        with pytest.raises(UnknownNameError, match=words):
            make()


def test_where_nothing_is_declared_any_cut_and_tap_is_taken_until_the_network_is_loaded() -> None:
    assert declared_cuts("timm:test_efficientnet") is None
    assert Plan(backbone="timm:test_efficientnet", cut="stage99", taps="stage98").cut == "stage99"
    assert Plan(backbone="resnet18", cut="layer3").cut == "layer3"  # the library's own name


def test_a_plan_has_a_hash_and_its_settings_of_training_cannot_be_changed() -> None:
    plan = Plan(cut="stage5", training={"epochs": 2, "class_weights": [1, 2.5]})
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert (again, hash(again), {again: 1}[plan]) == (plan, hash(plan), 1)
    assert plan.training == {"epochs": 2, "class_weights": [1, 2.5]}
    assert plan != replace(plan, training={})
    assert hash(Plan(fractions=[0.7, 0.2, 0.1])) == hash(Plan(fractions=(0.7, 0.2, 0.1)))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        plan.training["epochs"] = 3  # type: ignore[index]
    given = {"epochs": 2}
    kept = Plan(training=given)
    given["epochs"] = 9
    assert kept.training["epochs"] == 2
    assert eval(repr(plan)) == plan


def test_numbers_of_numpy_and_paths_become_what_json_holds() -> None:
    plan = Plan(seed=np.int64(3), weights=Path("mine.pth"), threshold=np.float32(0.5), positive="a")  # type: ignore[arg-type]
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()
    assert (plan.seed, plan.weights) == (3, "mine.pth")


def test_a_frozen_mapping_is_frozen_all_the_way_down() -> None:
    deep = FrozenMapping({"a": {"b": [1, {"c": 2}]}})
    assert hash(deep) == hash(FrozenMapping({"a": {"b": (1, {"c": 2})}}))
    assert deep == {"a": {"b": [1, {"c": 2}]}}
    assert len(deep) == 1


def test_every_field_of_the_plan_and_of_the_settings_is_an_option_with_a_sentence() -> None:
    for options in (Plan, TrainSettings, TrainingSettings):
        assert list(fields_of(options)) == [field.name for field in fields(options)]
        for field in fields_of(options).values():
            assert field.option.text.endswith("."), field.name
            assert "{" not in field.option.text, field.name


def test_the_named_sets_of_taps_are_those_there_are() -> None:
    assert tuple(tap_sets(["stem", *(f"stage{n}" for n in range(1, 8)), "pooled", "max"])) == TAP_SETS
    assert {*fields_of(Plan)["head"].choices} == {*HEADS}


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_the_keywords_of_python_are_the_settings(verb: str) -> None:
    usual = TrainSettings()
    keywords = inspect.signature(getattr(ws, verb)).parameters
    for name in {field.name for field in fields_of(TrainSettings).values() if verb in field.option.verbs} & set(keywords):
        default = keywords[name].default
        wanted = 600.0 if (verb, name) == ("compare", "budget_s") else getattr(usual, name)
        assert (Path(default) if name == "runs" else default) == wanted, name
    assert set(fields_of(TrainSettings)) <= set(keywords)


def test_pages_made_of_the_fields_are_up_to_date() -> None:
    assert (DOCS / "plan.md").read_text("utf-8") == plan_page(), "run: make docs"
    training = (DOCS / "training.md").read_text("utf-8")
    assert training == with_training_table(training), "run: make docs"


def test_a_verb_with_one_option_of_a_dataclass_has_its_words() -> None:
    (told,) = o.Views.__metadata__
    assert told.help == fields_of(Plan)["views"].option.text


def parameters() -> dict[str, int]:
    """Every function written by hand → how many parameters it has."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                args = node.args
                every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
                found[f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"] = len(every)
    return found


def test_no_function_has_more_parameters_than_one_can_read() -> None:
    too_many = {name: count for name, count in parameters().items() if count > MOST_PARAMETERS}
    assert not too_many


if __name__ == "__main__":
    for name, count in sorted(parameters().items(), key=lambda item: -item[1])[:10]:
        print(f"{count:3}  {name}")
