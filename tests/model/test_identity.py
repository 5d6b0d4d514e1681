"""What a model is known by: the digest of its own tensors, whatever its folder says; and pictures in memory, by their pixels."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_shapes import draw_folder, draw_shape
from warmstart.backbones.catalog import find
from warmstart.backbones.weights import feature_tensors, load_backbone, weights_digest
from warmstart.data.hashing import digest_pixels
from warmstart.extraction.features import Extraction
from warmstart.extraction.prefixes import cut_prefix, prefix_key, tapped_prefix
from warmstart.extraction.reader import Reader
from warmstart.model import files
from warmstart.model.features import FeatureExtractor
from warmstart.model.predictor import Model, load
from warmstart.records import Picture
from warmstart.session.outcome import Run
from warmstart.session.progress import NullProgress
from warmstart.tasks.classify.explain.neighbours import neighbours
from warmstart.workflows.evaluate import evaluate

# As stores that people have are named: a change of one of these makes all their rows cold.
LITE0 = "9329dfae357fdc2b2b9e35c2f03c9603c50768b8842423f75bdb633936390e1f"
LITE0_AT_224 = "c2fcb5826bea962bf3cd2c65b4fcf37cbbbfa408f416e3de2bdaf154d9b00d45"
LITE0_UP_TO_STAGE5 = "97db24df819f3b4769481fe9bbf69e6b57632925b7dfc77e2aa60d160a93481e"
ARRAY, GREY_ARRAY = "eb155d9e16f4c442128b788658b0144c", "6866edfe7e9d52881e652584ac4db841"
IMAGE, PALETTE_IMAGE = "29a7a0c049f9f4af6270c75afa0bd1f1", "237f50997274220022d4edc0a0d8d5fb"


def strangers(trained: Run, folder: Path) -> Path:
    """A whole model folder, every digest in it right, with other weights and the genuine digest of weights claimed."""
    description, tensors = files.read(trained.folder / "model")
    other = feature_tensors(load_backbone("efficientnet_lite0", weights="random", seed=3))
    files.write(
        folder,
        {name: value for name, value in description.items() if name not in ("format", "files")},
        {name: other.get(name.removeprefix("backbone."), tensor) for name, tensor in tensors.items()},
    )
    assert json.loads((folder / "model.json").read_text("utf-8"))["backbone"]["weights_digest"] == trained.model.weights_digest
    return folder


def test_a_strangers_model_that_claims_our_weights_changes_no_answer_and_no_row_of_ours(
    trained: Run, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_folder(tmp_path / "data", 4, first_seed=200)
    pictures = [draw_shape("circle", seed) for seed in range(90, 96)]

    def answers(folder: Path) -> list[dict[str, float]]:
        return [dict(p.probabilities) for p in load(folder).predict(pictures)]  # type: ignore[union-attr]

    expected, scores = answers(trained.folder), evaluate(str(trained.folder), str(data)).scores
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "nothing in it"))
    stranger = strangers(trained, tmp_path / "stranger")
    assert load(stranger).weights_digest != trained.model.weights_digest
    assert answers(stranger) != expected
    evaluate(str(stranger), str(data))

    assert answers(trained.folder) == expected
    after = evaluate(str(trained.folder), str(data))
    assert (after.cache.hits, after.cache.misses) == (0, 12)
    assert after.scores == scores


def test_the_rows_and_graphs_of_a_genuine_network_are_named_as_before(trained: Run) -> None:
    backbone = load_backbone("efficientnet_lite0")
    assert weights_digest(backbone) == LITE0
    assert prefix_key(find("efficientnet_lite0"), LITE0, 224) == tapped_prefix(backbone, 224).key == LITE0_AT_224
    assert cut_prefix(backbone, "stage5", ("stage2",), 224).key == LITE0_UP_TO_STAGE5
    for model in (trained.model, load(trained.folder)):
        assert (model.weights_digest, model.prefix().key) == (LITE0, tapped_prefix(backbone, 64).key)
    saved = json.loads((trained.folder / "model" / "model.json").read_text("utf-8"))
    assert saved["backbone"] == {"name": "efficientnet_lite0", "weights_digest": LITE0}


def test_a_model_with_other_tensors_is_another_network_and_opens_another_engine(trained: Run, warm_cache: Path) -> None:
    model = load(trained.folder)
    picture = draw_shape("square", 70)
    before = model.predict(picture)
    other = feature_tensors(load_backbone("efficientnet_lite0", weights="random", seed=4))
    changed: Model = replace(model, tensors=other)
    assert changed.weights_digest == weights_digest(load_backbone("efficientnet_lite0", weights="random", seed=4))
    assert changed.predict(picture).probabilities != before.probabilities  # type: ignore[union-attr]
    assert model.predict(picture) == before


def test_a_plain_picture_in_memory_is_known_by_the_digest_it_always_had() -> None:
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    image = draw_shape("circle", 1)
    grey = np.stack([array[:, :, 0]] * 3, axis=2)
    assert digest_pixels(array).hex() == ARRAY
    assert digest_pixels(grey).hex() == GREY_ARRAY
    assert digest_pixels(np.asarray(image)).hex() == IMAGE
    assert digest_pixels(np.asarray(image.convert("P").convert("RGB"))).hex() == PALETTE_IMAGE


def test_the_digest_of_pixels_tells_shapes_types_and_values_apart_and_no_layouts_of_memory() -> None:
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    different = [
        array,
        array + np.uint8(1),
        array.reshape(2, 8, 3),
        array.reshape(4, 12),
        array.reshape(12, 4),
        array.reshape(4, 3, 4),
        array.view(np.int8),
        array.reshape(-1).view("<u2").reshape(2, 4, 3),
        array.reshape(-1).view(">u2").reshape(2, 4, 3),
        array.reshape(-1).view("<f4").reshape(2, 2, 3),
        array[:0],
    ]
    assert len({digest_pixels(one) for one in different}) == len(different)
    assert digest_pixels(np.asfortranarray(array)) == digest_pixels(array)
    assert digest_pixels(array[::-1]) == digest_pixels(array[::-1].copy())


@pytest.mark.parametrize("kind", ["array", "image", "grey image"])
def test_a_picture_in_memory_has_one_row_whichever_way_it_comes_in(
    kind: str, trained: Run, warm_cache: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = draw_shape("stripes", 77)
    source = {"array": np.asarray(drawn), "image": drawn, "grey image": drawn.convert("L")}[kind]
    extractor = FeatureExtractor(
        image_size_px=64, engine=trained.model.engine, precision=trained.model.precision, taps="all"
    ).fit([source])
    extractor.transform([source])
    opened: list[int] = []
    rows = Reader.rows

    def counted(reader: Reader, pictures: Sequence[Picture]) -> Extraction:
        found = rows(reader, pictures)
        opened.append(found.misses)
        return found

    monkeypatch.setattr(Reader, "rows", counted)
    close = neighbours(trained.model, str(trained.folder), source, count=3, data=str(shapes), watcher=NullProgress())
    assert len(close.nearest) == 3
    assert opened == [0]  # it is the picture whose row `transform` left
    assert isinstance(drawn, Image.Image)
