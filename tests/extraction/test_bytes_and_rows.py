"""A row belongs to exactly the bytes it was made of, whatever happens to files meanwhile; what is this moment's alone is not remembered."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_shapes import draw_folder, draw_shape
from warmstart.data import identity
from warmstart.data.hashing import digest_file
from warmstart.errors import DataError
from warmstart.extraction import scanning
from warmstart.extraction.rendering import render
from warmstart.extraction.scanning import scan
from warmstart.plan import Plan
from warmstart.records import Preprocessing
from warmstart.session.settings import TrainSettings
from warmstart.store.cache import Store
from warmstart.store.index import stamp_of
from warmstart.store.row_format import seal
from warmstart.workflows.cache import verify
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.train import train

PLAN = Plan(image_size_px=64)


class WhenRead:
    """Does something to the files once, between the moment they were hashed and the moment they are decoded."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act: Callable[[], Any] | None = act

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        if phase == "reading" and done == total and self._act is not None:
            self._act()
            self._act = None

    def say(self, sentence: str) -> None: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "data")


@pytest.fixture
def settings(tmp_path: Path) -> TrainSettings:
    return TrainSettings(runs=tmp_path / "runs", report=False, findings=False)


def test_a_folder_that_is_away_for_a_moment_stops_the_run_and_is_forgotten(data: Path, settings: TrainSettings) -> None:
    # given a class folder that vanishes while the run reads
    aside = data.with_name("aside")
    with pytest.raises(DataError, match=r"no picture of circle can be read although they were listed.*Put them back"):
        train(str(data), PLAN, settings, watcher=WhenRead(lambda: (data / "circle").rename(aside)))
    assert not list(settings.runs.glob("*/model"))
    # when it is back
    aside.rename(data / "circle")
    run = train(str(data), PLAN, settings)
    # then nothing remembers that it was away
    assert run.record.data.problems == ()
    assert run.record.data.of_task["classes"] == {"circle": 8, "square": 8, "stripes": 8}
    again = shutil.copytree(data, data.with_name("copy"))
    assert train(str(again), PLAN, settings).record.data.problems == ()


def test_one_picture_that_is_away_costs_itself_and_this_run_alone(data: Path, settings: TrainSettings) -> None:
    victim = data / "circle" / "1.jpg"
    aside = data.with_name("aside.jpg")
    run = train(str(data), PLAN, settings, watcher=WhenRead(lambda: victim.rename(aside)))
    assert [(problem.kind, Path(problem.path).name) for problem in run.record.data.problems] == [("missing", "1.jpg")]
    aside.rename(victim)
    assert train(str(data), PLAN, settings).record.data.images == 24


def test_a_picture_replaced_between_hashing_and_decoding_leaves_no_row_under_its_old_digest(
    data: Path, settings: TrainSettings
) -> None:
    # given a class whose files are replaced by others of the same names after they were hashed
    originals = shutil.copytree(data, data.with_name("originals"))

    def replace() -> None:
        for i, path in enumerate(sorted((data / "circle").iterdir())[:4]):
            draw_shape("stripes", 100 + i).save(path)

    run = train(str(data), PLAN, settings, watcher=WhenRead(replace))
    assert sorted({problem.kind for problem in run.record.data.problems}) == ["changed"]
    assert len(run.record.data.problems) == 4
    # when the originals are learnt from, with that store and with an empty one
    warm = train(str(originals), PLAN, settings)
    with Store(Path(os.environ["WARMSTART_CACHE"]) / "store") as store:
        store.prune(to_bytes=0)
    cold = train(str(originals), PLAN, settings)
    # then both say the same of every picture
    assert (warm.folder / "predictions.csv").read_text() == (cold.folder / "predictions.csv").read_text()
    assert warm.record.scores == cold.record.scores
    assert cold.record.cache.hits == 0


