"""Data sets of a server: uploaded ones, which lie under its home, and folders of the machine that it may read.

A data set is never changed. What people add (a picture the model got wrong, with its right class; confirmed pre-labels) and what
they decide about the doctor's findings stands beside it, and is part of what the next training learns from.
"""

import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from warmstart.atomic import move_in
from warmstart.data.class_names import alike_names
from warmstart.data.files import read_bytes
from warmstart.data.identity import look_at
from warmstart.data.listing import read_listing
from warmstart.errors import DataError, PictureError
from warmstart.plan import Plan
from warmstart.records import Example, Listing, Picture
from warmstart.serve import fixes
from warmstart.serve.database import Database
from warmstart.serve.errors import ApiError, not_found
from warmstart.serve.registry import slug
from warmstart.serve.uploads import Unpacked
from warmstart.session.what_is_lost import notices, seen_of
from warmstart.store.index import Stamp, stamp_of

FRESH_S = 20.0  # a folder of the machine may change; until then its listing counts
PROBLEMS_SHOWN = 50
LONGEST_LABEL = 100
LOOKED_AT = 200  # pictures of a data set, of at most so many bytes, for what they lose; the doctor looks at all
LOOKED_AT_BYTES = 2_000_000
LOOKS_KEPT = 5000


@dataclass(frozen=True, kw_only=True)
class StoredDataset:
    """A row of the database, with its folders."""

    id: str
    name: str
    source: Path
    owned: bool
    created: float
    home: Path  # for what is added

    @property
    def fixes(self) -> Path:
        """A list as `workflows.fixes` applies it; perhaps not there."""
        return self.home / "fixes.csv"


