"""Heat-maps in a report: of which pictures, that they are the explanation's own, and what is said where there are none."""

import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from warmstart.report.overlay import overlay
from warmstart.tasks.classify.explain import saliency_examples
from warmstart.tasks.classify.explain.explanation import ExplainSettings, explain
from warmstart.tasks.classify.explain.saliency_examples import LIMIT_AGAIN_S, look_again
from warmstart.tasks.classify.report.run_files import Judged, read_run
from warmstart.tasks.classify.report.saliency_examples import MISTAKES, MOST, worth_a_look
from warmstart.workflows.report import report
from warmstart.workflows.train import Run

A_JUDGED = st.builds(
    Judged,
    path=st.text("abc", min_size=1, max_size=6),
    true=st.sampled_from("wxyz"),
    predicted=st.sampled_from("wxyz"),
    probability=st.floats(0.3, 1),
)


@given(st.lists(A_JUDGED, max_size=40, unique_by=lambda p: p.path))
def test_the_surest_mistakes_and_the_surest_right_answer_of_a_class_are_chosen(judged: list[Judged]) -> None:
    chosen = worth_a_look(judged)
    wrong, right = [p for p in chosen if not p.right], [p for p in chosen if p.right]
    assert len(chosen) <= MOST
    assert len(set(chosen)) == len(chosen)
    assert len(wrong) == min(MISTAKES, sum(not p.right for p in judged))
    assert len({p.true for p in right}) == len(right)
    for p in right:
        assert p.probability == max(other.probability for other in judged if other.right and other.true == p.true)
    pairs = {(p.true, p.predicted) for p in judged if not p.right}
    assert len({(p.true, p.predicted) for p in wrong}) == min(MISTAKES, len(pairs))
    if wrong:
        assert chosen[0].probability == max(p.probability for p in judged if not p.right)
    if wrong and right:
        assert {chosen[0].right, chosen[1].right} == {True, False}


@pytest.fixture
def run_folder(trained: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


def opened(jpeg: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))), float)


def test_a_map_in_the_report_is_what_explain_finds(trained: Run, warm_cache: Path) -> None:
    found = look_again(read_run(trained.folder), trained.model, limit_s=LIMIT_AGAIN_S)
    assert found.notes == ()
    assert len(found.looks) == len(worth_a_look(read_run(trained.folder).judged))
    seen = found.looks[-1]
    settings = ExplainSettings(method="grad-cam", neighbours=0)
    expected = explain(str(trained.folder), seen.judged.path, settings)
    assert found.how == f"Grad-CAM at {expected.layer}"
    ((name, image),) = seen.maps
    assert name == expected.class_name == seen.judged.predicted
    assert image
    drawn = overlay(expected.picture, expected.heat_map, expected.window)
    assert np.abs(opened(image) - drawn).mean() < 6  # what JPEG loses
    assert np.abs(opened(seen.picture) - expected.picture).mean() < 12


def test_a_mistake_has_a_map_for_what_was_said_and_one_for_what_is_true(trained: Run) -> None:
    run = read_run(trained.folder)
    mistaken = replace(run.judged[0], predicted=next(name for name in run.class_names if name != run.judged[0].true))
    found = look_again(replace(run, judged=(mistaken,)), trained.model, limit_s=LIMIT_AGAIN_S)
    assert [name for name, _ in found.looks[0].maps] == [mistaken.predicted, mistaken.true]


def test_when_the_time_is_over_one_picture_is_there_and_the_others_are_counted(trained: Run) -> None:
    found = look_again(read_run(trained.folder), trained.model, limit_s=0.0)
    assert len(found.looks) == 1
    assert f"before {len(worth_a_look(read_run(trained.folder).judged)) - 1} of the" in found.notes[0]


def test_a_head_without_gradient_is_explained_by_occlusion(trained: Run) -> None:
    from warmstart.tasks.classify.heads.knn import KnnHead

    X = np.random.default_rng(0).normal(size=(30, trained.model.head.arrays()["coef"].shape[0])).astype(np.float32)
    head = KnnHead().fit(X, np.arange(30) % 3, n_classes=3)
    found = look_again(
        read_run(trained.folder), replace(trained.model, fitted=replace(trained.model.fitted, head=head)), limit_s=0.0
    )
    assert found.how.startswith("occlusion at stage")


def test_pictures_that_are_gone_are_counted_and_the_report_does_without(run_folder: Path, shapes: Path, tmp_path: Path) -> None:
    path = run_folder / "predictions.csv"
    path.write_text(path.read_text("utf-8").replace(str(shapes), str(tmp_path / "moved")), "utf-8")
    found = look_again(read_run(run_folder), limit_s=LIMIT_AGAIN_S)
    assert found.looks == ()
    assert f"{len(worth_a_look(read_run(run_folder).judged))} of the" in found.notes[0]
    report(run_folder)
    assert "could not be read when this was written" in (run_folder / "report.html").read_text("utf-8")


def test_where_there_is_no_model_no_torch_or_no_wish_the_report_says_so(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_torch(_model: object) -> None:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr(saliency_examples, "_taken_apart", no_torch)
    report(run_folder)
    assert "No module named &#39;torch&#39;" in (run_folder / "report.html").read_text("utf-8")
    monkeypatch.undo()
    shutil.rmtree(run_folder / "model")
    report(run_folder)
    assert "cannot be rebuilt in PyTorch" in (run_folder / "report.html").read_text("utf-8")
    report(run_folder, heat_maps=False)
    assert "were not wanted" in (run_folder / "report.html").read_text("utf-8")


def test_a_run_without_test_says_that_there_is_nothing_to_show_heat_maps_on(trained: Run) -> None:
    found = look_again(replace(read_run(trained.folder), judged=()), trained.model, limit_s=1)
    assert "there is no test picture" in found.notes[0]
