"""train: a folder of images in, a tested and saved classifier out.

probe (frozen features, head chosen) → [tune: the network right of the cut] → test → run folder
"""

import time
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.data.augmentation import view_names
from warmstart.data.listing import read_listing
from warmstart.data.views import RESIZE_MODES, VIEW_POLICIES
from warmstart.engines.build import ENGINES, PRECISIONS
from warmstart.errors import UnknownNameError, UsageError
from warmstart.evaluation.metrics import score
from warmstart.extraction.stored_rows import library_versions
from warmstart.heads.catalog import head_spec
from warmstart.heads.protocol import Head
from warmstart.heads.selection import CLASS_WEIGHTS, refit
from warmstart.model.build import assemble
from warmstart.model.predictor import Model
from warmstart.records import Cache, Listing, Plan, RunRecord, Scores, Split
from warmstart.report.pictures import write_pictures
from warmstart.store.cache import Store
from warmstart.workflows.dataset import Dataset
from warmstart.workflows.portrait import count_parameters, see_pictures
from warmstart.workflows.probe import Probe, preprocessing_of, probe, see
from warmstart.workflows.run_folder import PredictionRow, new_run_folder, read_start, write_run, write_start
from warmstart.workflows.settings import TrainSettings
from warmstart.workflows.trust import Calibration, calibrated, of_frozen, of_tuned, tested
from warmstart.workflows.trust import describe as describe_trust
from warmstart.workflows.watch import Nobody, Watcher


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


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model before it is tested, and the rows that it is tested on. N pictures, D features over all taps."""

    model: Model
    val_head: Head  # scored on val: one that has not learnt from it
    chosen_on_val: bool
    calibration: Calibration  # what the model was calibrated on
    rows: np.ndarray  # (N, D); those of val and test are meant
    training: Mapping[str, Any]  # what is worth recording of the training of the network; empty for a frozen one
    hits: int
    misses: int
    seconds: Mapping[str, float]


def train(
    data: Any,
    plan: Plan | None = None,
    settings: TrainSettings | None = None,
    *,
    watcher: Watcher | None = None,
    strata: Mapping[str, Hashable] | None = None,
    folder: Path | None = None,
    seconds_before: float = 0.0,
) -> Run:
    """Train a classifier on a folder, manifest, list of (path, label) or DataFrame.

    strata: path → what to stratify splits by instead of the class. folder: the run folder, if not a new one in ``settings.runs``.
    seconds_before: time that the process had used before this call.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    plan, settings, watcher = plan or Plan(), settings or TrainSettings(), watcher or Nobody()
    begin = time.perf_counter() - seconds_before
    check_plan(plan)
    listing = data if isinstance(data, Listing) else read_listing(data, exclude=settings.exclude)
    with Store(machine.store_folder(), settings.store_bytes) as store:
        seen = probe(listing, plan, settings, store, watcher, strata=strata)
        check_positive(plan, seen.dataset)
        folder = folder or new_run_folder(settings.runs, seen.dataset.source)
        if plan.trains_network:
            write_start(folder, listing.source, plan, settings)
            trained = tuned(seen, store, watcher, folder, begin=begin, budget_s=settings.budget_s)
        else:
            trained = frozen(seen, watcher)
    return _reported(finish(seen, trained, folder, begin), settings, watcher)


