"""Extraction under hard conditions: killed, shared between processes, changed libraries, overflowing rows."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drawn_shapes import CLASSES, draw_shape, set_back
from patience import PATIENCE_S
from warmstart.data.hashing import digest_file
from warmstart.data.views import VIEW_POLICIES
from warmstart.engines.build import Prefix
from warmstart.extraction import stored_rows
from warmstart.extraction.features import columns
from warmstart.extraction.prefetch import map_ahead
from warmstart.extraction.reader import Reader
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import render, render_views
from warmstart.extraction.scanning import scan
from warmstart.extraction.stored_rows import VERSION_SAMPLE
from warmstart.plan import Plan
from warmstart.records import Picture, Preprocessing
from warmstart.session.settings import TrainSettings
from warmstart.store.cache import Store
from warmstart.workflows.train import train
from workspaces import workspace_of

N = 360  # more than one commit

# argv: data, runs, after how many rows to die ('0': never). Prints how many rows were computed and, if it gets there, the record.
TRAINER = """
import json, os, signal, sys
from pathlib import Path
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train
class Watcher:
    def progress(self, phase, done, total, *, note=""):
        if phase == "extracting":
            os.write(1, f"{done}\\n".encode())
            if done >= int(sys.argv[3]) > 0:
                os.kill(os.getpid(), signal.SIGKILL)
    def say(self, sentence): ...
run = train(sys.argv[1], Plan(image_size_px=64), TrainSettings(runs=Path(sys.argv[2])), watcher=Watcher())
print(json.dumps(run.record.to_dict()))
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "pictures"
    for i in range(N):
        name = CLASSES[i % 3]
        (folder / name).mkdir(parents=True, exist_ok=True)
        draw_shape(name, i).save(folder / name / f"{i}.jpg")
    set_back(folder)
    return folder


