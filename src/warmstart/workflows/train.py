"""train: a folder of images in, a tested and saved classifier out.

listing → digests → splits → backbone → engine, proved → rows from the store → taps and penalty on val → refit → test → run folder
"""

import csv
import itertools
import re
import time
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import load_backbone
from warmstart.data.listing import read_listing
from warmstart.data.views import RESIZE_MODES, VIEW_POLICIES
from warmstart.engines.build import ENGINES, PRECISIONS
from warmstart.errors import DataError, UnknownNameError, UsageError
from warmstart.evaluation.metrics import score
from warmstart.extraction import choose_engine, columns, extract, library_versions, tapped_prefix
from warmstart.heads.catalog import head_spec
from warmstart.heads.protocol import Head
from warmstart.heads.selection import CLASS_WEIGHTS, Choice, choose_head, refit
from warmstart.model.build import assemble
from warmstart.model.predictor import Model
from warmstart.records import Cache, Listing, Plan, Preprocessing, RunRecord, Scores, Split, to_json
from warmstart.store.cache import Store
from warmstart.strategy.taps import candidate_taps
from warmstart.workflows.dataset import Dataset, prepare, without
from warmstart.workflows.watch import Nobody, Watcher


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What a run needs beside its plan: none of it changes the numbers."""

    exclude: tuple[str, ...] = ()  # patterns of class folders or paths to leave out
    runs: Path = Path("runs")  # a run folder <time>-<name> is made in here
    strict: bool = False  # a picture that cannot be used is an error
    download: bool = False  # weights may be fetched from their hub
    store_bytes: int | None = None  # size budget of the store; None: its default


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """Scores by split; None where a split has no picture."""

    val: Scores | None
    test: Scores | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """What train returns: the model, and the record that also lies in the run folder."""

    model: Model
    record: RunRecord
    folder: Path

    @property
    def scores(self) -> SplitScores:
        """`run.scores.test.accuracy` and so on."""
        return SplitScores(val=self.record.scores.get("val"), test=self.record.scores.get("test"))


def train(
    data: Any,
    plan: Plan | None = None,
    settings: TrainSettings | None = None,
    *,
    watcher: Watcher | None = None,
    strata: Mapping[str, Hashable] | None = None,
    seconds_before: float = 0.0,
) -> Run:
    """Train a classifier on a folder, manifest, list of (path, label) or DataFrame.

    strata: path → what to stratify splits by instead of the class. seconds_before: time that the process had used before this call.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    plan, settings, watcher = plan or Plan(), settings or TrainSettings(), watcher or Nobody()
    begin = time.perf_counter() - seconds_before
    check_plan(plan)
    listing = data if isinstance(data, Listing) else read_listing(data, exclude=settings.exclude)
    with Store(machine.store_folder(), settings.store_bytes) as store:
        dataset = prepare(listing, store, plan, watcher, strata=strata)
        backbone = load_backbone(
            plan.backbone, weights=plan.weights, download=settings.download, seed=plan.seed, announce=watcher.say
        )
        preprocessing = Preprocessing(
            size_px=plan.image_size_px or backbone.spec.input_size_px, resize=plan.resize, views=VIEW_POLICIES[plan.views]
        )
        tap_sets = candidate_taps(plan.taps, backbone.resolve_cut(plan.cut), backbone.tap_names)
        prefix = tapped_prefix(backbone, preprocessing.size_px)
        extract_begin = time.perf_counter()
        proven = choose_engine(
            dataset.pictures,
            prefix,
            preprocessing,
            engine=plan.engine,
            precision=plan.precision,
            graphs=machine.graphs_folder(),
        )
        extraction = extract(
            dataset.pictures,
            prefix=prefix,
            engine=proven.engine,
            precision=proven.precision,
            preprocessing=preprocessing,
            store=store,
            graphs=machine.graphs_folder(),
            on_progress=watcher.progress,
        )
    extract_seconds = time.perf_counter() - extract_begin
    for note in (*proven.notes, *extraction.notes):
        watcher.say(note)
    dataset, kept = without(dataset, extraction.broken)
    if settings.strict and dataset.problems:
        raise DataError(f"--strict: {len(dataset.problems)} problems, the first: {dataset.problems[0].message}")
    _check_positive(plan, dataset)

    fit_begin = time.perf_counter()
    rows = extraction.rows[kept]
    choice = choose_head(
        plan.head,
        {name: partial(_some_rows, rows, extraction.layout, taps) for name, taps in tap_sets.items()},
        dataset.labels,
        n_classes=len(dataset.class_names),
        train=dataset.positions("train"),
        val=dataset.positions("val"),
        class_weight=plan.class_weight,
        seed=plan.seed,
    )
    taps = tap_sets[choice.tap_set]
    final = dataset.positions("train", "val")
    watcher.say(f"taps and penalty are chosen; the head is fitted again on train and val together ({len(final):,} pictures)")
    head = refit(
        choice, _some_rows(rows, extraction.layout, taps, final), dataset.labels[final], n_classes=len(dataset.class_names)
    )
    model = assemble(
        backbone,
        head=head,
        head_name=plan.head,
        taps=taps,
        temperature=choice.temperature,
        preprocessing=preprocessing,
        engine=proven.engine,
        precision=proven.precision,
        class_names=dataset.class_names,
        positive=plan.positive,
        threshold=plan.threshold,
    )
    plan = replace(
        plan,
        cut=backbone.resolve_cut(plan.cut),
        taps=",".join(taps),
        image_size_px=preprocessing.size_px,
        engine=proven.engine,
        precision=proven.precision,
    )
    fit_seconds = time.perf_counter() - fit_begin

    evaluate_begin = time.perf_counter()
    scores, predictions = _evaluate(model, choice, dataset, rows)
    seconds = {
        "extract": extract_seconds,
        "fit": fit_seconds,
        "evaluate": time.perf_counter() - evaluate_begin,
    }
    folder = _new_run_folder(settings.runs, dataset.source)
    model = replace(model, about=_about(plan, scores, dataset, backbone))
    model.save(folder / "model")
    record = RunRecord(
        data=dataset.summary(),
        plan=plan,
        scores=scores,
        seconds={"total": time.perf_counter() - begin, **seconds},
        images_per_second=extraction.misses / extraction.seconds if extraction.misses else None,
        cache=Cache(hits=extraction.hits, misses=extraction.misses),
        run_dir=str(folder),
        engine={
            "name": proven.engine,
            "precision": proven.precision,
            "proof": asdict(proven.proof),
            "notes": [*proven.notes, *extraction.notes],
        },
        choice=choice.to_dict(),
        versions={"warmstart": version("warmstart"), **library_versions()},
        machine=machine.describe(),
    )
    _write_run(folder, record, predictions)
    return Run(model=model, record=record, folder=folder)