def resume(
    folder: Path,
    *,
    data: Listing | None = None,
    watcher: Watcher | None = None,
    strata: Mapping[str, Hashable] | None = None,
    download: bool = False,
    seconds_before: float = 0.0,
) -> Run:
    """Go on with a run whose training was interrupted, from its last checkpoint, to the weights it would have had.

    data, strata: what the run was started with, where that was more than a folder or a manifest. Raises UsageError when data, plan
    or code are not what they were, InputError when there is nothing to resume.
    """
    watcher = watcher or Nobody()
    begin = time.perf_counter() - seconds_before
    source, plan, settings = read_start(folder)
    with Store(machine.store_folder(), settings.store_bytes) as store:
        listing = data or read_listing(source, exclude=settings.exclude)
        seen = probe(listing, plan, replace(settings, download=download), store, watcher, strata=strata)
        trained = tuned(seen, store, watcher, folder, begin=begin, budget_s=settings.budget_s, resume=True)
    return _reported(finish(seen, trained, folder, begin), settings, watcher)


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
    if plan.cut == "pixels" and not plan.trains_network:
        raise UsageError(
            "at --cut pixels there are no features for a head: the network itself is trained there, with --head linear"
        )
    if plan.augment != "none" and not plan.trains_network:
        raise UsageError(
            "--augment makes views to train the network on, and with this cut and head nothing of it is trained. "
            "Choose an earlier --cut, or average features over --views."
        )
    view_names(plan.augment, plan.augment_views)
    if plan.trains_network:
        from warmstart.workflows.training_inputs import training_settings

        training_settings(plan.training, cold=False, seed=plan.seed)


def frozen(seen: Probe, watcher: Watcher) -> Trained:
    """The chosen head, fitted again on train and val together, on the frozen backbone."""
    begin = time.perf_counter()
    final = seen.dataset.positions("train", "val")
    watcher.say(f"taps and penalty are chosen; the head is fitted again on train and val together ({len(final):,} pictures)")
    with machine.calm_blas():
        head = refit(seen.choice, seen.features(final), seen.dataset.labels[final], n_classes=len(seen.dataset.class_names))
        calibration = of_frozen(seen)
        model = _assembled(seen, seen.backbone, head, precision=seen.plan.precision)
        model = calibrated(model, calibration, seen.rows[final], seed=seen.plan.seed)
    return Trained(
        model=model,
        val_head=seen.choice.head,
        chosen_on_val=seen.choice.method == "val",
        calibration=calibration,
        rows=seen.rows,
        training={},
        hits=seen.extraction.hits,
        misses=seen.extraction.misses,
        seconds={"extract": seen.extract_seconds, "fit": seen.fit_seconds + time.perf_counter() - begin},
    )


def tuned(
    seen: Probe,
    store: Store,
    watcher: Watcher,
    folder: Path,
    *,
    begin: float,
    budget_s: float | None,
    resume: bool = False,
) -> Trained:
    """The network trained right of the cut. It is tested as it will be used: through an engine, from the pictures on."""
    from warmstart.workflows.tune import tune

    result = tune(seen, store, watcher, folder, begin=begin, budget_s=budget_s, resume=resume)
    held_out = seen.dataset.positions("val", "test")
    see_begin = time.perf_counter()
    proven, extraction = see(tuple(seen.dataset.pictures[i] for i in held_out), result.backbone, seen.plan, store, watcher)
    rows = np.zeros((len(seen.dataset.pictures), extraction.rows.shape[1]), extraction.rows.dtype)
    rows[held_out] = extraction.rows
    model = _assembled(seen, result.backbone, result.head, precision=proven.precision)
    calibration = of_tuned(seen, model, rows)
    model = calibrated(model, calibration, rows[seen.dataset.positions("val")], seed=seen.plan.seed)
    see_seconds = time.perf_counter() - see_begin
    return Trained(
        model=model,
        val_head=result.head,
        chosen_on_val=True,
        calibration=calibration,
        rows=rows,
        training=result.to_dict(),
        hits=seen.extraction.hits + sum(phase.hits for phase in result.phases) + extraction.hits,
        misses=seen.extraction.misses + sum(phase.misses for phase in result.phases) + extraction.misses,
        seconds={
            "extract": seen.extract_seconds + sum(phase.extract_seconds for phase in result.phases) + see_seconds,
            "fit": seen.fit_seconds,
            "train": sum(phase.train_seconds for phase in result.phases),
        },
    )


