"""`--resize auto`: elongated pictures whose cue lies beside the crop, in its middle, or that are not elongated at all."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

import warmstart as ws
from warmstart.backbones.chain import Backbone
from warmstart.cli import tables
from warmstart.data.listing import read_listing
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.report.run_record import read_record
from warmstart.report.task_page import task_page
from warmstart.session.outcome import Run
from warmstart.session.own_parts import OwnParts
from warmstart.session.run_folder import read_plan
from warmstart.session.settings import TrainSettings
from warmstart.strategy.resize import MOST_PICTURES
from warmstart.task_registry import find_task
from warmstart.workflows.train import train

PER_CLASS = 45
CLASSES = {"blue": (20, 40, 220), "red": (220, 40, 20)}


class Colours(nn.Module):
    """Three convolutions that know nothing but see colours."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
        self.stage1 = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.stage1(self.stem(x)).mean(dim=(2, 3))


def draw(folder: Path, size: tuple[int, int], left: int) -> Path:
    """folder/pictures.csv: grey noise with a square in the colour of its class, ``left`` px from the left end."""
    folder.mkdir()
    with (folder / "pictures.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split"))
        for i in range(2 * PER_CLASS):
            random = np.random.default_rng(i)
            pixels = np.repeat(random.integers(90, 160, (*size[::-1], 1), dtype=np.uint8), 3, axis=2)
            name = list(CLASSES)[i % 2]
            pixels[:, left : left + 16] = random.normal(CLASSES[name], 15, (size[1], 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
            table.writerow((f"{i}.png", name, ("test", "val", "train", "train", "train")[i // 2 % 5]))
    return folder / "pictures.csv"


@pytest.fixture(scope="module")
def own() -> OwnParts:
    import torch

    torch.manual_seed(0)
    return OwnParts(backbone=Backbone.from_module(Colours(), size_px=32))


@pytest.fixture(scope="module")
def run_of(own: OwnParts, tmp_path_factory: pytest.TempPathFactory, new_cache: Callable[[], Path]) -> Callable[..., Run]:
    """Trains; all runs share a store."""
    runs, cache = tmp_path_factory.mktemp("runs"), new_cache()

    def made(data: Path | Listing, resize: str = "auto", **plan: object) -> Run:
        settings = TrainSettings(runs=runs, findings=False, report=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WARMSTART_CACHE", str(cache))
            return train(data if isinstance(data, Listing) else str(data), Plan(resize=resize, **plan), settings, own=own)

    return made


@pytest.fixture(scope="module")
def at_the_end(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("data") / "end", (96, 24), 2)


@pytest.fixture(scope="module")
def left_crop(run_of: Callable[..., Run], at_the_end: Path) -> Run:
    return run_of(at_the_end)


def test_where_the_cue_lies_beside_the_crop_another_mode_is_taken(
    left_crop: Run, run_of: Callable[..., Run], at_the_end: Path
) -> None:
    record, choice = left_crop.record, left_crop.record.resize
    assert choice is not None
    assert record.plan.resize == choice.mode in ("squash", "pad")
    assert record.scores["test"].accuracy == 1.0
    assert [one.mode for one in choice.modes] == ["crop", "full-crop", "squash", "pad"]
    assert choice.pictures == record.data.splits["train"]
    assert choice.computed == 4 * choice.pictures
    assert record.cache.hits == choice.pictures  # what was drawn is not computed again
    assert record.cache.misses == record.data.images - choice.pictures
    assert run_of(at_the_end, "crop").record.scores["test"].accuracy < 0.8


def test_the_choice_stands_in_the_plan_the_record_the_model_and_what_is_said_of_the_data(
    left_crop: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, mode = read_record(left_crop.folder), left_crop.record.plan.resize
    assert record.resize == left_crop.record.resize
    assert read_plan(left_crop.folder / "plan.json").resize == record.plan.resize == mode
    assert left_crop.model.preprocessing.resize == mode
    assert record.data.seen["resize"] == mode
    (notice,) = record.data.notices
    assert notice.kind == "resize"
    assert f"{mode} is best" in notice.message
    out = io.StringIO()
    monkeypatch.setattr(tables, "console", lambda: Console(file=out, width=80, highlight=False))
    tables.train(record)
    assert f"{mode} ← taken" in out.getvalue()
    assert notice.message[:1].upper() + notice.message[1:60] in out.getvalue().replace("\n", " ")


def test_a_second_run_compares_what_is_kept_and_says_the_same(
    left_crop: Run, run_of: Callable[..., Run], at_the_end: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another head: the probe that compares is the linear one whatever the plan fits."""
    monkeypatch.setattr(
        "warmstart.tasks.classify.fit.judged", pytest.fail
    )  # what would be asked, if anything had to be judged anew
    again = run_of(at_the_end, head="ridge").record
    assert left_crop.record.resize is not None
    assert again.resize == replace(left_crop.record.resize, computed=0)
    assert again.cache.misses == 0


def test_relabelling_val_and_test_changes_no_bit_of_the_choice(
    left_crop: Run, run_of: Callable[..., Run], at_the_end: Path
) -> None:
    listing = read_listing(str(at_the_end))
    other = {"red": "blue", "blue": "red"}
    turned = [e if e.split == "train" else replace(e, class_name=other[e.class_name]) for e in listing.examples]
    wrong = run_of(replace(listing, examples=tuple(turned))).record
    assert left_crop.record.resize is not None
    assert wrong.resize == replace(left_crop.record.resize, computed=0)
    assert wrong.scores["test"].accuracy == 0.0


def test_where_the_cue_lies_in_the_crop_the_crop_stays_and_the_run_is_that_of_the_crop(
    run_of: Callable[..., Run], tmp_path: Path
) -> None:
    data = draw(tmp_path / "middle", (96, 24), 40)
    chosen, asked = run_of(data), run_of(data, "crop")
    assert chosen.record.resize is not None
    assert chosen.record.plan == asked.record.plan
    assert chosen.record.scores == asked.record.scores
    assert (chosen.folder / "predictions.csv").read_bytes() == (asked.folder / "predictions.csv").read_bytes()
    (notice,) = chosen.record.data.notices
    assert "none is better by more than chance, so the crop stays" in notice.message
    (notice,) = asked.record.data.notices
    assert "--resize squash shows all of each" in notice.message


def test_photographs_are_not_compared_and_their_run_is_that_of_the_crop(run_of: Callable[..., Run], tmp_path: Path) -> None:
    data = draw(tmp_path / "photographs", (36, 24), 2)
    chosen = run_of(data)
    assert chosen.record.cache.misses == chosen.record.data.images  # and no other row
    asked = run_of(data, "crop")
    assert chosen.record.resize is None
    assert chosen.record.to_dict()["resize"] == {}
    assert chosen.record.plan == asked.record.plan
    assert chosen.record.scores == asked.record.scores
    assert chosen.record.data.notices == ()
    assert (chosen.folder / "predictions.csv").read_bytes() == (asked.folder / "predictions.csv").read_bytes()


def test_too_few_pictures_keep_the_crop_and_it_is_said(run_of: Callable[..., Run], at_the_end: Path) -> None:
    listing = read_listing(str(at_the_end))
    few = run_of(replace(listing, examples=listing.examples[:40])).record
    assert few.plan.resize == "crop"
    assert few.resize is not None
    assert few.resize.modes == ()
    (notice,) = few.data.notices
    assert "different train pictures are too few, 30 would do. --resize squash shows all of each" in notice.message


def test_near_copies_that_change_the_split_have_the_modes_compared_again(
    run_of: Callable[..., Run], at_the_end: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared may be test after it, or be copies of one another."""
    from warmstart.session import probe
    from warmstart.session.near_copies import Together

    def together(listing: Listing, *_: object) -> Together:
        moved = [replace(e, split="test" if i % 20 == 4 else e.split) for i, e in enumerate(listing.examples)]
        return Together(listing=replace(listing, examples=tuple(moved)), pictures=5)

    monkeypatch.setattr(probe, "near_copies_together", together)
    record = run_of(at_the_end).record
    assert record.resize is not None
    assert record.resize.pictures == record.data.splits["train"] < 54
    assert record.plan.resize in ("squash", "pad")
    assert record.data.images <= MOST_PICTURES  # so all of train was compared


def test_advice_says_what_was_compared_before_anything_else(
    left_crop: Run, run_of: Callable[..., Run], at_the_end: Path
) -> None:
    advised = run_of(at_the_end, cut="auto").record
    assert left_crop.record.resize is not None
    assert advised.resize == replace(left_crop.record.resize, computed=0)
    assert advised.advice["resize"] == advised.resize.to_dict()
    assert {plan["resize"] for plan in advised.advice["advice"]["plans"]} == {advised.plan.resize} == {advised.resize.mode}
    assert advised.advice["advice"]["reasons"][0]["text"].startswith(
        "The centre crop shows 19 % of the median picture, so it was held"
    )


def test_an_estimator_compares_on_what_it_is_given(at_the_end: Path, own: OwnParts) -> None:
    pictures = [np.asarray(Image.open(at_the_end.parent / f"{i}.png")) for i in range(60)]
    names = [list(CLASSES)[i % 2] for i in range(60)]
    fitted = ws.Classifier(own.backbone).fit(np.stack(pictures[:40]), names[:40])
    assert fitted.model_.preprocessing.resize in ("squash", "pad")
    assert fitted.score(np.stack(pictures[40:]), names[40:]) == 1.0


@pytest.mark.parametrize(("column", "words"), [("amount", "squared error"), ("labels", "log-loss of a label")])
def test_numbers_and_labels_are_compared_by_what_their_tasks_lose(
    run_of: Callable[..., Run], at_the_end: Path, column: str, words: str
) -> None:
    with at_the_end.open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = at_the_end.with_name(f"{column}.csv")
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", column, "split"))
        for i, row in enumerate(rows):
            said = i % 7 / 100 + (row["label"] == "red") if column == "amount" else row["label"] + ";picture" * (i % 3 > 0)
            writer.writerow((row["path"], said, row["split"]))
    record = run_of(table, target=(column,) if column == "amount" else ()).record
    assert record.resize is not None
    assert record.resize.mode == record.plan.resize in ("squash", "pad")
    assert record.resize.loss == words
    assert {one.accuracy for one in record.resize.modes} == {None}
    assert read_record(Path(record.run_dir)).resize == record.resize
    page, _ = task_page(Path(record.run_dir), "today", find_task(record.task))
    assert f"{record.resize.mode} ← taken" in page.html


def test_values_in_an_order_are_compared_too(run_of: Callable[..., Run], at_the_end: Path) -> None:
    record = run_of(at_the_end, task="ordinal", options={"order": ",".join(CLASSES)}).record
    assert record.resize is not None
    assert record.resize.mode == record.plan.resize in ("squash", "pad")
    assert record.resize.loss == "log-loss"
