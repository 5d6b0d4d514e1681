"""From a probe to a tested, saved model: the head fitted on all that may be learnt from, or the network trained; then test, once.

probe → frozen │ tuned → finish: scores → model/ → run folder
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.atomic import kept_elsewhere
from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import feature_tensors
from warmstart.errors import MachineError
from warmstart.evaluation.metrics import score
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.stored_rows import library_versions
from warmstart.heads.protocol import Head
from warmstart.heads.selection import refit
from warmstart.model.build import assemble
from warmstart.model.predictor import Model
from warmstart.plan import Plan
from warmstart.records import Cache, RunRecord, Scores, Split
from warmstart.refusals import require_room
from warmstart.report.pictures import write_pictures
from warmstart.session.calibration import Calibration, also_chosen_by, calibrated, of_frozen, of_tuned, tested
from warmstart.session.calibration import describe as describe_trust
from warmstart.session.dataset import Dataset, stop_if_any_is_gone
from warmstart.session.embedding_map import count_parameters, see_pictures
from warmstart.session.engine_parity import engine_parity
from warmstart.session.probe import Probe, preprocessing_of, prove, rows_of
from warmstart.session.progress import Watcher
from warmstart.session.run_folder import MODEL, PredictionRow, write_run
from warmstart.session.session import Session
from warmstart.strategy.forecast import Forecast


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
    stopped: bool  # whether Ctrl-C ended its training
    hits: int
    misses: int
    seconds: Mapping[str, float]


def frozen(seen: Probe, watcher: Watcher) -> Trained:
    """The chosen head, fitted again on train and val together, on the frozen backbone."""
    begin = time.perf_counter()
    final = seen.dataset.positions("train", "val")
    watcher.say(f"taps and penalty are chosen; the head is fitted again on train and val together ({len(final):,} pictures)")
    with machine.calm_blas():
        head = refit(
            seen.choice,
            seen.features(final),
            seen.dataset.targets.labels[final],
            n_classes=len(seen.dataset.targets.class_names),
        )
        calibration = of_frozen(seen)
        model = _assembled(seen, seen.backbone, head, seen.recipe)
        model = calibrated(model, calibration, seen.rows[final], seed=seen.plan.seed)
    return Trained(
        model=model,
        val_head=seen.choice.head,
        chosen_on_val=seen.choice.method == "val",
        calibration=calibration,
        rows=seen.rows,
        training={},
        stopped=False,
        hits=seen.extraction.hits,
        misses=seen.extraction.misses,
        seconds={"extract": seen.extract_seconds, "fit": seen.fit_seconds + time.perf_counter() - begin},
    )


def held_against_others(seen: Probe, trained: Trained) -> Trained:
    """A frozen network that was kept, or left as it is, by how it did on val: from then on val has chosen."""
    return replace(trained, chosen_on_val=True, calibration=also_chosen_by(trained.calibration, seen))


def tuned(seen: Probe, session: Session, folder: Path) -> Trained:
    """The network trained right of the cut. It is tested as it will be used: through an engine, from the pictures on."""
    from warmstart.session.tune import tune

    result = tune(seen, session, folder)
    held_out = seen.dataset.positions("val", "test")
    if result.stopped:
        session.watcher.say(
            "the best epoch so far is looked at; asked to stop once more, the run is left as it is, for --resume"
        )
    see_begin = time.perf_counter()
    pictures = [seen.dataset.pictures[i] for i in held_out]
    preprocessing = preprocessing_of(seen.plan, seen.dataset.values)
    recipe, proven = prove(pictures, result.backbone, preprocessing, seen.plan, session)
    extraction = rows_of(pictures, recipe, proven, session)
    stop_if_any_is_gone(extraction.broken)
    rows = np.zeros((len(seen.dataset.pictures), extraction.rows.shape[1]), extraction.rows.dtype)
    rows[held_out] = extraction.rows
    model = _assembled(seen, result.backbone, result.head, recipe)
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
        stopped=result.stopped,
        hits=seen.extraction.hits + sum(phase.hits for phase in result.phases) + extraction.hits,
        misses=seen.extraction.misses + sum(phase.misses for phase in result.phases) + extraction.misses,
        seconds={
            "extract": seen.extract_seconds + sum(phase.extract_seconds for phase in result.phases) + see_seconds,
            "fit": seen.fit_seconds,
            "train": sum(phase.train_seconds for phase in result.phases),
        },
    )


def finish(
    seen: Probe,
    trained: Trained,
    session: Session,
    folder: Path,
    *,
    expected: Forecast | None = None,
    advice: Mapping[str, Any] | None = None,
) -> Run:
    """Test, save the model, write the run folder. expected: what it was to take. advice: what led to the plan."""
    dataset, plan = seen.dataset, seen.plan
    evaluate_begin = time.perf_counter()
    scores, predictions, shares = _evaluate(trained, dataset)
    test = dataset.positions("test")
    model = tested(trained.model, shares["test"], dataset.targets.labels[test])
    model = replace(model, about=_about(plan, scores, dataset, seen.backbone))
    with machine.calm_blas():
        trust = describe_trust(model, trained.calibration, shares["test"], dataset.targets.labels[test], trained.rows[test])
        pictures = see_pictures(seen, model, shares, trained.rows)
    evaluate_seconds = time.perf_counter() - evaluate_begin
    _save(model, folder / MODEL)  # the first, because it is what the work was for
    write_pictures(folder, pictures)
    parity = engine_parity(model, dataset, trained.rows, session.workspace.graphs)
    record = RunRecord(
        data=dataset.summary(),
        plan=plan,
        scores=scores,
        seconds={"total": session.clock.here(), **trained.seconds, "evaluate": evaluate_seconds},
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
        parity=parity,
        parameters=count_parameters(seen.backbone, plan),
        forecast=expected.to_dict() if expected else {},
        advice=advice or {},
        versions={"warmstart": machine.installed_version("warmstart"), **library_versions()},
        machine=machine.describe(),
    )
    write_run(folder, record, predictions, expected)
    return Run(model=model, record=record, folder=folder)


def _save(model: Model, folder: Path) -> None:
    """Where there is no room for the model, it is kept elsewhere, and the MachineError says where."""
    try:
        model.save(folder)
    except MachineError as reason:
        kept = kept_elsewhere(MODEL, model.save)
        if kept is None:
            raise
        raise MachineError(
            f"{reason} The trained model is kept in {kept}: move it to a place of yours.", reason.errno
        ) from reason


def require_room_for(backbone: Backbone, folder: Path, *, models: int = 1, checkpoints: int = 0) -> None:
    """Raise MachineError where the disk of ``folder`` has no room for what a run will write at the least, all of it at one moment."""
    model_bytes = sum(tensor.nbytes for tensor in feature_tensors(backbone).values())
    copies = models + 2 * checkpoints  # a checkpoint holds the weights, and the best ones so far
    require_room(folder, copies * model_bytes, "the run", file_bytes=model_bytes)


def _assembled(seen: Probe, backbone: Backbone, head: Head, recipe: Recipe) -> Model:
    """The model before it is calibrated, which reads its pictures by this recipe in the views of the plan."""
    return assemble(
        backbone,
        head=head,
        head_name=seen.plan.head,
        taps=seen.taps,
        temperature=1.0,
        preprocessing=preprocessing_of(seen.plan, seen.dataset.values),
        engine=recipe.engine,
        precision=recipe.precision,
        class_names=seen.dataset.targets.class_names,
        positive=seen.plan.positive,
        threshold=seen.plan.threshold,
    )


def _evaluate(trained: Trained, dataset: Dataset) -> tuple[dict[Split, Scores], list[PredictionRow], dict[Split, np.ndarray]]:
    """Scores by split; (path, true class, predicted class, its probability) of every test picture; probabilities (N, K) by split.

    The only place where labels of test are looked at for scores, once. Val is scored with a head that has not learnt from it.
    """
    model, names = trained.model, dataset.targets.class_names
    majority = dataset.targets.majority(dataset.positions("train"))
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
            labels=dataset.targets.labels[positions],
            class_names=names,
            majority_label=majority,
            used_for_choosing=split == "val" and trained.chosen_on_val,
            predicted=predicted,
        )
        if split == "test":
            predictions = [
                (dataset.pictures[i].path, names[dataset.targets.labels[i]], names[label], float(p[label]))
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
        "majority_class": dataset.targets.class_names[dataset.targets.majority(dataset.positions("train"))],
        "versions": {"warmstart": machine.installed_version("warmstart"), **library_versions()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