def finish(seen: Probe, trained: Trained, folder: Path, begin: float) -> Run:
    """Test, save the model, write the run folder. ``begin``: when the run began, by `time.perf_counter`."""
    dataset, plan = seen.dataset, seen.plan
    evaluate_begin = time.perf_counter()
    scores, predictions, shares = _evaluate(trained, dataset)
    test = dataset.positions("test")
    model = tested(trained.model, shares["test"], dataset.labels[test])
    model = replace(model, about=_about(plan, scores, dataset, seen.backbone))
    with machine.calm_blas():
        trust = describe_trust(model, trained.calibration, shares["test"], dataset.labels[test], trained.rows[test])
        write_pictures(folder, see_pictures(seen, model, shares, trained.rows))
    evaluate_seconds = time.perf_counter() - evaluate_begin
    model.save(folder / "model")
    record = RunRecord(
        data=dataset.summary(),
        plan=plan,
        scores=scores,
        seconds={"total": time.perf_counter() - begin, **trained.seconds, "evaluate": evaluate_seconds},
        images_per_second=trained.misses / trained.seconds["extract"] if trained.misses else None,
        cache=Cache(hits=trained.hits, misses=trained.misses),
        run_dir=str(folder),
        engine={
            "name": model.engine,
            "precision": model.precision,
            "proof": asdict(seen.proven.proof),
            "notes": [*seen.proven.notes, *seen.extraction.notes],
        },
        choice=seen.choice.to_dict(),
        trust=trust,
        training=trained.training,
        parameters=count_parameters(seen.backbone, plan),
        versions={"warmstart": version("warmstart"), **library_versions()},
        machine=machine.describe(),
    )
    write_run(folder, record, predictions)
    return Run(model=model, record=record, folder=folder)


def _reported(run: Run, settings: TrainSettings, watcher: Watcher) -> Run:
    """The run, with its report.html written."""
    if settings.report:
        from warmstart.workflows.report import report

        watcher.say(f"report: {report(run.folder).path}")
    return run


def check_positive(plan: Plan, dataset: Dataset) -> None:
    """A positive class must be one of two. Raises UnknownNameError or UsageError."""
    if plan.positive is None:
        return
    if plan.positive not in dataset.class_names:
        raise UnknownNameError("class for --positive", plan.positive, dataset.class_names)
    if len(dataset.class_names) != 2:
        raise UsageError(f"--positive is for two classes; {dataset.source} has {len(dataset.class_names)}")


def _assembled(seen: Probe, backbone: Backbone, head: Head, *, precision: str) -> Model:
    """The model before it is calibrated."""
    return assemble(
        backbone,
        head=head,
        head_name=seen.plan.head,
        taps=seen.taps,
        temperature=1.0,
        preprocessing=preprocessing_of(seen.plan),
        engine=seen.proven.engine,
        precision=precision,
        class_names=seen.dataset.class_names,
        positive=seen.plan.positive,
        threshold=seen.plan.threshold,
    )


def _evaluate(trained: Trained, dataset: Dataset) -> tuple[dict[Split, Scores], list[PredictionRow], dict[Split, np.ndarray]]:
    """Scores by split; (path, true class, predicted class, its probability) of every test picture; probabilities (N, K) by split.

    The only place where labels of test are looked at for scores, once. Val is scored with a head that has not learnt from it.
    """
    model, names = trained.model, dataset.class_names
    majority = int(np.bincount(dataset.labels[dataset.positions("train")]).argmax())
    heads: dict[Split, Head] = {"val": trained.val_head, "test": model.head}
    scores: dict[Split, Scores] = {}
    predictions: list[PredictionRow] = []
    shares: dict[Split, np.ndarray] = {}
    for split, head in heads.items():
        positions = dataset.positions(split)
        shares[split] = probabilities = replace(model, head=head).probabilities(trained.rows[positions])
        if not len(positions):
            continue
        predicted = model.decide(probabilities)
        scores[split] = score(
            probabilities=probabilities,
            labels=dataset.labels[positions],
            class_names=names,
            majority_label=majority,
            used_for_choosing=split == "val" and trained.chosen_on_val,
            predicted=predicted,
        )
        if split == "test":
            predictions = [
                (dataset.pictures[i].path, names[dataset.labels[i]], names[label], float(p[label]))
                for i, label, p in zip(positions, predicted, probabilities, strict=True)
            ]
    return scores, predictions, shares


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