def test_two_class_folders_swapped_by_name_are_not_taken_for_what_they_were(data: Path, settings: TrainSettings) -> None:
    run = train(str(data), PLAN, settings)
    right = evaluate(str(run.folder), str(data))
    assert right.scores_with_seen is not None
    assert right.scores_with_seen.accuracy > 0.8
    aside = data.with_name("aside")
    (data / "circle").rename(aside)
    (data / "stripes").rename(data / "circle")
    aside.rename(data / "stripes")
    swapped = evaluate(str(run.folder), str(data))
    assert swapped.scores_with_seen is not None
    assert swapped.scores_with_seen.accuracy < 0.5


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EMFILE, "unreadable"),
        (errno.EIO, "unreadable"),
        (errno.EACCES, "permission"),
        (errno.ENOENT, "missing"),
        (errno.ESTALE, "unreadable"),
        (errno.ENOMEM, "unreadable"),
    ],
)
def test_what_a_machine_answers_once_is_not_remembered(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    import builtins

    path = str(data / "circle" / "0.png")
    opened = builtins.open

    def fails(name: Any, *rest: Any, **more: Any) -> Any:
        if str(name) == path:
            raise OSError(number, os.strerror(number))
        return opened(name, *rest, **more)

    with Store(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "open", fails)
            found = scan([path], store)
        assert found.pictures == (None,)
        assert [problem.kind for problem in found.problems] == [kind]
        (picture,) = scan([path], store).pictures
        assert picture is not None
        assert picture.facts is not None


def test_memory_that_does_not_suffice_is_not_remembered_either(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(data / "circle" / "0.png")

    def fails(content: bytes) -> Any:
        from warmstart.errors import PictureError

        raise PictureError("memory", "…")

    with Store(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(identity, "facts_of", fails)
            assert [problem.kind for problem in scan([path], store).problems] == ["memory"]
        assert scan([path], store).problems == ()


def test_bytes_that_are_no_picture_are_remembered_and_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("no picture")
    os.utime(path, (1, 1))
    with Store(tmp_path / "store") as store:
        stamp = stamp_of(path)
        store.index.put([(stamp, digest_file(path))], {digest_file(path): None}, since_ns=stamp.changed_ns + 10**10)
        monkeypatch.setattr(scanning, "read_bytes", lambda path: pytest.fail("was opened"))
        (picture,) = scan([str(path)], store).pictures
        assert picture is not None
        assert picture.facts is None


def test_problems_that_older_versions_remembered_are_dropped_when_a_store_is_opened(tmp_path: Path) -> None:
    recipe, key = {"name": "toy"}, bytes(16)
    with Store(tmp_path) as store:
        with store.rows(recipe, row_format="float16") as rows:
            rows.write([(bytes(15) + b"\1plain", np.ones(3, np.float16))])
            rows.write_problem(key, "missing", "{path} does not exist")
            rows._environment.write(
                lambda transaction: transaction.delete(b"problem-rules", db=rows._facts)
            )  # as an older version left it
        with store.rows(recipe, row_format="float16") as rows:
            assert rows.problems([key]) == {}
            assert rows.count() == 1
            rows.write_problem(key, "truncated", "{path} ends early")
        with store.rows(recipe, row_format="float16") as rows:
            assert rows.problems([key]) == {0: ("truncated", "{path} ends early")}


def test_verify_reads_known_files_again_and_finds_one_whose_stamp_lies(data: Path, settings: TrainSettings) -> None:
    path = data / "circle" / "0.png"
    with Store(Path(os.environ["WARMSTART_CACHE"]) / "store") as store:
        scan([str(p) for p in sorted(data.rglob("*.*"))], store)
        stamp = stamp_of(path)
        store.index.put(
            [(stamp, bytes(16))], since_ns=stamp.changed_ns + 10**10
        )  # a file system that tells nothing of a change
    found = verify(all_files=True)
    assert found["wrong_files"] == [str(path)]
    assert verify(all_files=True)["wrong_files"] == []


def test_plain_pictures_keep_the_row_key_they_always_had(data: Path, tmp_path: Path) -> None:
    from warmstart.data.facts import row_identity
    from warmstart.records import ValueRange

    with Store(tmp_path / "store") as store:
        for picture in scan([str(p) for p in sorted(data.rglob("*.*"))], store).pictures:
            assert picture is not None
            assert row_identity(picture.digest, picture.facts, ValueRange(bits=12, real=(0.0, 1.0))) == digest_file(
                picture.path
            )


def test_render_takes_the_bytes_that_were_there_when_it_looked(data: Path) -> None:
    path = data / "circle" / "0.png"
    assert np.array_equal(render(path, Preprocessing(size_px=32)), render(path.read_bytes(), Preprocessing(size_px=32)))


def test_an_entry_with_a_wrong_checksum_is_read_again(data: Path, tmp_path: Path) -> None:
    path = data / "circle" / "0.png"
    with Store(tmp_path / "store") as store:
        scan([str(path)], store)
        store.index._environment.write(
            lambda transaction: transaction.put(digest_file(path), seal(b"other", b"[1, null]"), db=store.index._facts)
        )
        (picture,) = scan([str(path)], store).pictures
        assert picture is not None
        assert picture.facts is not None