class Datasets:
    """All data sets of a server. Use from any thread."""

    def __init__(self, home: Path, database: Database, roots: Sequence[Path]) -> None:
        self._home, self._database = home / "datasets", database
        self._temporary = home / "tmp"
        self._roots = tuple(root.resolve() for root in roots)
        self._fixing = threading.Lock()
        self._listings: dict[str, tuple[float, Listing]] = {}
        self._looks: dict[Stamp, Picture] = {}
        self._home.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._temporary, ignore_errors=True)  # uploads that were under way when the server died
        self._temporary.mkdir()

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A folder for an upload, gone afterwards whatever happens."""
        folder = self._temporary / secrets.token_hex(8)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def create(self, name: str, fill: Callable[[Path], Unpacked]) -> tuple[StoredDataset, Unpacked]:
        """A data set of our own: ``fill`` puts class folders into a folder. Whatever it or the look at them raises leaves nothing."""
        with self.temporary() as folder:
            pictures = folder / "pictures"
            pictures.mkdir()
            unpacked = fill(pictures)
            try:
                read_listing(pictures)
            except DataError as reason:
                raise DataError(without_folder(str(reason), pictures, name)) from reason
            identifier = self._new_id(name)
            folder_of = self._home / identifier
            folder_of.mkdir()
            pictures.rename(folder_of / "pictures")
        try:
            return self._insert(identifier, name, folder_of / "pictures", owned=True), unpacked
        except BaseException:
            shutil.rmtree(folder_of, ignore_errors=True)  # nobody would know of it
            raise

    def add_folder(self, path: str, name: str | None) -> StoredDataset:
        """A folder of this machine. Raises ApiError 403 outside the allowed roots, DataError when there is nothing to learn in it."""
        real = self._allowed(Path(path))
        read_listing(real)
        given = name or real.name
        return self._insert(self._new_id(given), given, real, owned=False)

    def folder(self, path: str) -> StoredDataset:
        """The data set that was made of this folder before, or a new one. Raises as `add_folder` does."""
        real = self._allowed(Path(path))
        row = self._database.row("SELECT * FROM datasets WHERE source = ? AND NOT owned", (str(real),))
        return self._stored(row) if row else self.add_folder(path, None)

    def all(self) -> list[StoredDataset]:
        """The newest first."""
        return [self._stored(row) for row in self._database.rows("SELECT * FROM datasets ORDER BY created DESC, id")]

    def get(self, identifier: str) -> StoredDataset:
        """Raises ApiError 404."""
        row = self._database.row("SELECT * FROM datasets WHERE id = ?", (identifier,))
        if row is None:
            raise not_found("data set", identifier, [d.id for d in self.all()])
        return self._stored(row)

    def remove(self, identifier: str) -> None:
        """The data set, what was added to it, and its files if they are ours."""
        dataset = self.get(identifier)
        with self._database.together():
            for table in ("additions", "piles"):
                self._database.write(f"DELETE FROM {table} WHERE dataset = ?", (identifier,))
            self._database.write("DELETE FROM datasets WHERE id = ?", (identifier,))
        self._listings.pop(identifier, None)
        shutil.rmtree(dataset.home, ignore_errors=True)

    def listing(self, dataset: StoredDataset) -> Listing:
        """Everything in it, as it lies there, and behind that what was added. Fixes are not applied. Raises DataError."""
        known = self._listings.get(dataset.id)
        if known is None or (not dataset.owned and time.monotonic() - known[0] > FRESH_S):
            try:
                known = (time.monotonic(), read_listing(dataset.source))
            except DataError as reason:
                raise DataError(without_folder(str(reason), dataset.source, dataset.name)) from reason
            self._listings[dataset.id] = known
        return with_additions(known[1], self.additions(dataset))

    def picture(self, dataset: StoredDataset, n: int) -> Path:
        """The file of the n-th example of `listing`. Raises ApiError 404, and 403 for a link that leads out of the data set's place."""
        examples = self.listing(dataset).examples
        if not 0 <= n < len(examples):
            raise ApiError(404, "unknown-picture", found=f"picture {n}", expected=f"0 to {len(examples) - 1}")
        path = Path(examples[n].path)
        real = path.resolve()
        inside = (dataset.home.resolve(), *(() if dataset.owned else (dataset.source, *self._roots)))
        if not any(real.is_relative_to(place) for place in inside):
            raise ApiError(403, "outside-roots", found=f"picture {n} is a link that leads out of the allowed folders")
        return real

    def describe(self, dataset: StoredDataset, *, whole: bool = False) -> dict[str, Any]:
        """JSON-ready; ``whole``: with counts by class, splits and problems, for which the folder is listed."""
        document: dict[str, Any] = {
            "id": dataset.id,
            "name": dataset.name,
            "uploaded": dataset.owned,
            "created": dataset.created,
            "added": len(self.additions(dataset)),
        }
        if not whole:
            return document
        listing = self.listing(dataset)
        decided = [action for action, _ in fixes.read(dataset.fixes, listing).values()]
        counts = dict.fromkeys(listing.class_names, 0)
        first: dict[str, int] = {}
        for n, example in enumerate(listing.examples):
            counts[example.class_name] += 1
            first.setdefault(example.class_name, n)
        splits = {s for e in listing.examples if (s := e.split)}
        return document | {
            "images": len(listing.examples),
            "left_out": decided.count("drop"),
            "relabelled": decided.count("relabel"),
            "classes": [{"name": c, "images": counts[c], "first": first.get(c)} for c in listing.class_names],
            "splits": sorted(splits),
            "problems": [
                asdict(
                    replace(p, path=relative(p.path, dataset), message=without_folder(p.message, dataset.source, dataset.name))
                )
                for p in listing.problems[:PROBLEMS_SHOWN]
            ],
            "problems_in_all": len(listing.problems),
        }

    def lost(self, dataset: StoredDataset) -> dict[str, Any]:
        """What its pictures lose on their way into a network by the usual centre crop, from a sample spread over them. JSON-ready."""
        listing = self.listing(dataset)
        pictures = [p for e in listing.examples[:: max(1, len(listing.examples) // LOOKED_AT)] if (p := self._look(e.path))]
        found = (*notices(pictures, resize=Plan().resize, keep_damaged=None), *alike_names(listing.class_names))
        return {
            "seen": seen_of(pictures, Plan().resize).to_dict(),
            "notices": [
                told
                | {
                    "message": without_folder(str(told["message"]), dataset.source, dataset.name),
                    "paths": [relative(path, dataset) for path in told["paths"]],
                }
                for told in (notice.to_dict() for notice in found)
            ],
        }

    def _look(self, path: str) -> Picture | None:
        """With the facts of its bytes, remembered while the file stays as it is; None where they are no picture."""
        try:
            stamp = stamp_of(path)
            if stamp.size > LOOKED_AT_BYTES:
                return None
            if stamp not in self._looks:
                content_digest, facts = look_at(read_bytes(path))
                self._looks[stamp] = Picture(path=path, digest=content_digest, facts=facts)
        except (OSError, ValueError, PictureError):
            return None
        while len(self._looks) > LOOKS_KEPT:
            self._looks.pop(next(iter(self._looks)), None)
        return self._looks.get(stamp)

    def pictures(self, dataset: StoredDataset, *, class_name: str | None, start: int, count: int) -> dict[str, Any]:
        """A page of pictures: their numbers for `picture`, names and classes."""
        listing = self.listing(dataset)
        chosen = [(n, e) for n, e in enumerate(listing.examples) if class_name is None or e.class_name == class_name]
        return {
            "total": len(chosen),
            "start": start,
            "pictures": [
                {"n": n, "path": relative(e.path, dataset), "class": e.class_name, "split": e.split}
                for n, e in chosen[start : start + count]
            ],
        }

    def add(
        self, dataset: StoredDataset, file: Path, *, label: str, origin: str, name: str, predicted: str | None = None
    ) -> dict[str, Any]:
        """Keep a picture with its class for the next training. ``file`` is moved. Returns the addition, JSON-ready."""
        identifier = secrets.token_hex(8)
        folder = dataset.home / "added"
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{identifier}{file.suffix}"
        move_in(file, target)
        try:
            self._database.write(
                "INSERT INTO additions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (identifier, dataset.id, str(target), label, origin, name, predicted, time.time()),
            )
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return {"id": identifier, "dataset": dataset.id, "class": label, "predicted": predicted, "name": name, "origin": origin}

    def additions(self, dataset: StoredDataset) -> list[dict[str, Any]]:
        """The oldest first."""
        return self._database.rows("SELECT * FROM additions WHERE dataset = ? ORDER BY created, id", (dataset.id,))

    def drop_addition(self, dataset: StoredDataset, identifier: str) -> None:
        """Take one back. Raises ApiError 404."""
        row = self._database.row("SELECT * FROM additions WHERE dataset = ? AND id = ?", (dataset.id, identifier))
        if row is None:
            raise not_found("correction", identifier, [a["id"] for a in self.additions(dataset)])
        self._database.write("DELETE FROM additions WHERE id = ?", (identifier,))
        Path(row["file"]).unlink(missing_ok=True)

    def fixes(self, dataset: StoredDataset) -> list[dict[str, Any]]:
        """What was decided about its pictures, in their order, JSON-ready."""
        listing = self.listing(dataset)
        decisions = fixes.read(dataset.fixes, listing)
        return [
            {"n": n, "path": relative(e.path, dataset), "class": e.class_name, "action": action, "new_label": label or None}
            for n, e in enumerate(listing.examples)
            if e.path in decisions
            for action, label in (decisions[e.path],)
        ]

    def fix(self, dataset: StoredDataset, wanted: Sequence[Mapping[str, Any]], *, whole: bool) -> int:
        """Decide about pictures, see `fixes.change`. Raises ApiError 409 where the n-th is no longer the one whose ``path`` was shown."""
        with self._fixing:
            listing = self.listing(dataset)
            for one in wanted:
                path, n = one.get("path"), int(one["n"])
                if path and 0 <= n < len(listing.examples) and relative(listing.examples[n].path, dataset) != path:
                    raise ApiError(
                        409,
                        "moved",
                        found=f"picture {n} is now {relative(listing.examples[n].path, dataset)!r}",
                        expected=repr(path),
                        fix="the data set has changed; load the page again",
                    )
            return fixes.change(dataset.fixes, listing, wanted, whole=whole)

    def changed_since(self, dataset: StoredDataset, moment: float) -> bool:
        """Whether a folder of the machine has changed since then (seconds of `time.time`). Ours never do."""
        if dataset.owned:
            return False
        paths = [Path(example.path) for example in read_listing(dataset.source).examples]
        return any(_changed(place) > moment for place in (dataset.source, *{path.parent for path in paths}, *paths))

    def _allowed(self, path: Path) -> Path:
        if not self._roots:
            raise ApiError(
                403,
                "outside-roots",
                found="a folder of the server",
                expected="an upload: this server may read no folder",
                fix="start it with --root FOLDER to allow one",
            )
        try:
            real = self._below_a_root(path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            real = None
        if real is None or not real.is_dir() or not any(real.is_relative_to(root) for root in self._roots):
            raise ApiError(
                403,
                "outside-roots",
                found=f"{os.fspath(path)!r}, which is no folder inside the allowed ones",
                expected=f"a folder inside {', '.join(self.root_names())}, such as {self.root_names()[0]}/photos",
                fix="move the pictures there, or start the server with another --root",
            )
        return real

    def root_names(self) -> list[str]:
        """What people call the allowed folders by; where they lie is nobody's business."""
        return [root.name or str(root) for root in self._roots]

    def _below_a_root(self, path: Path) -> Path:
        """The folder that a path means which begins with a root's name; other paths are as they are."""
        for name, root in zip(self.root_names(), self._roots, strict=True):
            if path.parts[:1] == (name,):
                return root.joinpath(*path.parts[1:])
        return path

    def _new_id(self, name: str) -> str:
        return f"{slug(name)[:40]}-{secrets.token_hex(3)}"

    def _insert(self, identifier: str, name: str, source: Path, *, owned: bool) -> StoredDataset:
        self._database.write(
            "INSERT INTO datasets VALUES (?, ?, ?, ?, ?)", (identifier, name, str(source.resolve()), int(owned), time.time())
        )
        return self.get(identifier)

    def _stored(self, row: Mapping[str, Any]) -> StoredDataset:
        return StoredDataset(
            id=row["id"],
            name=row["name"],
            source=Path(row["source"]),
            owned=bool(row["owned"]),
            created=row["created"],
            home=self._home / row["id"],
        )


def _changed(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:  # gone in this moment
        return math.inf


def with_additions(listing: Listing, additions: Sequence[Mapping[str, Any]]) -> Listing:
    """The listing, and behind its examples the added ones: for train, where the data brings splits."""
    if not additions:
        return listing
    split = "train" if any(example.split for example in listing.examples) else None
    added = [Example(path=a["file"], class_name=a["label"], split=split) for a in additions]  # type: ignore[arg-type]
    names = {*listing.class_names, *(a["label"] for a in additions)}
    return replace(listing, examples=(*listing.examples, *added), class_names=tuple(sorted(names)))


def checked_label(text: str) -> str:
    """A class name that people may give. Raises ApiError 422."""
    label = " ".join(text.split())
    if (
        not label
        or len(label) > LONGEST_LABEL
        or not label.isprintable()
        or "/" in label
        or "\\" in label
        or label.startswith(".")
    ):
        raise ApiError(
            422, "class-name", found=f"the class name {text[:LONGEST_LABEL]!r}", expected="a word or two, such as 'cat'"
        )
    return label


def relative(path: str, dataset: StoredDataset) -> str:
    """As people know it: below the data set's folder."""
    for place in (dataset.source, dataset.home):
        try:
            return Path(path).relative_to(place).as_posix()
        except ValueError:
            continue
    return Path(path).name


def without_folder(message: str, folder: Path, name: str) -> str:
    """A message without the places of the server's disk."""
    return message.replace(f"{folder}{os.sep}", "").replace(str(folder), name)
