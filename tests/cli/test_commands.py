"""The command line: one JSON document on stdout, exit codes, safe names, and a reference that cannot rot."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main
from rich.console import Console

from drawn_shapes import CLASSES, draw_folder, draw_shape
from warmstart.cli.main import app
from warmstart.cli.reference import reference
from warmstart.cli.terminal import Terminal
from warmstart.cli.training_tables import say_overrun
from warmstart.csv_cells import text_of
from warmstart.errors import UsageError
from warmstart.options import read_seconds as seconds
from warmstart.plan import Plan
from warmstart.session.outcome import Run
from warmstart.workflows import train as train_module

Call = Callable[..., Any]


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


@pytest.fixture(scope="module")
def verbs(trained: Run, shapes: Path) -> dict[str, list[object]]:
    return {
        "train": ["train", shapes, "--image-size", 64, "--json"],
        "compare": [
            "compare",
            shapes,
            "--image-size",
            64,
            "--plans",
            "frozen,stage6",
            "--epochs",
            1,
            "--batch-size",
            4,
            "--budget",
            "5m",
            "--json",
        ],
        "lr-find": [
            "lr-find",
            shapes,
            "--image-size",
            64,
            "--cut",
            "stage6",
            "--taps",
            "all",
            "--batch-size",
            4,
            "--steps",
            10,
            "--json",
        ],
        "predict": ["predict", trained.folder, shapes / "circle", "--json"],
        "explain": ["explain", trained.folder, shapes / "circle" / "0.png", "--json"],
        "filters": ["filters", "efficientnet_lite0", "--json"],
        "evaluate": ["evaluate", trained.folder / "model", shapes, "--json"],
        "inspect": ["inspect", shapes, "--json"],
        "backbones": ["backbones", "--json"],
        "backbones NAME": ["backbones", "efficientnet_lite0", "--image-size", 64, "--json"],
        "cache": ["cache", "--json"],
        "cache verify": ["cache", "verify", "--json"],
        "cache prune": ["cache", "prune", "--json"],
    }


@pytest.mark.parametrize(
    ("verb", "keys"),
    [
        ("train", {"data", "plan", "scores", "seconds", "images_per_second", "cache", "run_dir"}),
        ("compare", {"contestants", "best", "budget_s", "reference", "curves", "transfer", "folder"}),
        ("lr-find", {"curve", "cut", "default", "folder"}),
        ("predict", {"predictions", "problems", "seconds"}),
        ("explain", {"prediction", "class", "method", "layer", "heat_map", "window_px", "neighbours", "notes", "files"}),
        ("filters", {"name", "backbone", "layer", "shape", "weights", "files"}),
        ("evaluate", {"images", "trained_on", "scores", "problems"}),
        ("inspect", {"images", "classes", "formats", "duplicates", "problems"}),
        ("backbones", {"backbones"}),
        ("backbones NAME", {"name", "cuts", "params_millions", "licence", "weights_tag"}),
        ("cache", {"folder", "budget_bytes", "bytes", "recipes"}),
        ("cache verify", {"recipes", "rows", "damaged"}),
        ("cache prune", {"removed", "bytes"}),
    ],
)
def test_json_is_one_document_on_stdout_and_nothing_else(
    verb: str, keys: set[str], verbs: dict[str, list[object]], warmstart: Call, warm_cache: Path
) -> None:
    result = warmstart(*verbs[verb])
    assert result.code == 0, result.err
    assert keys <= set(json.loads(result.out))


def test_without_json_tables_hold_the_same_numbers(verbs: dict[str, list[object]], warmstart: Call, warm_cache: Path) -> None:
    document = json.loads(warmstart(*verbs["evaluate"]).out)
    table = warmstart(*verbs["evaluate"][:-1]).out
    assert f"{document['scores']['accuracy']:.3f}" in table
    assert f"trained on {document['trained_on']} of these {document['images']} pictures" in table
    for verb in ("train", "predict", "explain", "filters", "inspect", "backbones NAME", "cache", "cache verify", "cache prune"):
        result = warmstart(*verbs[verb][:-1])
        assert (result.code, len(result.out) > 20) == (0, True), verb


def test_train_names_the_run_folder_and_predict_takes_it(warmstart: Call, shapes: Path, warm_cache: Path) -> None:
    result = warmstart("train", shapes, "--image-size", 64, "--json")
    run_dir = json.loads(result.out)["run_dir"]
    assert Path(run_dir).parent == Path("runs")
    assert Path(run_dir).name.endswith("-shapes")
    document = json.loads(warmstart("predict", run_dir, shapes / "circle" / "0.png", shapes / "nowhere.png", "--json").out)
    assert [prediction["class"] for prediction in document["predictions"]] == ["circle"]
    assert [problem["kind"] for problem in document["problems"]] == ["missing"]


def test_the_run_folder_of_the_working_folder_has_its_name(warmstart: Call, warm_cache: Path, tmp_path: Path) -> None:
    draw_folder(tmp_path / "some photos" / "data", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "some photos" / "data")
        run_dir = json.loads(warmstart("train", ".", "--image-size", 64, "--runs", tmp_path / "r", "--json").out)["run_dir"]
    assert Path(run_dir).name.endswith("-data")


def test_predictions_as_csv_go_to_a_file_or_to_stdout(
    trained: Run, shapes: Path, warmstart: Call, warm_cache: Path, tmp_path: Path
) -> None:
    on_stdout = warmstart("predict", trained.folder, shapes, "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(on_stdout.out)))
    assert len(rows) == 24
    assert set(rows[0]) == {"path", "class", "probability", "novelty", *CLASSES}
    to_file = warmstart("predict", trained.folder, shapes, "--csv", tmp_path / "p.csv", "--json")
    assert (tmp_path / "p.csv").read_text("utf-8").splitlines() == on_stdout.out.splitlines()
    assert len(json.loads(to_file.out)["predictions"]) == 24
    assert warmstart("predict", trained.folder, shapes, "--csv", "-", "--json").code == 2
    refused = warmstart("predict", trained.folder, shapes, "--csv", tmp_path / "no" / "p.csv")
    assert (refused.code, "cannot be written" in refused.said) == (2, True)


NASTY = {
    "spaces": "a class",
    "quotes": 'it\'s "one", really',
    "letters": "日本-ñ-и",
    "newline": "two\nlines",
    "markup": "[bold]",
    "backslash": "[red]\\",
    "escape": "red\x1b[31m",
    "formula": "=1+1",
}


def test_nasty_names_are_shown_safely_and_kept_exactly(warmstart: Call, warm_cache: Path, tmp_path: Path) -> None:
    data = tmp_path / "nasty [red] data"
    for number, name in enumerate(NASTY.values()):
        (data / name).mkdir(parents=True)
        for seed in range(5):
            draw_shape(CLASSES[number % 3], 10 * number + seed).save(data / name / f"{name} {seed}.png")
    names = {path.name for path in data.iterdir()}
    document = json.loads(warmstart("train", data, "--image-size", 64, "--json", "--split", "40/30/30").out)
    assert set(document["data"]["classes"]) == names
    run_dir = Path(document["run_dir"])
    with (run_dir / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {text_of(row["true"]) for row in rows} == names
    assert all(Path(text_of(row["path"])).is_file() for row in rows)

    shown = warmstart("predict", run_dir, data)
    assert (shown.code, "\x1b" in shown.out) == (0, False)
    assert "[bold]" in shown.out
    assert r"two\nlines" in shown.out.replace(" ", "").replace("\n", "")
    assert len(json.loads(warmstart("predict", run_dir, data, "--json").out)["predictions"]) == 5 * len(names)
    on_stdout = warmstart("predict", run_dir, data, "--csv", "-").out
    assert {text_of(row["class"]) for row in csv.DictReader(io.StringIO(on_stdout, newline=""))} <= names
    for arguments in (["evaluate", run_dir, data], ["inspect", data], ["train", data, "--image-size", 64]):
        shown = warmstart(*arguments)
        assert (shown.code, "\x1b" in shown.out + shown.err) == (0, False), shown.err
        assert "[bold]" in shown.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian", "x"], "train"),
        (["predict", "x"], "PICTURES"),
        (["train"], "DATA"),
        (["train", "DATA", "--image-size", "many"], "--image-size"),
        (["train", "DATA", "--image-size", "7"], "32"),
        (["train", "DATA", "--split", "70/30"], "70/15/15"),
        (["train", "DATA", "--split", "50/50/50"], "sum to 1"),
        (["train", "DATA", "--split", "nan/nan/nan"], "sum to 1"),
        (["train", "DATA", "--threshold", "nan", "--positive", "circle"], "threshold"),
        (["train", "DATA", "--cache-gb", "-1"], "--cache-gb"),
        (["train", "DATA", "--cache-gb", "inf"], "GB"),
        (["train", "DATA", "--resize", "crpo"], "crop"),
        (["train", "DATA", "--backbone", "efficientnet_light0"], "efficientnet_lite0"),
        (["train", "DATA", "--cut", "stage77", "--head", "svm"], "stage7"),
        (["train", "DATA", "--head", "svn"], "svm"),
        (["train", "DATA", "--no-such-option"], "--no-such-option"),
        (["backbones", "resnet5"], "resnet50"),
        (["cache", "prune", "--recipe", "abc"], "abc"),
        (["cache", "forget"], "prune"),
        (["predict", "imagenet:resnet5", "DATA"], "resnet50"),
    ],
)
def test_a_command_put_together_wrongly_exits_with_2_and_names_the_part(
    arguments: list[str], says: str, warmstart: Call, shapes: Path, warm_cache: Path
) -> None:
    result = warmstart(*(shapes if argument == "DATA" else argument for argument in arguments))
    assert (result.code, result.out) == (2, "")
    assert says in result.said
    assert "Traceback" not in result.err
    assert not Path("runs").exists()


def test_a_fault_of_ours_exits_with_3_and_shows_its_traceback_only_with_debug(
    warmstart: Call, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warmstart.workflows import inspect

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by [bold]nothing")

    monkeypatch.setattr(inspect, "inspect", fail)
    plain, debug = warmstart("inspect", shapes), warmstart("--debug", "inspect", shapes)
    assert (plain.code, debug.code) == (3, 3)
    assert "ZeroDivisionError" in plain.said
    assert "by [bold]nothing" in plain.said
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err


def test_ctrl_c_exits_with_130_and_no_traceback(warmstart: Call, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from warmstart.workflows import inspect

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "inspect", stop)
    result = warmstart("inspect", shapes)
    assert result.code == 130
    assert "Traceback" not in result.err


def test_help_and_version_exit_with_0(warmstart: Call) -> None:
    for name in ("", *commands()):
        result = warmstart(*([name] if name else []), "--help")
        assert (result.code, "Usage: " in result.out) == (0, True)
    assert warmstart("--version").out.strip().count(".") == 2


def test_every_option_and_argument_is_explained_in_its_help() -> None:
    for name, command in commands().items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.name == "help" or getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_command_line_reference_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text("utf-8") == reference(), "run: make docs"


def test_the_reference_shows_every_command_and_option() -> None:
    page = reference()
    for name, command in commands().items():
        assert f"## warmstart {name}\n" in page
        for parameter in command.params:
            if option := [flag for flag in parameter.opts if flag.startswith("--")]:
                assert option[0] in page


def test_a_cache_that_cannot_be_written_exits_with_1(
    warmstart: Call, shapes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "file" / "cache"))
    result = warmstart("inspect", shapes)
    assert result.code == 1
    assert "WARMSTART_CACHE" in result.said


def test_a_run_folder_that_cannot_be_made_exits_with_1(warmstart: Call, shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = warmstart("train", shapes, "--image-size", 64, "--runs", tmp_path / "file" / "runs")
    assert result.code == 1
    assert "--runs" in result.said


def test_pruned_rows_come_back_with_the_next_run(warmstart: Call, shapes: Path, warm_cache: Path) -> None:
    assert json.loads(warmstart("cache", "--json").out)["recipes"][0]["rows"] == 24
    warmstart("cache", "prune")
    assert json.loads(warmstart("cache", "--json").out)["bytes"] == 0
    shutil.rmtree(warm_cache / "store")
    assert json.loads(warmstart("train", shapes, "--image-size", 64, "--json").out)["cache"] == {"hits": 0, "misses": 24}


def test_a_comparison_is_a_table_with_the_majority_class_first_and_says_what_is_best_by_val(
    shapes: Path, warmstart: Call, warm_cache: Path
) -> None:
    options = ["--image-size", 64, "--plans", "frozen,scratch", "--epochs", 1, "--batch-size", 4, "--budget", "2m"]
    result = warmstart("compare", shapes, *options)
    assert result.code == 0, result.err
    rows = [line.split()[0] for line in result.out.splitlines() if line.strip()]
    assert rows.index("majority") < rows.index("frozen") < rows.index("scratch")
    for words in ("Best by log-loss on val, without test", "Start:", "Slope:", "Asymptote:", "curves.png"):
        assert words in result.said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare"], "give DATA to start, or --resume FOLDER"),
        (["compare", "photos", "--budget", "soon"], "for example 90s, 10m or 1.5h"),
        (["train", "photos", "--budget", "0m"], "no time to train in"),
        (["demo", "--plans", "frozen"], "belongs to --compare"),
        (["train", "photos", "--budget", ""], "'' is no time"),
        (["demo", "--budget", ""], "'' is no time"),
        (["demo", "--compare", "--budget", ""], "'' is no time"),
        (["train", "photos", "--budget", "9000h"], "at most 365 days"),
        (["compare", "photos", "--budget", "99999999999"], "at most 365 days"),
        (["advise", "photos", "--budget", "9000h"], "at most 365 days"),
        (["demo", "--budget", "9000h"], "at most 365 days"),
        (["demo", "--views", "flip", "--budget", "60s"], "--views is for the head that the demo fits without --budget"),
        (["demo", "--compare", "--views", "flip"], "--views cannot be chosen with --compare"),
    ],
)
def test_time_and_plans_that_make_no_sense_are_refused(arguments: list[str], words: str, warmstart: Call) -> None:
    result = warmstart(*arguments)
    assert result.code == 2
    assert words in result.said


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 m ", 120)])
def test_times_are_seconds_minutes_or_hours(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_a_plan_from_a_file_is_the_whole_recipe_and_options_beside_it_are_refused(
    trained: Run, shapes: Path, warmstart: Call, warm_cache: Path
) -> None:
    again = warmstart("train", shapes, "--plan", trained.folder, "--json")
    assert again.code == 0, again.err
    document = json.loads(again.out)
    assert document["cache"]["misses"] == 0
    assert document["scores"]["test"] == json.loads(json.dumps(trained.record.to_dict()))["scores"]["test"]
    both = warmstart("train", shapes, "--plan", trained.folder, "--seed", 3)
    assert both.code == 2
    assert "--seed was given beside it" in both.said
    usual = warmstart("train", shapes, "--plan", trained.folder, "--seed", 0, "--epochs", 1, "--heat-maps")
    assert usual.code == 2
    assert "--seed, --epochs was given beside it" in usual.said


@pytest.mark.parametrize(
    ("arguments", "cut"),
    [
        ([], "auto"),
        (["--seed", 0, "--batch-size", 32, "--image-size", 64], "auto"),
        (["--head", "linear"], "pooled"),
        (["--augment", "none"], "pooled"),
        (["--training", "momentum=0.9"], "pooled"),
        (["--cut", "auto"], "auto"),
        (["--cut", "stage5", "--augment", "none"], "stage5"),
    ],
)
def test_a_part_of_the_recipe_that_is_typed_counts_also_where_it_is_the_usual_one(
    arguments: list[object], cut: str, warmstart: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Plan] = []

    def stop(_data: object, plan: Plan, *_: object, **__: object) -> None:
        seen.append(plan)
        raise UsageError("far enough")

    monkeypatch.setattr(train_module, "train", stop)
    assert "far enough" in warmstart("train", "photos", *arguments).said
    assert seen[0].cut == cut


def test_a_part_of_the_recipe_beside_the_cut_auto_is_refused_also_where_it_is_the_usual_one(warmstart: Call) -> None:
    result = warmstart("train", "photos", "--cut", "auto", "--augment", "none", "--epochs", 15)
    assert (result.code, "--augment, --epochs was given: name a cut instead" in result.said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "idle"),
    [
        (["train", "--seed", 0], "--seed would"),
        (["train", "--budget", "10m", "--download", "--cut", "stage5"], "--cut, --budget would"),
        (["train", "--no-heat-maps", "--json"], "--no-heat-maps would"),
        (["compare", "--budget", "10m"], "--budget would"),
        (["compare", "--plans", "frozen", "--download", "--runs", "runs"], "--plans, --runs would"),
        (["demo", "--seed", 1, "--views", "none", "--budget", "60s"], "--seed, --views, --budget would"),
        (["demo", "--compare", "--plans", "frozen", "--json"], "--plans would"),
    ],
)
def test_options_that_would_change_nothing_beside_resume_are_refused_by_name(
    arguments: list[object], idle: str, warmstart: Call
) -> None:
    result = warmstart(*arguments, "--resume", "runs/one")
    assert (result.code, result.out) == (2, "")
    assert idle in result.said


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_what_does_something_beside_resume_may_stand_there(verb: str, warmstart: Call) -> None:
    result = warmstart(verb, "--resume", "runs/one", "--download", "--json")
    assert (result.code, "runs/one" in result.said) == (1, True)


def test_a_run_that_took_longer_than_its_budget_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def said(budget_s: float | None, *measured: float | None, advised: bool = True) -> str:
        advice = {"tried": [{"measured_s": seconds} for seconds in measured]} if advised else {}
        with Terminal(Console(stderr=True)) as terminal:
            say_overrun(SimpleNamespace(seconds={"total": 14.2}, advice=advice), budget_s, terminal)  # type: ignore[arg-type]
        return " ".join(capsys.readouterr().err.split())

    assert said(1, None, None) == "the budget of 1 s could not be met: the first model alone took 14 s"
    assert said(1) == "the budget of 1 s could not be met: the first model alone took 14 s"
    assert said(10, 3.0, None) == "the budget of 10 s could not be met: the run took 14 s"
    assert said(10, advised=False) == "the budget of 10 s could not be met: the run took 14 s"
    assert (said(None, None), said(15, None), said(14, None)) == ("", "", "")