def check_plan(plan: Plan) -> None:
    """Names that can be checked before anything is read. Raises UnknownNameError or UsageError."""
    head_spec(plan.head)
    for what, name, known in (
        ("views", plan.views, VIEW_POLICIES),
        ("resize", plan.resize, RESIZE_MODES),
        ("engine", plan.engine, ENGINES),
        ("precision", plan.precision, PRECISIONS),
        ("class weight", plan.class_weight, CLASS_WEIGHTS),
    ):
        if name not in known:
            raise UnknownNameError(what, name, known)
    find(plan.backbone)
    if plan.threshold is not None and plan.positive is None:
        raise UsageError("--threshold is a probability of one class: name it with --positive CLASS")
    if plan.cut == "pixels":
        raise UsageError(
            "--cut pixels leaves nothing frozen, and training the network itself is not built yet. Use 'pooled' or a stage."
        )


def _check_positive(plan: Plan, dataset: Dataset) -> None:
    if plan.positive is None:
        return
    if plan.positive not in dataset.class_names:
        raise UnknownNameError("class for --positive", plan.positive, dataset.class_names)
    if len(dataset.class_names) != 2:
        raise UsageError(f"--positive is for two classes; {dataset.source} has {len(dataset.class_names)}")


def _some_rows(
    rows: np.ndarray, layout: tuple[tuple[str, int], ...], taps: tuple[str, ...], positions: np.ndarray
) -> np.ndarray:
    return columns(rows[positions], layout, taps)


def _evaluate(
    model: Model, choice: Choice, dataset: Dataset, rows: np.ndarray
) -> tuple[dict[Split, Scores], list[tuple[str, str, str, float]]]:
    """Scores by split, and (path, true class, predicted class, its probability) of every test picture.

    The only place where labels of test are looked at, once. Val is scored with the head that was fitted on train alone.
    """
    train_labels = dataset.labels[dataset.positions("train")]
    majority = int(np.bincount(train_labels).argmax())
    scores, predictions = {}, []
    heads: dict[Split, Head] = {"val": choice.head, "test": model.head}
    for split, head in heads.items():
        positions = dataset.positions(split)
        if not len(positions):
            continue
        probabilities = replace(model, head=head).probabilities(rows[positions])
        predicted = model.decide(probabilities)
        scores[split] = score(
            probabilities=probabilities,
            labels=dataset.labels[positions],
            class_names=dataset.class_names,
            majority_label=majority,
            used_for_choosing=split == "val" and choice.method == "val",
            predicted=predicted,
        )
        if split == "test":
            names = dataset.class_names
            predictions = [
                (dataset.pictures[i].path, names[dataset.labels[i]], names[label], float(p[label]))
                for i, label, p in zip(positions, predicted, probabilities, strict=True)
            ]
    return scores, predictions


def _about(plan: Plan, scores: Mapping[Split, Scores], dataset: Dataset, backbone: Backbone) -> dict[str, Any]:
    """What a model folder says about where the model comes from."""
    return {
        "plan": plan.to_dict(),
        "scores": {split: s.to_dict() for split, s in scores.items()},
        "weights": {"tag": backbone.spec.weights_tag, "licence": backbone.spec.licence, "given": plan.weights},
        "data_fingerprint": dataset.fingerprint(),
        "trained_on": sorted(dataset.pictures[i].digest.hex() for i in dataset.positions("train", "val")),
        "majority_class": dataset.class_names[int(np.bincount(dataset.labels[dataset.positions("train")]).argmax())],
        "versions": {"warmstart": version("warmstart"), **library_versions()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _new_run_folder(runs: Path, source: str) -> Path:
    """runs/<time>-<name>, not there before."""
    name = re.sub(r"[^\w.-]+", "-", Path(source).name or "run").strip("-.") or "run"
    base = f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{name}"
    for attempt in itertools.count(1):
        folder = runs / (base if attempt == 1 else f"{base}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as reason:
            raise DataError(
                f"the run folder {folder} cannot be made ({reason.strerror}); choose another with --runs"
            ) from reason
        break
    return folder


def _write_run(folder: Path, record: RunRecord, predictions: list[tuple[str, str, str, float]]) -> None:
    (folder / "plan.json").write_text(to_json(record.plan.to_dict()), "utf-8")
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "true", "predicted", "probability"])
        writer.writerows((path, true, predicted, f"{p:.6f}") for path, true, predicted, p in predictions)
    (folder / "run.json").write_text(to_json(record.to_dict()), "utf-8", errors="surrogateescape")
