"""The models of a server: named ones, those in a folder, and those of finished runs.

They are opened when first asked for, and changed when their files do.

    look (a thread, every second) → new, changed and gone folders → open beside the old one → swap → the old one answers what it has

A model that was replaced by something broken stays in service and says so. Only so many are held in memory; the one that was not
asked for longest is let go.
"""

import glob
import itertools
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.errors import UsageError, WarmstartError
from warmstart.extraction.described import read_preprocessing
from warmstart.machine import file_stamp
from warmstart.model.checking import check_description, task_of
from warmstart.model.files import DESCRIPTION, read_description
from warmstart.predicting import ModelFacts
from warmstart.records import fits
from warmstart.serve.batching import Batcher
from warmstart.serve.decoding import Decoders
from warmstart.serve.errors import ApiError, not_found
from warmstart.serve.settings import ServeSettings
from warmstart.workflows.predict import SOURCE_PREFIX, open_model

LOG = logging.getLogger(__name__)
MODEL_FILES = (DESCRIPTION, "model.onnx", "model.xml", "model.pt2")  # ours, and exported ones

Signature = tuple[tuple[str | int, ...], ...]  # of every file: its name, and what changes when it does (`machine.file_stamp`)


@dataclass(kw_only=True)
class Entry:
    """A name, and what stands behind it."""

    name: str
    source: str  # what `open_model` opens
    named: bool  # on the command line: opened at the start, and never dropped
    run: str | None = None  # the run that made it
    signature: Signature = ()
    about: dict[str, Any] = field(default_factory=dict)
    gone: int = 0  # looks in a row that did not find it
    problem: str | None = None  # why the files that are there now are not in use
    batcher: Batcher | None = None
    opened: Signature | None = None  # of what the batcher serves
    asked: float = 0.0  # when last, by `time.monotonic`
    opening: threading.Lock = field(default_factory=threading.Lock)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"name": self.name, "run": self.run, "loaded": self.batcher is not None, "problem": self.problem, **self.about}


