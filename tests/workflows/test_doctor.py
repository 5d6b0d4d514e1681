"""The doctor on drawn pictures with faults of which every one is known, and what train makes of near copies and fixes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from drawn_shapes import draw_folder, draw_shape, set_back
from photograph import photograph
from warmstart.errors import DataError
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.doctor.examination import Diagnosis, doctor
from warmstart.workflows.train import train

SMALL = Plan(image_size_px=64)


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 shapes and scenes in three classes and two splits, with one fault of each kind."""
    folder = draw_folder(tmp_path_factory.mktemp("sick") / "photos" / "train", 18)
    for seed in range(6):
        photograph(seed).save(folder / "circle" / f"scene-{seed}.png")
    test = folder.parent / "test"
    draw_folder(test, 3, first_seed=100)
    shutil.copyfile(folder / "square" / "3.jpg", test / "square" / "copy.jpg")
    scene = photograph(0)
    scene.crop((8, 10, scene.width, scene.height)).save(test / "circle" / "near.jpg", quality=85)
    photograph(1).resize((150, 195)).save(folder / "stripes" / "other class.jpg", quality=85)
    draw_shape("stripes", 200).save(folder / "square" / "wrong.png")
    draw_shape("circle", 201).convert("L").save(folder / "circle" / "grey.png")
    Image.new("RGB", (400, 60), (90, 40, 10)).save(folder / "circle" / "panorama.png")
    (folder / "circle" / "torn.jpg").write_bytes((folder / "circle" / "1.jpg").read_bytes()[:400])
    set_back(folder.parent)
    return folder.parent


@pytest.fixture(scope="module")
def found(sick: Path, new_cache: Callable[[], Path]) -> Diagnosis:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(new_cache()))
        return doctor(str(sick), SMALL)


def names(found: Diagnosis, kind: str) -> set[frozenset[str]]:
    return {frozenset("/".join(Path(p).parts[-3:]) for p in f.paths) for f in found.findings if f.kind == kind}


def test_a_broken_file_is_named_with_its_reason(found: Diagnosis) -> None:
    (broken,) = found.of("broken")
    assert (Path(broken.paths[0]).name, broken.drop) == ("torn.jpg", broken.paths)
    assert "torn.jpg" in broken.detail


def test_an_exact_copy_in_another_split_is_a_leak_and_the_held_out_one_stays(found: Diagnosis) -> None:
    assert names(found, "copy") == {frozenset({"train/square/3.jpg", "test/square/copy.jpg"})}
    (copy,) = found.of("copy")
    assert copy.across == ("splits",)
    assert [Path(path).name for path in copy.drop] == ["3.jpg"]


def test_near_copies_are_found_across_splits_and_across_classes_and_nothing_is_dropped_unseen(found: Diagnosis) -> None:
    assert names(found, "near-copy") == {
        frozenset({"train/circle/scene-0.png", "test/circle/near.jpg"}),
        frozenset({"train/circle/scene-1.png", "train/stripes/other class.jpg"}),
    }
    assert {f.across for f in found.of("near-copy")} == {("splits",), ("classes",)}
    assert not any(f.drop for f in found.of("near-copy"))


def test_a_wrong_label_is_among_the_first_with_the_class_that_it_is(found: Diagnosis) -> None:
    first = {Path(f.paths[0]).name: f.new_label for f in found.of("label")[:4]}
    assert first["wrong.png"] == "stripes"


def test_odd_pictures_are_named(found: Diagnosis) -> None:
    assert names(found, "grey") == {frozenset({"train/circle/grey.png"})}
    assert frozenset({"train/circle/panorama.png"}) in names(found, "shape")
    assert frozenset({"train/circle/panorama.png"}) in names(found, "outlier")


def test_the_document_has_every_finding_and_is_plain_data(found: Diagnosis) -> None:
    document = found.to_dict()
    assert sum(document["counts"].values()) == len(document["findings"]) == len(found.findings)
    assert set(found.pictures) == {path for f in found.findings for path in f.paths}
    assert found.pictures[found.of("copy")[0].paths[0]] == ("square", "test")


def test_one_class_and_few_pictures_are_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", 2, classes=("circle",))
    result = doctor(str(folder), SMALL)
    assert (result.images, result.labels, result.of("outlier")) == (2, None, ())
    assert "at least two classes" in result.notes[0]
    (folder / "circle" / "0.png").unlink()
    assert doctor(str(folder), SMALL).images == 1
    (folder / "circle" / "1.jpg").write_bytes(b"\xff\xd8\xff torn")
    with pytest.raises(DataError, match=r"1\.jpg"):
        doctor(str(folder), SMALL)


def test_train_keeps_near_copies_on_one_side_where_the_data_brings_no_split(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for seed in range(24):
        place = folder / ("even", "odd")[seed % 2]
        place.mkdir(parents=True, exist_ok=True)
        photograph(seed).save(place / f"{seed}.png")
        photograph(seed).save(place / f"{seed} again.jpg", quality=80)
    set_back(folder)
    runs = TrainSettings(runs=tmp_path / "runs")
    plain = TrainSettings(runs=tmp_path / "runs", group_duplicates=False)
    together, divided = train(str(folder), SMALL, runs), train(str(folder), SMALL, plain)
    assert (together.record.data.kept_together, divided.record.data.kept_together) == (48, 0)
    assert sum(together.record.data.splits.values()) == 48

    def tested(run: Path) -> set[str]:
        lines = (run / "predictions.csv").read_text("utf-8").splitlines()[1:]
        return {Path(line.split(",")[0]).stem for line in lines}

    assert all({seed, f"{seed} again"} <= tested(together.folder) for seed in {s.split()[0] for s in tested(together.folder)})
    assert not all({seed, f"{seed} again"} <= tested(divided.folder) for seed in {s.split()[0] for s in tested(divided.folder)})


def test_given_splits_and_groups_are_the_users_own_unless_asked(sick: Path, tmp_path: Path) -> None:
    run = train(str(sick), SMALL, TrainSettings(runs=tmp_path / "runs"))
    assert run.record.data.kept_together == 0
    asked = train(str(sick), SMALL, TrainSettings(runs=tmp_path / "runs", group_duplicates=True))
    assert asked.record.data.kept_together == 4
    assert any(problem.kind == "leak" and "near.jpg" in problem.message for problem in asked.record.data.problems)
