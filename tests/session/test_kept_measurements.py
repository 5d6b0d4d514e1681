"""What is kept beside the store: found again for the same question alone, and not kept where something was out of reach."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drawn_shapes import draw_folder, draw_shape
from warmstart import machine
from warmstart.data.hashing import digest_file
from warmstart.engines.build import Prefix, ProofPictures
from warmstart.extraction import prefixes
from warmstart.extraction.features import Extraction
from warmstart.extraction.prefixes import choose_engine
from warmstart.extraction.rendering import PICTURES, Renderer
from warmstart.inspection.registration import SIDE_PX
from warmstart.records import Listing, Picture, Preprocessing
from warmstart.session import engine_parity, near_copies
from warmstart.session.dataset import Dataset
from warmstart.session.near_copies import near_copies_together
from warmstart.session.progress import NullProgress
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.task import TASK

LAYOUT = (("stem", 2), ("pooled", 3))
PREFIX = Prefix(name="toy", key="5e" * 32, size_px=32, layout=LAYOUT, module=lambda: None)  # type: ignore[arg-type, return-value]
SEEN = Preprocessing(size_px=32)


@pytest.fixture(autouse=True)
def _nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    folder = draw_folder(tmp_path / "data", 3)
    return [Picture(path=str(path), digest=digest_file(path)) for path in sorted(folder.rglob("*.*"))]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ProofPictures]:
    """What `choose_engine` gives to be proved on."""
    found: list[ProofPictures] = []
    monkeypatch.setattr(prefixes, "resolve", lambda prefix, pictures, **_: found.append(pictures))
    return found


def choose(pictures: list[Picture], seen: Preprocessing = SEEN, renderer: Renderer = PICTURES) -> None:
    nowhere = Path("nowhere")
    choose_engine(pictures, PREFIX, seen, engine="auto", precision="auto", graphs=nowhere, renderer=renderer)


def test_a_proof_is_named_after_what_makes_its_pixels(pictures: list[Picture], asked: list[ProofPictures]) -> None:
    choose(pictures)
    choose(pictures[::-1])
    choose(pictures[1:])
    choose(pictures, replace(SEEN, resize="pad"))
    choose(pictures, replace(SEEN, size_px=64))
    choose(pictures, renderer=replace(PICTURES, id="another"))
    assert asked[0].key == asked[1].key
    assert len({proof.key for proof in asked}) == 5


def test_a_proof_is_not_kept_where_a_picture_was_out_of_reach_and_is_where_one_is_broken(
    pictures: list[Picture], asked: list[ProofPictures]
) -> None:
    first = min(pictures, key=lambda picture: picture.digest)
    content = Path(first.path).read_bytes()
    Path(first.path).write_bytes(content[:100])
    choose(pictures)
    assert (len(asked[0].load()), asked[0].lasting()) == (len(pictures) - 1, True)
    Path(first.path).unlink()
    choose(pictures)
    assert (len(asked[1].load()), asked[1].lasting()) == (len(pictures) - 1, False)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures float32 PyTorch was asked about, call by call; it says the number of the picture."""
    calls: list[int] = []

    def taps(model: Any, sources: list[Any]) -> Any:
        calls.append(len(sources))
        rows = [None if not Path(source).exists() else np.full(5, i, np.float32) for i, source in enumerate(sources)]
        return SimpleNamespace(rows=rows)

    monkeypatch.setattr(engine_parity, "eager_taps", taps)
    return calls


MODEL: Any = SimpleNamespace(prefix=lambda: PREFIX, preprocessing=SEEN)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-4],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[32:],
        lambda content: b"",
        lambda content: b"\x93NUMPY" + content,
    ],
)
def test_what_pytorch_said_is_asked_again_where_the_file_was_damaged(
    damage: Any, pictures: list[Picture], eager: list[int]
) -> None:
    first = said(pictures)
    assert np.array_equal(said(pictures), first)
    assert len(eager) == 1
    (path,) = _references()
    path.write_bytes(damage(path.read_bytes()))
    assert np.array_equal(said(pictures), first)
    assert len(eager) == 2


def said(pictures: list[Picture]) -> np.ndarray:
    return engine_parity._taps(MODEL, pictures, machine.graphs_folder())


def _references() -> list[Path]:
    return list(machine.graphs_folder().rglob("reference-*"))


def test_what_pytorch_said_of_other_pictures_or_with_another_decoder_is_no_answer(
    pictures: list[Picture], eager: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(pictures[:2])
    before = set(_references())
    said(pictures[2:4])
    (ours,) = set(_references()) - before
    for theirs in before:
        theirs.replace(ours)
    said(pictures[2:4])
    monkeypatch.setattr(engine_parity, "DECODER_ID", "another")
    said(pictures[2:4])
    assert len(eager) == 4


def test_what_pytorch_could_not_read_is_asked_again(pictures: list[Picture], eager: list[int]) -> None:
    path = Path(pictures[4].path)
    content = path.read_bytes()
    path.unlink()
    assert np.isnan(said(pictures)[4]).all()
    path.write_bytes(content)
    assert np.isfinite(said(pictures)).all()


@pytest.mark.parametrize("many", [3, 9])  # of fewer than three nothing can be told
def test_near_copies_that_were_out_of_reach_are_looked_for_again(
    many: int, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = pictures[:many]
    rows = np.random.default_rng(0).normal(size=(len(pictures), 5)).astype(np.float32)
    rows[1] = rows[0] + np.float32(1e-3)
    dataset = Dataset(
        source="data", task=TASK, pictures=tuple(pictures), splits=("train",) * len(pictures), units=np.arange(len(pictures)), problems=(),
        targets=ClassTargets(class_names=("a",), labels=np.zeros(len(pictures), np.int64)),
    )  # fmt: skip
    extraction = Extraction(rows=rows, layout=LAYOUT, broken={}, hits=0, misses=0, seconds=0.0, notes=())
    listing = Listing(source="data", examples=(), problems=(), class_names=("a",))
    there, looked = False, 0

    def image_stats(paths: list[str], **_: object) -> list[Any]:
        nonlocal looked
        looked += 1
        pixels = np.asarray(draw_shape("circle", 1).resize((SIDE_PX, SIDE_PX)))
        return [SimpleNamespace(pixels=pixels) if there else None for _ in paths]

    monkeypatch.setattr(near_copies, "image_stats", image_stats)
    monkeypatch.setattr(near_copies, "_grouped", lambda listing, copies, dataset: listing)

    def copies() -> int:
        with Session.opened(TrainSettings(group_duplicates=True), TASK, NullProgress()) as session:
            found = near_copies_together(listing, dataset, extraction, session)
        return 0 if found is None else found.pictures

    assert copies() == 0
    there = True
    assert copies() >= 2
    assert copies() >= 2
    assert looked == 2
    monkeypatch.setattr(near_copies, "DECODER_ID", "another")
    copies()
    assert looked == 3