class Models:
    """All models of a server. Use from any thread; `close` ends its own."""

    def __init__(
        self,
        settings: ServeSettings,
        *,
        runs: Path | None = None,
        on_batch: Callable[[str, int, float], None] = lambda model, pictures, seconds: None,
    ) -> None:
        self._settings, self._runs, self._on_batch = settings, runs, on_batch
        self._decoders = Decoders(machine.cores())
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._seen: dict[str, Signature] = {}  # of folders at the last look: what is still being copied is left alone
        self._stop = threading.Event()
        for given in settings.models:
            self._add_named(given)
        try:
            self.look(settled=False)
        except OSError as reason:
            raise UsageError(f"{reason.filename} cannot be read ({reason.strerror}); name a folder that can be") from reason
        self._looker = threading.Thread(target=self._keep_looking, name="models", daemon=True)
        self._looker.start()

    def names(self) -> list[str]:
        """In order."""
        with self._lock:
            return sorted(self._entries)

    def describe(self) -> list[dict[str, Any]]:
        """All models, JSON-ready."""
        with self._lock:
            return [self._entries[name].to_dict() for name in sorted(self._entries)]

    def entry(self, name: str) -> Entry:
        """Raises ApiError 404 with the nearest names."""
        with self._lock:
            found = self._entries.get(name)
        if found is None:
            raise not_found("model", name, self.names())
        return found

    def under_way(self) -> int:
        """Pictures that have no answer yet, over all models."""
        with self._lock:
            return sum(entry.batcher.under_way for entry in self._entries.values() if entry.batcher)

    def ready(self) -> bool:
        """Whether every named model is open."""
        with self._lock:
            return all(entry.batcher is not None for entry in self._entries.values() if entry.named)

    def stuck(self) -> bool:
        """Whether the predictions of a model do not move."""
        with self._lock:
            return any(entry.batcher.stuck() for entry in self._entries.values() if entry.batcher)

    def open(self, name: str) -> Batcher:
        """The model's batcher; opens the model if need be, which takes seconds. Raises ApiError 404 or 503."""
        entry = self.entry(name)
        entry.asked = time.monotonic()
        batcher = entry.batcher
        if batcher is not None:
            return batcher
        with entry.opening:
            if entry.batcher is None:
                self._open(entry)
            if entry.batcher is None:
                raise ApiError(
                    503,
                    "model-not-usable",
                    found=f"model {name!r} cannot be opened ({entry.problem})",
                    fix="put a whole model folder in its place; it is looked at again every second",
                    retry_after_s=5,
                )
            batcher = entry.batcher
        self._let_go()
        return batcher

    def look(self, *, settled: bool = True) -> None:
        """Once over all folders. ``settled``: take only what has not changed since the look before."""
        found = dict(self._folders())
        with self._lock:
            for name, entry in list(self._entries.items()):
                entry.gone = 0 if entry.named or name in found else entry.gone + 1
                if entry.gone > settled:  # while a folder is replaced by another there is none for a moment
                    self._retire(self._entries.pop(name))
            entries = dict(self._entries)
        for name, (folder, run) in found.items():
            signature = _signature(folder)
            if name not in entries and (not settled or self._seen.get(str(folder)) == signature):
                entry = Entry(name=name, source=str(folder), named=False, run=run)
                _read_about(entry, signature)
                with self._lock:
                    self._entries[name] = entry
            self._seen[str(folder)] = signature
        for entry in entries.values():
            if entry.source.startswith(SOURCE_PREFIX):
                continue
            signature = _signature(Path(entry.source))
            before, self._seen[entry.source] = self._seen.get(entry.source), signature
            if signature and signature != entry.signature and (not settled or signature == before):
                self._changed(entry, signature)

    def close(self) -> None:
        """Answer what is under way and end all threads."""
        self._stop.set()
        self._looker.join(10)
        with self._lock:
            batchers = [entry.batcher for entry in self._entries.values() if entry.batcher]
        for batcher in batchers:
            batcher.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)

    def _add_named(self, given: str) -> None:
        name, equals, source = given.partition("=")
        if not equals:
            name, source = "", given
        name = slug(name or _own_name(source))
        if name in self._entries:
            raise UsageError(f"two models are called {name!r}; name one of them otherwise: OTHER={source}")
        entry = Entry(name=name, source=source, named=True)
        entry.signature = () if source.startswith(SOURCE_PREFIX) else _signature(Path(source))
        self._entries[name] = entry
        self._open(entry, insist=True)

    def _folders(self) -> Iterator[tuple[str, tuple[Path, str | None]]]:
        """Name → (folder, run) of every model that is not named."""
        places = [(self._settings.models_folder, False), (self._runs, True)]
        taken = {e.name for e in self._entries.values() if e.named}
        for place, of_runs in places:
            if place is None or not place.is_dir():
                continue
            for folder in sorted(place.iterdir()):
                if folder.name.startswith(".") or not _is_model(folder):
                    continue
                if of_runs and not (folder / "run.json").is_file():  # training is still under way
                    continue
                name = slug(folder.name)
                if name in taken:
                    name = next(n for i in itertools.count(2) if (n := f"{name}-{i}") not in taken)
                taken.add(name)
                yield name, (folder, folder.name if of_runs else None)

    def _keep_looking(self) -> None:
        said = None
        while not self._stop.wait(self._settings.look_every_s):
            try:
                self.look()
                said = None
            except Exception as reason:  # whatever a folder holds: the next look may go well
                if str(reason) != said:  # once, not every second
                    LOG.exception("models were not looked at; tried again every %g s", self._settings.look_every_s)
                said = str(reason)

    def _changed(self, entry: Entry, signature: Signature) -> None:
        entry.signature = signature
        if entry.batcher is None:
            entry.problem = None
            _read_about(entry, signature)
            return
        with entry.opening:
            self._open(entry)

    def _open(self, entry: Entry, *, insist: bool = False) -> None:
        """A new batcher in the place of the old one; where that fails the old one stays and ``problem`` says why."""
        signature = entry.signature
        try:
            model = open_model(entry.source, download=self._settings.download)
            blank = np.full((8, 8, 3), 127, np.uint8)
            model.predict_prepared([model.prepare(blank)], [""])  # the engine is compiled now, not for the first request
        except WarmstartError as reason:
            if insist:
                raise
            entry.problem = str(reason)
            return
        except Exception as reason:  # whatever a damaged file makes a library raise: the server lives
            if insist:
                raise
            entry.problem = f"{type(reason).__name__}: {reason}"
            return
        name = entry.name
        batcher = Batcher(
            model, self._settings.limits, self._decoders, on_batch=lambda n, seconds: self._on_batch(name, n, seconds)
        )
        with self._lock:
            old, entry.batcher = entry.batcher, batcher
            entry.opened, entry.problem, entry.about = signature, None, _summary(model.facts)
            entry.asked = time.monotonic()
        if old is not None:
            threading.Thread(target=old.close, daemon=True).start()

    def _let_go(self) -> None:
        with self._lock:
            held = [entry for entry in self._entries.values() if entry.batcher]
            spare = sorted((e for e in held if not e.named), key=lambda e: e.asked)
            for entry in spare[: max(0, len(held) - self._settings.limits.models_in_memory)]:
                self._retire(entry)

    def _retire(self, entry: Entry) -> None:
        if entry.batcher is not None:
            threading.Thread(target=entry.batcher.close, daemon=True).start()
        entry.batcher = entry.opened = None


