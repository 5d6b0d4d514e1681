"""Unlabelled pictures that a model labels in advance: sorted by how unsure it is, confirmed or corrected one by one, then learnt from."""

import json
import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warmstart.errors import PictureError
from warmstart.serve.database import Database
from warmstart.serve.datasets import Datasets, StoredDataset
from warmstart.serve.errors import ApiError, not_found
from warmstart.task_protocol import Answer


class Piles:
    """All piles of a server. Use from any thread."""

    def __init__(self, home: Path, database: Database) -> None:
        self._home, self._database = home / "piles", database
        self._home.mkdir(parents=True, exist_ok=True)
        self._joining = threading.Lock()

    def create(self, dataset: StoredDataset, model: str, folder: Path) -> str:
        """A pile of the pictures below ``folder``, which is moved. Its id."""
        identifier = f"pile-{secrets.token_hex(4)}"
        home = self._home / identifier
        shutil.move(folder, home)
        try:
            files = sorted(path for path in home.rglob("*") if path.is_file())
            with self._database.together():
                self._database.write(
                    "INSERT INTO piles VALUES (?, ?, ?, 'predicting', ?)", (identifier, dataset.id, model, time.time())
                )
                for n, path in enumerate(files):
                    self._database.write(
                        "INSERT INTO pile_pictures (pile, n, name, file) VALUES (?, ?, ?, ?)",
                        (identifier, n, path.relative_to(home).as_posix(), str(path)),
                    )
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)  # nobody would know of it
            raise
        return identifier

    def all(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """The newest first."""
        where, values = ("WHERE dataset = ?", (dataset,)) if dataset else ("", ())
        rows = self._database.rows(f"SELECT id FROM piles {where} ORDER BY created DESC, id", values)
        return [self.get(row["id"]) for row in rows]

    def get(self, identifier: str) -> dict[str, Any]:
        """Counts, JSON-ready. Raises ApiError 404."""
        row = self._database.row("SELECT * FROM piles WHERE id = ?", (identifier,))
        if row is None:
            known = [r["id"] for r in self._database.rows("SELECT id FROM piles")]
            raise not_found("pile", identifier, known)
        counts = self._database.row(
            "SELECT COUNT(*) AS pictures, COUNT(prediction) AS predicted, COUNT(problem) AS broken, COUNT(label) AS labelled "
            "FROM pile_pictures WHERE pile = ?",
            (identifier,),
        )
        return {**row, **(counts or {})}

    def pictures(self, identifier: str, *, labelled: bool | None, start: int, count: int) -> list[dict[str, Any]]:
        """The most uncertain first; those that could not be read last."""
        self.get(identifier)
        only = {None: "", True: "AND label IS NOT NULL", False: "AND label IS NULL"}[labelled]
        rows = self._database.rows(
            f"SELECT * FROM pile_pictures WHERE pile = ? {only} ORDER BY uncertainty IS NULL, uncertainty DESC, n LIMIT ? OFFSET ?",
            (identifier, count, start),
        )
        return [_shown(row) for row in rows]

    def picture(self, identifier: str, n: int) -> dict[str, Any]:
        """A row with its file. Raises ApiError 404."""
        self.get(identifier)
        row = self._database.row("SELECT * FROM pile_pictures WHERE pile = ? AND n = ?", (identifier, n))
        if row is None:
            raise ApiError(404, "unknown-picture", found=f"picture {n} of pile {identifier!r}")
        return row

    def label(self, identifier: str, n: int, label: str | None) -> dict[str, Any]:
        """Confirm, correct, or (None) leave open again."""
        self.picture(identifier, n)
        self._database.write("UPDATE pile_pictures SET label = ? WHERE pile = ? AND n = ?", (label, identifier, n))
        return _shown(self.picture(identifier, n))

    def unpredicted(self, identifier: str, most: int) -> list[dict[str, Any]]:
        """The next ones to predict."""
        return self._database.rows(
            "SELECT n, name, file FROM pile_pictures WHERE pile = ? AND prediction IS NULL AND problem IS NULL ORDER BY n LIMIT ?",
            (identifier, most),
        )

    def answer(self, identifier: str, n: int, answer: Answer | PictureError) -> None:
        """What the model says of a picture."""
        if isinstance(answer, PictureError):
            self._database.write("UPDATE pile_pictures SET problem = ? WHERE pile = ? AND n = ?", (str(answer), identifier, n))
            return
        said = answer.to_dict()
        self._database.write(
            "UPDATE pile_pictures SET prediction = ?, uncertainty = ? WHERE pile = ? AND n = ?",
            (json.dumps(said), uncertainty(said["probabilities"]), identifier, n),
        )

    def set_state(self, identifier: str, state: str) -> None:
        """'predicting', 'ready' or 'failed'."""
        self._database.write("UPDATE piles SET state = ? WHERE id = ?", (state, identifier))

    def join(self, identifier: str, datasets: Datasets, dataset: StoredDataset) -> int:
        """The labelled pictures become additions of the data set and leave the pile. How many.

        A picture's file stays until the database knows that it has joined: after a failure, a full disk say, it can be asked for again.
        """
        with self._joining:
            rows = self._database.rows("SELECT * FROM pile_pictures WHERE pile = ? AND label IS NOT NULL", (identifier,))
            for row in rows:
                file = Path(row["file"])
                predicted = json.loads(row["prediction"])["class"] if row["prediction"] else None
                # No picture of a pile has a name that begins with a dot.
                twin = _twin(file, self._home / identifier / f".joining{file.suffix}")
                with self._database.together():
                    datasets.add(dataset, twin, label=row["label"], origin=identifier, name=row["name"], predicted=predicted)
                    self._database.write("DELETE FROM pile_pictures WHERE pile = ? AND n = ?", (identifier, row["n"]))
                file.unlink(missing_ok=True)
            return len(rows)

    def remove(self, identifier: str) -> None:
        """With its pictures; those that joined a data set stay there."""
        self.get(identifier)
        with self._joining:
            with self._database.together():
                self._database.write("DELETE FROM pile_pictures WHERE pile = ?", (identifier,))
                self._database.write("DELETE FROM piles WHERE id = ?", (identifier,))
            shutil.rmtree(self._home / identifier, ignore_errors=True)


def _twin(file: Path, twin: Path) -> Path:
    """A second name of a file, or a copy on a disk that has no links."""
    twin.unlink(missing_ok=True)
    try:
        os.link(file, twin)
    except OSError:
        shutil.copyfile(file, twin)
    return twin


def uncertainty(probabilities: Mapping[str, float]) -> float:
    """The entropy of the prediction as a share of the largest possible: 0 sure, 1 all classes alike. C. E. Shannon (1948), §6."""
    shares = [p for p in probabilities.values() if p > 0]
    return -sum(p * math.log(p) for p in shares) / math.log(len(probabilities)) if len(probabilities) > 1 else 0.0


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    prediction = json.loads(row["prediction"]) if row["prediction"] else None
    if prediction:
        prediction.pop("path")
    return {
        "n": row["n"],
        "name": row["name"],
        "prediction": prediction,
        "uncertainty": row["uncertainty"],
        "problem": row["problem"],
        "label": row["label"],
    }
