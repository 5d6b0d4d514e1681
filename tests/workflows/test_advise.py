"""advise, end to end on drawn pictures."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from drawn_shapes import draw_folder, set_back
from photograph import photograph
from warmstart.cli import advice_tables
from warmstart.errors import BackboneError, DataError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.records import Picture, to_json
from warmstart.report.run_record import DataRecord
from warmstart.session import dataset as dataset_module
from warmstart.session.dataset import Dataset
from warmstart.session.run_folder import read_plan
from warmstart.session.run_state import Extracted
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.advice import advise as advise_module
from warmstart.tasks.classify.advice.advise import Advised, advise
from warmstart.workflows import train as train_module
from warmstart.workflows.train import train

SMALL = Plan(image_size_px=64)


@pytest.fixture(scope="module")
def advised(
    shapes: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Advised, Path, Path]]:
    """(advice on the drawn pictures, its plan file, the cache it filled)."""
    cache, out = new_cache(), tmp_path_factory.mktemp("plan") / "plan.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(cache))
        yield advise(str(shapes), SMALL, plan_out=out), out, cache


def test_the_document_is_json_and_keeps_evidence_apart_from_advice(advised: tuple[Advised, Path, Path]) -> None:
    document = json.loads(to_json(advised[0].to_dict()))
    assert {"evidence", "advice", "plan", "forecast", "forecasts", "speed"} <= document.keys()
    assert [stage["tap"] for stage in document["evidence"]["depth"]["stages"]][::8] == ["stem", "pooled"]
    assert document["evidence"]["train_images"] < 24


def test_the_plan_file_is_the_plan_and_runs_without_computing_a_picture_again(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out, cache = advised
    plan = read_plan(out)
    assert plan == result.plan
    assert json.loads(out.read_text("utf-8"))["forecast"] == result.forecasts[result.chosen].to_dict()
    shutil.copytree(cache, tmp_path / "cache")
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "cache"))
    run = train(str(shapes), plan, TrainSettings(runs=tmp_path / "runs"))
    assert run.record.cache.misses == 0


def test_pictures_are_split_as_train_splits_them_also_where_near_copies_stay_together(
    tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_folder(tmp_path / "data", 8)
    for number in range(6):  # the split would divide some of these pairs
        scene = photograph(number)
        scene.save(folder / "circle" / f"scene-{number}.png")
        scene.resize((180, 234)).save(folder / "circle" / f"smaller-{number}.jpg", quality=92)
    set_back(folder)
    seen: list[DataRecord] = []

    def note(extracted: Extracted, *_: object, **_more: object) -> None:
        """Instead of what comes after the split."""
        seen.append(extracted.dataset.record())
        raise InterruptedError

    monkeypatch.setattr(advise_module, "advised", lambda _ready, looked_at, *_, **_more: note(looked_at))
    monkeypatch.setattr(train_module, "probed", note)
    for verb in (advise, train):
        with pytest.raises(InterruptedError):
            verb(str(folder), SMALL, TrainSettings(runs=tmp_path / "runs"))
    of_advice, of_train = seen
    assert of_advice.kept_together > 0
    assert of_advice == of_train  # with the fingerprint, over the split of every picture


def test_of_larger_data_a_draw_is_looked_at_and_the_rest_is_part_of_the_forecast(
    tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_folder(tmp_path / "data", 10, first_seed=500)
    for path in sorted((folder / "circle").iterdir())[:4]:
        path.write_bytes(path.read_bytes()[:200])  # most of a class cannot be decoded
    set_back(folder)
    shutil.copytree(warm_cache, tmp_path / "cache")
    whole = advise(str(folder), SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(advise_module, "MOST_PICTURES", 12)
        patch.setenv("WARMSTART_CACHE", str(tmp_path / "cache"))
        few = advise(str(folder), SMALL)
        run = train(str(folder), few.plan, TrainSettings(runs=tmp_path / "runs", report=False))
    assert 7 <= few.evidence.probed_images <= 12 < few.evidence.train_images
    assert few.evidence.train_images - 4 <= whole.evidence.train_images == whole.evidence.probed_images
    assert few.evidence.smallest_class == "circle"
    found = {problem.path for problem in few.data.problems}
    assert found < {problem.path for problem in whole.data.problems}  # those it came across
    left = few.data.images - few.evidence.probed_images
    assert run.record.cache.misses >= left - 4
    assert few.forecasts[-1].seconds["extract"] > 0 == whole.forecasts[-1].seconds["extract"]


def test_two_dozen_pictures_get_a_frozen_plan(advised: tuple[Advised, Path, Path]) -> None:
    assert advised[0].advice.scenario.band == "small"
    assert not advised[0].plan.trains_network


def test_labels_of_held_out_pictures_have_no_influence(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the labels of val and test turned round the evidence is the same to the last digit."""
    result, _, cache = advised
    shutil.copytree(cache, tmp_path / "cache", ignore=shutil.ignore_patterns("evidence"))  # so that it is measured again
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "cache"))
    from warmstart.tasks.classify.advice import advise as module

    def mislabelled(*arguments: object, **options: object) -> Dataset:
        found: Dataset = dataset_module.prepare(*arguments, **options)  # type: ignore[arg-type]
        found.targets.labels[found.positions("val", "test")] = (found.targets.labels[found.positions("val", "test")] + 1) % 3
        return found

    monkeypatch.setattr(module, "prepare", mislabelled)
    assert module.advise(str(shapes), SMALL).evidence == result.evidence


