"""Tables with long names and full intervals, at the widths of a narrow window and of a pipe: nothing in them is cut."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from warmstart.cli import advice_tables, training_tables
from warmstart.plan import Plan
from warmstart.records import Cache
from warmstart.report.run_record import DataRecord, RunRecord
from warmstart.tasks.classify.advice.backbone_competition import Candidate, Competition
from warmstart.tasks.classify.evidence.backbone_ranking import Place

LOW, HIGH = 0.9512, 1.0


def candidate(name: str, licence: str | None) -> Candidate:
    place = Place(
        name=name, accuracy=1.0, accuracy_ci95=(LOW, HIGH), information_loss=0.3, pictures=1200, rounds=3, tied_with_best=True
    )
    scores = {"knn": 0.81}
    return Candidate(
        name=name, place=place, size_px=224, images_per_second=1234.5, params_millions=143.7, licence=licence, scores=scores
    )


def contestant(name: str, gain: float | None) -> Any:
    """As `workflows.compare.Contestant`, with what a table reads of it."""
    trained = gain is not None
    return SimpleNamespace(
        name=name,
        gain=gain,
        gain_ci95=(gain - 0.1, gain + 0.1) if gain is not None else None,
        overfitting=None,
        shape=SimpleNamespace(start=1.0, after_first_epoch=1.0 if trained else None, asymptote=1.0),
        curve=SimpleNamespace(points=[SimpleNamespace(epoch=15 if trained else 0)]),
        record=RunRecord(
            data=DataRecord(
                source="x",
                images=2624,
                of_task={"classes": {"a": 1, "b": 2}},
                splits={"train": 1312, "val": 656, "test": 656},
            ),
            plan=Plan(image_size_px=300),
            scores={"test": SimpleNamespace(accuracy=1.0, accuracy_ci95=(LOW, HIGH), macro_f1=1.0)},
            seconds={"extract": 1234.0, "fit": 3.0, **({"train": 12345.0} if trained else {})},
            images_per_second=1.0,
            cache=Cache(hits=0, misses=1),
            run_dir="runs/x",
        ),
    )


@pytest.mark.parametrize("width", [100, 120])
def test_competing_backbones_keep_their_names_and_intervals(width: int) -> None:
    names = ("mobilenetv3_large_100", "efficientnet_lite0@random", "resnet50")
    places = tuple(candidate(name, licence) for name, licence in zip(names, ("Apache-2.0", "MIT", None), strict=True))
    out = Console(file=io.StringIO(), width=width)
    contest = Competition(places=places, absent={}, by_size=names, pictures=1200, seconds=1.0)
    advice_tables._competition(contest, out)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert text.count("0.951-1.000") == 3
    for words in (*names, "efficientnet_lite0@random = best", "0.81", "143.7 M", "Apache-2.0", "not stated"):
        assert words in text


@pytest.mark.parametrize("width", [100, 120])
def test_compared_plans_keep_their_names_accuracies_and_intervals(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("frozen", "features.denseblock4", "scratch+unmirrored@128")
    out = Console(file=io.StringIO(), width=width)
    monkeypatch.setattr(training_tables, "console", lambda: out)
    result = SimpleNamespace(
        contestants=tuple(contestant(name, gain) for name, gain in zip(names, (None, -0.1234, 0.2), strict=True)),
        reference="frozen",
        best="frozen",
        budget_s=600.0,
        majority_val=0.5,
        majority_accuracy=0.511,
        transfer=(),
        curves=("curves.png",),
    )
    training_tables.compare(result)  # type: ignore[arg-type]
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "100.0 → 100.0 → 100.0" in text
    assert text.count("100.0 (95.1-100.0)") == 3
    assert text.count("majority class") == 2
    for words in (*names, "-12.3 (-22.3…-2.3)", "+20.0 (+10.0…+30.0)", "1234 + 12345", "51.1"):
        assert words in text
    assert "…" not in text.replace("(-22.3…-2.3)", "").replace("(+10.0…+30.0)", "")