def slug(text: str) -> str:
    """Usable in an address and as a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "model"


def _own_name(source: str) -> str:
    if source.startswith(SOURCE_PREFIX):
        return source.removeprefix(SOURCE_PREFIX)
    path = Path(source).resolve()
    return path.parent.name if path.name == "model" else path.name


def _is_model(folder: Path) -> bool:
    return _holds_model(folder) or _holds_model(folder / "model")


def _holds_model(place: Path) -> bool:
    try:
        return any((place / name).is_file() for name in MODEL_FILES)
    except OSError:  # lost+found, or another's folder
        return False


def _signature(source: Path) -> Signature:
    """Of the files that make a model; () where there is none."""
    place = next((p for p in (source, source / "model") if _holds_model(p)), source)
    try:
        # An exported file may have its weights beside it, under its own name.
        paths = place.glob("model.*") if place.is_dir() else {place, *place.parent.glob(f"{glob.escape(place.stem)}.*")}
        return tuple((path.name, *file_stamp(path.stat())) for path in sorted(paths))
    except OSError:  # it is being replaced in this moment
        return ()


def _read_about(entry: Entry, signature: Signature) -> None:
    """What the description says, without opening the model; nothing yet of an exported one."""
    entry.signature = signature
    folder = Path(entry.source)
    place = next((p for p in (folder, folder / "model") if (p / DESCRIPTION).is_file()), None)
    if place is None:
        return
    try:
        document = read_description(place)
        check_description(document)
        entry.about = _summary(
            ModelFacts(
                task=(task := task_of(document, place / DESCRIPTION)).name,
                size_px=read_preprocessing(document["preprocessing"]).size_px,
                backbone=document["backbone"]["name"],
                says=task.described(document),
                about=document["about"],
            )
        )
    except WarmstartError as reason:
        entry.problem = str(reason)
    except Exception as reason:  # whatever else a folder from anybody does to us: the others are not hidden by it
        entry.problem = f"{place / DESCRIPTION} lacks or misuses {reason}; was it written by another program?"


def _summary(facts: ModelFacts) -> dict[str, Any]:
    about = facts.about
    scores = about.get("scores") or {}
    test = scores.get("test") or scores.get("val") or {}

    def of_kind(value: Any, kind: Any) -> Any:
        return value if fits(value, kind) else None

    return {
        "task": facts.task,
        "backbone": facts.backbone,
        "size_px": facts.size_px,
        **facts.says,
        "accuracy": of_kind(test.get("accuracy"), float),
        "tested_on": of_kind(test.get("n"), int),
        "created": of_kind(about.get("created"), str),
        "licence": of_kind((about.get("weights") or {}).get("licence"), str),
    }
