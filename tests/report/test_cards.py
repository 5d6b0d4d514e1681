"""What a notebook shows of a run, its scores and its model, and the figures of `run.plot()`: what stands there is what was measured."""

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import warmstart as ws
from warmstart.predicting import ModelFacts, card_of
from warmstart.report import shown
from warmstart.report.canvas import new_figure
from warmstart.report.plots import plot
from warmstart.report.run_record import HistoryRow, TrainingRecord
from warmstart.report.shown import shown_by
from warmstart.task_registry import find_task

if TYPE_CHECKING:
    from warmstart.session.outcome import Run

PNG = b"\x89PNG\r\n"


def test_cards_say_what_was_measured_and_ask_for_nothing(trained: "Run") -> None:
    test = trained.scores.test
    for card in (trained._repr_html_(), trained.scores._repr_html_(), trained.model._repr_html_()):
        assert card is not None
        assert f"{test.accuracy:.3f}" in card
        assert "{:.3f}-{:.3f}".format(*test.accuracy_ci95) in card
        assert "http" not in card
        assert "<script" not in card
    loaded = ws.load(trained.folder)._repr_html_()
    assert str(trained.folder / "model") in loaded
    assert "circle, square, stripes" in loaded


def test_names_in_a_card_are_text(trained: "Run") -> None:
    facts = replace(trained.model.facts, says={"classes": ["<b>cat</b>", "dog"]}, about={})
    card = card_of(facts, "<i>place")
    assert card is not None
    assert "&lt;b&gt;cat" in card
    assert "<i>" not in card


@pytest.mark.parametrize("about", [{"scores": {"test": {"accuracy": 1}}}, {"scores": 7}, {"weights": [1]}])
def test_what_no_model_of_ours_says_has_no_card(about: dict[str, Any]) -> None:
    facts = ModelFacts(task="classify", size_px=64, backbone=None, says={}, about=about)
    assert card_of(facts, "model") is None


def test_a_frozen_run_is_plotted_as_what_was_taken_for_what(trained: "Run") -> None:
    figure = trained.plot()
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["circle", "square", "stripes"]
    said = sum(int(text.get_text()) for text in axes.texts)
    assert said == trained.scores.test.n
    assert figure._repr_png_().startswith(PNG)


def test_a_trained_network_is_plotted_epoch_by_epoch(trained: "Run") -> None:
    losses = [(None, 1.0), (0.9, 0.7), (0.8, 0.75)]
    rows = tuple(
        HistoryRow(
            cut="stage5",
            epoch=i,
            step=3 * i,
            train_loss=on_train,
            val_loss=on_val,
            val={"accuracy": 0.5 + i / 10},
            best=i < 2,
            learning_rate=1e-3,
            seconds=1.0,
            elapsed_seconds=1.0 + i,
        )
        for i, (on_train, on_val) in enumerate(losses)
    )
    training = TrainingRecord(end="all epochs", best_epoch=1, epochs=rows, settings={}, execution={}, images_per_second=1.0)
    figure = plot(replace(trained.record, training=training), [])
    loss, accuracy = figure.axes
    train, val, kept = (line.get_xydata().tolist() for line in loss.lines)
    assert (train, val, kept) == ([[1, 0.9], [2, 0.8]], [[0, 1.0], [1, 0.7], [2, 0.75]], [[1, 0.7]])
    assert accuracy.lines[0].get_ydata().tolist() == [0.5, 0.6, 0.7]


def test_other_tasks_are_plotted_by_what_they_say(trained: "Run") -> None:
    _, axes = new_figure()
    targets = {"dots": {"mean": 2.0, "deviation": 2.0}, "size": {"mean": 0.0, "deviation": 10.0}}
    record: Any = SimpleNamespace(data=SimpleNamespace(of_task={"targets": targets}))
    rows = [{"dots": "4", "dots estimated": "3", "size": "-10", "size estimated": "20"}]
    shown_by(find_task("regress")).plot(record, rows, axes)
    assert [line.get_xydata().tolist() for line in axes.lines[:2]] == [[[1.0, 0.5]], [[-1.0, 2.0]]]

    _, axes = new_figure()
    one = {"ap": 0.75, "ap_ci95": (0.5, 0.9), "ap_of_prior": 0.25, "pictures": 3}
    test = SimpleNamespace(labels={"rust": one, "never": one | {"ap": None}}, n=9)
    shown_by(find_task("multilabel")).plot(SimpleNamespace(scores={"test": test}), [], axes)
    assert [bar.get_width() for bar in axes.patches] == [0.75]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["rust (3)"]

    _, axes = new_figure()
    shown.plot(trained.record, [], axes)
    assert trained.scores.test.accuracy in [bar.get_width() for bar in axes.patches]