@pytest.fixture
def graphs_only(warm_cache: Path) -> Path:
    """A cache without rows, in which the engine need not be converted."""
    shutil.rmtree(warm_cache / "store")
    return warm_cache


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin(*argv: object) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", TRAINER, *map(str, argv)]
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_twice_then_run_to_the_end_it_scores_the_same_and_loses_at_most_a_commit_a_kill(
    many: Path, graphs_only: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    computed = 0
    for rows in (300, 50):
        killed = start(many, tmp_path / "runs", rows)
        out, err = killed.communicate(timeout=PATIENCE_S)
        assert killed.returncode == -signal.SIGKILL, err
        computed += int(out.split()[-1])
    survivor = train(str(many), Plan(image_size_px=64), TrainSettings(runs=tmp_path / "runs"))
    computed += survivor.record.cache.misses
    assert survivor.record.cache.hits > 0
    assert N < computed <= N + 2 * 256

    shutil.rmtree(graphs_only / "store")
    undisturbed = train(str(many), Plan(image_size_px=64), TrainSettings(runs=tmp_path / "runs"))
    assert undisturbed.record.cache.misses == N
    assert survivor.record.scores == undisturbed.record.scores


def test_two_processes_extract_one_folder_at_once(
    many: Path, graphs_only: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    both = [start(many, tmp_path / f"runs{i}", 0) for i in range(2)]
    records = []
    for process in both:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        records.append(json.loads(out.splitlines()[-1]))
    assert records[0]["scores"] == records[1]["scores"]
    assert N <= records[0]["cache"]["misses"] + records[1]["cache"]["misses"] <= 2 * N
    with Store(graphs_only / "store") as store:
        (recipe,) = store.recipes()
        assert recipe.rows == N
        (checked,) = store.verify()
        assert (checked.rows, checked.damaged, checked.unreadable) == (N, (), None)


class Toy:
    """A prefix whose rows are simple to foresee, and an engine that needs no network: the mean of each colour, times ``scale``."""

    name, precision, device, batch_size = "toy", "f32", "cpu", 4

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.rows = 0
        self.prefix = Prefix(name="toy", key="0" * 64, size_px=32, layout=(("mean", 3),), module=self.refuse)

    def refuse(self) -> Any:
        raise AssertionError("no network is needed")

    def map(self, batches: Any) -> Any:
        for token, pixels in batches:
            self.rows += len(pixels)
            yield token, pixels.mean(axis=(2, 3), dtype=np.float32) * np.float32(self.scale)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    engine = Toy()
    monkeypatch.setattr(stored_rows, "open_engine", lambda *_, **__: engine)
    return engine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", 64 * 2**20) as opened:
        yield opened


@pytest.fixture
def pictures(shapes: Path) -> list[Picture]:
    return [Picture(path=str(path), digest=digest_file(path)) for path in sorted(shapes.rglob("*.*"))]


def run(pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path, views: tuple[str, ...] = ("plain",)) -> Any:
    seen = Preprocessing(size_px=32, views=views)
    recipe = Recipe(prefix=toy.prefix, engine="toy", precision="f32", preprocessing=seen)
    return Reader(recipe=recipe, workspace=workspace_of(store)).rows(pictures)


def test_rows_are_those_of_the_pictures_in_their_order(pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path) -> None:
    expected = np.stack([render(p.path, Preprocessing(size_px=32)).mean(axis=(1, 2)) for p in pictures])
    got = run(pictures, toy, store, tmp_path)
    assert got.rows.dtype == np.float16
    np.testing.assert_allclose(got.rows, expected, rtol=1e-3)
    back = run(pictures[::-1], toy, store, tmp_path)
    assert np.array_equal(back.rows, got.rows[::-1])
    assert (got.hits, got.misses, back.hits, back.misses, toy.rows) == (0, 24, 24, 0, 24)


def test_a_picture_listed_twice_is_computed_once(pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path) -> None:
    got = run([*pictures, *pictures[:5]], toy, store, tmp_path)
    assert toy.rows == got.misses == 24
    assert np.array_equal(got.rows[24:], got.rows[:5])


def test_rows_that_overflow_half_precision_are_stored_as_float32_from_then_on(
    pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path
) -> None:
    toy.scale = 1e6
    got = run(pictures, toy, store, tmp_path)
    assert got.rows.dtype == np.float32
    assert [note for note in got.notes if "float32" in note]
    assert np.isfinite(got.rows).all()
    again = run(pictures, toy, store, tmp_path)
    assert (again.misses, again.notes) == (0, [])
    assert np.array_equal(again.rows, got.rows)


def test_under_changed_libraries_equal_rows_are_kept_and_other_rows_are_computed_again(
    pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pictures, toy, store, tmp_path)
    monkeypatch.setattr(stored_rows, "library_versions", lambda: {"pillow": "99"})
    kept = run(pictures, toy, store, tmp_path)
    assert (kept.hits, kept.misses, kept.notes) == (24, 0, [])
    assert toy.rows == 24 + VERSION_SAMPLE
    monkeypatch.setattr(stored_rows, "library_versions", lambda: {"pillow": "100"})
    toy.scale = 1.1
    rebuilt = run(pictures, toy, store, tmp_path)
    assert (rebuilt.hits, rebuilt.misses) == (0, 24)
    assert "computed again" in rebuilt.notes[0]


def test_pictures_that_no_longer_decode_under_changed_libraries_make_no_fault(
    shapes: Path, toy: Toy, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    shutil.copy(next(shapes.rglob("*.png")), path)
    picture = Picture(path=str(path), digest=digest_file(path))
    run([picture], toy, store, tmp_path)
    path.unlink()
    monkeypatch.setattr(stored_rows, "library_versions", lambda: {"pillow": "99"})
    got = run([picture], toy, store, tmp_path)
    assert got.broken[0].kind == "missing"


def test_a_broken_picture_is_named_under_each_of_its_names_and_its_row_is_zero(
    pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path
) -> None:
    content = Path(pictures[0].path).read_bytes()[:200]
    broken = []
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(content)
        broken.append(Picture(path=str(tmp_path / name), digest=digest_file(tmp_path / name)))
    seen: list[tuple[int, int]] = []
    recipe = Recipe(prefix=toy.prefix, engine="toy", precision="f32", preprocessing=Preprocessing(size_px=32))
    reader = Reader(
        recipe=recipe, workspace=workspace_of(store), on_progress=lambda phase, done, total: seen.append((done, total))
    )
    got = reader.rows([broken[0], *pictures, broken[1]])
    assert {i: Path(problem.path).name for i, problem in got.broken.items()} == {0: "a.png", 25: "b.png"}
    assert all(problem.path in problem.message for problem in got.broken.values())
    assert not got.rows[[0, 25]].any()
    assert (got.hits, got.misses) == (0, 24)
    assert seen[-1][0] == seen[-1][1]  # the bar comes to its end


def test_every_picture_broken_is_no_fault_of_extraction(toy: Toy, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    got = run([Picture(path=str(tmp_path / "a.png"), digest=digest_file(tmp_path / "a.png"))], toy, store, tmp_path)
    assert list(got.broken) == [0]
    assert (got.hits, got.misses) == (0, 0)


def test_scan_names_what_cannot_be_read_and_goes_on(shapes: Path, store: Store, tmp_path: Path) -> None:
    good = str(next(shapes.rglob("*.png")))
    (tmp_path / "empty.jpg").touch()
    found = scan([str(tmp_path / "nowhere.jpg"), good, str(tmp_path / "empty.jpg")], store)
    assert [picture is not None for picture in found.pictures] == [False, True, False]
    assert {Path(problem.path).name: problem.kind for problem in found.problems} == {
        "nowhere.jpg": "missing",
        "empty.jpg": "empty",
    }


def test_the_queue_is_bounded_keeps_order_and_hands_errors_on() -> None:
    drawn = 0

    def source() -> Iterator[int]:
        nonlocal drawn
        for i in range(1000):
            drawn += 1
            yield i

    results = map_ahead(lambda i: i * i, source())
    assert next(results) == 0
    assert drawn <= 2 * (os.cpu_count() or 1) + 4
    assert list(results) == [i * i for i in range(1, 1000)]
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda i: 1 // i, [1, 0, 1]))


def test_columns_picks_taps_in_the_order_asked_for() -> None:
    rows = np.arange(12, dtype=np.float16).reshape(2, 6)
    layout = (("a", 1), ("b", 3), ("c", 2))
    assert columns(rows, layout, ("c", "a")).tolist() == [[4, 5, 0], [10, 11, 6]]
    assert columns(rows, layout, ("b",)).dtype == np.float32


def test_the_views_of_a_picture_are_averaged(pictures: list[Picture], toy: Toy, store: Store, tmp_path: Path) -> None:
    both = run(pictures, toy, store, tmp_path, VIEW_POLICIES["flip"])
    one = run(pictures, toy, store, tmp_path)
    assert (both.misses, one.misses) == (48, 0)
    np.testing.assert_allclose(both.rows, one.rows, rtol=2e-3)  # a colour's mean is that of the mirror image


def test_a_view_has_the_same_pixels_whatever_views_it_is_made_with(tmp_path: Path) -> None:
    """A large JPEG is decoded small; how small must not depend on the company."""
    path = tmp_path / "large.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((1200, 900)).save(path, quality=90)
    picture = Picture(path=str(path), digest=digest_file(path))
    views = ["plain", "standard-1", "strong-2", "rot90"]
    together = render_views(picture, views, Preprocessing(size_px=32))
    for view, pixels in zip(views, together, strict=True):
        assert np.array_equal(render_views(picture, [view], Preprocessing(size_px=32))[0], pixels)