def test_asked_again_only_the_advice_is_made_anew(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _, cache = advised
    shutil.copytree(cache, tmp_path / "cache")
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "cache"))
    from warmstart.tasks.classify.advice import advise as module

    def measured_again(*arguments: object, **options: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(module, "gather", measured_again)
    monkeypatch.setattr(module, "measured_speed", measured_again)
    again = module.advise(str(shapes), SMALL)
    assert (again.evidence, again.advice, again.speed) == (result.evidence, result.advice, result.speed)

    with pytest.raises(AssertionError, match="measured again"):  # another seed draws other folds
        module.advise(str(shapes), replace(SMALL, seed=1))


def test_evidence_hangs_on_who_belongs_together_and_not_on_what_groups_are_called(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, Any]] = []
    question = advise_module._question

    def noting(ready: Any, shown: Any) -> dict[str, Any]:
        asked.append((ready, shown))
        return question(ready, shown)

    monkeypatch.setattr(advise_module, "_question", noting)
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        advise(str(shapes), SMALL)
    ((ready, shown),) = asked
    assert question(ready, replace(shown, units=shown.units + 100)) == question(ready, shown)
    assert question(ready, replace(shown, units=shown.units // 2)) != question(ready, shown)


def test_evidence_hangs_on_rows_labels_and_what_computes_the_rest(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, Any]] = []
    question = advise_module._question
    monkeypatch.setattr(advise_module, "_question", lambda *given: asked.append(given) or question(*given))  # type: ignore[func-returns-value]
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        advise(str(shapes), SMALL)
    ((ready, shown),) = asked
    before = question(ready, shown)
    others = [
        question(ready, replace(shown, rows=shown.rows + shown.rows.dtype.type(1))),
        question(ready, replace(shown, rows=shown.rows[::-1])),
        question(ready, replace(shown, labels=shown.labels[::-1])),
        question(ready, replace(shown, class_names=shown.class_names[::-1])),
    ]
    for module, name, value in (
        (advise_module, "DECODER_ID", "another"),
        (advise_module.machine, "versions", lambda *names: dict.fromkeys(names, "99.0")),
        (advise_module.machine, "describe", lambda: {"instruction_sets": ["avx1024"]}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            others.append(question(ready, shown))
    assert all(other != before for other in others)
    assert question(ready, shown) == before


def test_evidence_gathered_while_pictures_are_taken_away_is_not_kept(
    advised: tuple[Advised, Path, Path], tmp_path: Path
) -> None:
    there = Picture(path=str(tmp_path / "a.png"), digest=b"a" * 16)
    Path(there.path).write_bytes(b"x")
    gone = replace(there, path=str(tmp_path / "b.png"))
    assert advise_module._all_there([there, replace(gone, content=b"in memory")])
    assert not advise_module._all_there([there, gone])


def test_the_table_shows_profile_case_reasons_and_forecast(advised: tuple[Advised, Path, Path]) -> None:
    page = StringIO()
    advice_tables.advice(advised[0], Console(file=page, width=140))
    text = page.getvalue()
    for part in ("Depth profile", "← most", "The four textbook cases", "Why", "expected", "Recommended"):
        assert part in text
    assert text.count("→") >= 2  # the case and the plan that apply


def test_a_plan_that_would_gain_more_but_does_not_fit_is_named_with_the_time_it_takes(
    advised: tuple[Advised, Path, Path],
) -> None:
    result, page = advised[0], StringIO()
    probe = result.plan
    slow = replace(probe, cut="stage3", taps="all", training={"epochs": 15, "learning_rate": 1e-3})
    forecasts = (replace(result.forecasts[0], longest_s=1201.0), result.forecasts[0])
    advice = replace(result.advice, plans=(slow, probe), gains=(3.0, 0.0))
    advice_tables.advice(replace(result, advice=advice, forecasts=forecasts), Console(file=page, width=140))
    assert "--budget 21m: cut stage3" in page.getvalue()
    assert "3.0 points to expect" in page.getvalue()


def test_a_sparkline_has_a_bar_a_value() -> None:
    assert advice_tables.sparkline([0, 1, 2]) == "▁▅█"
    assert advice_tables.sparkline([3.0, 3.0]) == "▁▁"


@contextmanager
def cache_of(advised: tuple[Advised, Path, Path], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    shutil.copytree(advised[2], folder)
    monkeypatch.setenv("WARMSTART_CACHE", str(folder))
    yield


def test_competing_backbones_are_ranked_and_absent_ones_listed(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        result = advise(str(shapes), SMALL, backbones=("lite0", "resnet18", "lite0@random"))
    contest = result.competition
    assert contest is not None
    assert {candidate.name for candidate in contest.places} == {"efficientnet_lite0", "efficientnet_lite0@random"}
    assert list(contest.absent) == ["resnet18"]
    assert result.plan.backbone == contest.recommended == "efficientnet_lite0"
    scores = {candidate.name: set(candidate.scores) for candidate in contest.places}
    assert scores["efficientnet_lite0"] == {"knn"}
    json.loads(to_json(result.to_dict()))


def test_backbones_do_not_compete_on_pictures_that_cannot_be_decoded(
    advised: tuple[Advised, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_folder(tmp_path / "own")
    (data / "circle" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (data / "square" / "broken.jpg").write_bytes(b"\xff\xd8 nor this")
    set_back(data)
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        result = advise(str(data), SMALL, TrainSettings(group_duplicates=False), backbones=("lite0", "lite0@random"))
    contest = result.competition
    assert contest is not None
    assert contest.pictures == result.evidence.train_images == result.data.splits["train"]


def test_random_weights_are_never_recommended_and_do_not_compete_alone(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        with pytest.raises(UsageError, match="name a pretrained backbone beside"):
            advise(str(shapes), SMALL, backbones=("lite0@random",))
        with pytest.raises(BackboneError, match="resnet18"):
            advise(str(shapes), SMALL, backbones=("resnet18", "lite0@random"))
        found = advise(str(shapes), SMALL, backbones=("lite0", "lite0@random")).competition
    assert found is not None
    turned = replace(found, places=tuple(sorted(found.places, key=lambda c: "@" not in c.name)))
    assert turned.recommended == "efficientnet_lite0"


def test_a_forecast_counts_what_the_process_took_before_only_where_it_is_said(
    advised: tuple[Advised, Path, Path], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        here = advise(str(shapes), SMALL)
        fresh = advise(str(shapes), SMALL, seconds_before=1000.0)
    assert here.forecasts[-1].seconds["total"] < 1000 < fresh.forecasts[-1].seconds["total"]


def test_a_class_with_one_train_picture_is_spoken_of(
    advised: tuple[Advised, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_folder(tmp_path / "own")
    draw_folder(tmp_path / "one", 1, first_seed=30, classes=("circle",))
    shutil.move(tmp_path / "one" / "circle", data / "lonely")
    with cache_of(advised, tmp_path / "cache", monkeypatch):
        evidence = advise(str(data), SMALL).evidence
    assert any("lonely: one train picture" in note for note in evidence.notes)
    low, high = evidence.tap_sets["pooled"].accuracy_ci95
    assert high - low > 1 / evidence.train_images


def test_what_cannot_be_is_refused_before_any_work(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean"):
        advise(str(shapes), SMALL, backbones=("lite9",))
    with pytest.raises(UsageError, match=r"cannot be written .*; name another file"):
        advise(str(shapes), SMALL, plan_out=tmp_path / "nowhere" / "plan.json")
    (tmp_path / "alone" / "circle").mkdir(parents=True)
    with pytest.raises(DataError):
        advise(str(tmp_path / "alone"), SMALL)


def test_backbones_that_are_all_elsewhere_are_an_error(shapes: Path, warm_cache: Path) -> None:
    with pytest.raises(BackboneError, match="none of the backbones resnet18"):
        advise(str(shapes), SMALL, backbones=("resnet18",))
