"""train --freeze and lr-find --freeze."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
QUICK = ("--image-size", 64, "--batch-size", 8, "--taps", "all", "--no-findings", "--no-heat-maps", "--json")


def test_train_takes_layers_to_freeze_and_puts_the_cut_before_the_first_that_learns(warmstart: Command, shapes: Path) -> None:
    done = warmstart("train", shapes, "--freeze", "stem, stage[1-5],stage7", "--epochs", 1, *QUICK)
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert (record["plan"]["cut"], record["plan"]["freeze"]) == ("stage5", ["stem", "stage[1-5]", "stage7"])
    assert record["training"]["frozen"]["names"] == ["stage7"]
    assert "held as it is right of stage5, statistics included: stage7" in done.said


def test_what_was_held_stands_in_the_summary(warmstart: Command, shapes: Path) -> None:
    done = warmstart("train", shapes, "--freeze", "stem,stage[1-5],stage7", "--epochs", 1, *QUICK[:-1])
    assert done.code == 0, done.err
    assert "Right of the cut, stage7 is bit for bit what it was, statistics included." in done.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--freeze", "stem", "--cut", "pooled"), "--cut pooled trains nothing of the network"),
        (("--freeze", "stem", "--cut", "auto"), "--cut auto leaves the recipe to what is measured, and --freeze was given"),
        (("--freeze", "stem", "--cut", "stage5"), "--freeze stem leaves stage1 to learn, and --cut stage5"),
        (("--freeze", "stem", "--head", "ridge"), "with --head ridge nothing of it is trained"),
        (("--freeze", "layer3"), "unknown layer 'layer3'"),
        (("--freeze", "layer3", "--plan", "x.json"), "--freeze was given beside it"),
    ],
)
def test_what_cannot_be_frozen_is_refused_before_anything_is_read(
    warmstart: Command, options: tuple[str, ...], words: str
) -> None:
    done = warmstart("train", "nowhere", *options)
    assert done.code == 2
    assert words in done.said


def test_a_learning_rate_is_searched_with_layers_frozen(warmstart: Command, shapes: Path) -> None:
    done = warmstart(
        "lr-find", shapes, "--freeze", "stem,stage[1-5],stage7", "--steps", 10, *QUICK[:4], "--taps", "all", "--json"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["cut"] == "stage5"
    assert "held as it is right of stage5" in done.said
