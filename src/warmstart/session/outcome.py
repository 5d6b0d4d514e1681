"""From a probe to a tested, saved model: the head fitted on all that may be learnt from, or the network trained; then test, once.

probe → frozen │ tuned → finish: scores → model/ → run folder
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart import machine
from warmstart.atomic import kept_elsewhere
from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import feature_tensors
from warmstart.errors import MachineError
from warmstart.extraction.features import Rows
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.stored_rows import library_versions
from warmstart.model.build import assemble
from warmstart.model.predictor import Model
from warmstart.plan import Plan
from warmstart.records import Cache, Split
from warmstart.refusals import require_room
from warmstart.report.cards import card, run_card
from warmstart.report.frames import frame
from warmstart.report.run_record import RunRecord, TrainingRecord
from warmstart.report.shown import shown_by
from warmstart.report.task_page import PREDICTIONS, located, read_table
from warmstart.session.calibration import Calibration, also_chosen_by, of_frozen, of_tuned
from warmstart.session.dataset import Dataset, stop_if_any_is_gone
from warmstart.session.engine_parity import engine_parity
from warmstart.session.parameters import count_parameters
from warmstart.session.probe import preprocessing_of, prove, rows_of
from warmstart.session.progress import Watcher
from warmstart.session.run_folder import MODEL, Table, write_run
from warmstart.session.run_state import Probe
from warmstart.session.session import Session
from warmstart.strategy.forecast import Forecast
from warmstart.task_protocol import Fitted
from warmstart.task_registry import USUAL, find_task, part

if TYPE_CHECKING:
    from warmstart.report.plots import Plot


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """Scores by split, the task's own; None where a split has no picture."""

    val: Any
    test: Any
    task: str = field(default=USUAL, repr=False)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        by_split = {name: one for name, one in (("val", self.val), ("test", self.test)) if one is not None}
        grids = shown_by(find_task(self.task)).scores(by_split) if by_split else ()
        return card("Scores", kind=self.task, sentences=() if by_split else ["No picture was held out."], grids=grids)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What train returns: the model, and the record that also lies in the run folder."""

    model: Model
    record: RunRecord
    folder: Path
    in_memory: Mapping[str, Any] = field(default_factory=dict, repr=False)  # name → picture, of those that lie in no file

    @property
    def predictions(self) -> Any:
        """Of every test picture, as a data frame: path, what is true, what was said. Raises UsageError where there is no pandas."""
        rows = read_table(self.folder / PREDICTIONS) or []
        return frame(tuple(rows[0]) if rows else (), [tuple(row.values()) for row in rows])

    @property
    def history(self) -> Any:
        """Of the training, a row an evaluation on val, as a data frame; empty for a frozen network."""
        epochs = [row.to_dict() for row in self.record.training.epochs] if self.record.training else []
        return frame(tuple(epochs[0]) if epochs else (), [tuple(row.values()) for row in epochs])

    def top_losses(self, n: int = 8) -> list[tuple[str, str]]:
        """The ``n`` test pictures that the model is farthest off on: (path, what is to be said of it)."""
        rows = read_table(self.folder / PREDICTIONS) or []
        return list(shown_by(find_task(self.record.task)).worst(self.record, rows)[:n])

    def plot(self) -> "Plot":
        """How it went, as a figure of matplotlib's: val epoch by epoch where a network was trained, otherwise the test pictures."""
        from warmstart.report.plots import plot

        return plot(self.record, read_table(self.folder / PREDICTIONS) or [])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = read_table(self.folder / PREDICTIONS) or []
        return run_card(self.record, self.folder, rows, located(self.record.data.working_folder, self.in_memory))

    @property
    def scores(self) -> SplitScores:
        """`run.scores.test.accuracy` and so on."""
        return SplitScores(val=self.record.scores.get("val"), test=self.record.scores.get("test"), task=self.record.task)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model before it is tested, and the rows that it is tested on. N pictures, D features over all taps."""

    model: Model
    of_val: Fitted  # scored on val: what has not learnt from it
    chosen_on_val: bool
    calibration: Calibration  # what the model was calibrated on
    rows: np.ndarray  # (N, D); those of val and test are meant
    training: TrainingRecord | None  # of the network, or of a module of the task's own
    stopped: bool  # whether Ctrl-C ended its training
    hits: int
    misses: int
    seconds: Mapping[str, float]


def frozen(seen: Probe, watcher: Watcher) -> Trained:
    """What was fitted on the frozen backbone, fitted again on train and val together."""
    begin = time.perf_counter()
    final = seen.dataset.positions("train", "val")
    more = len(final) > len(seen.dataset.positions("train"))
    if seen.loop is None and more:
        watcher.say(
            f"taps and penalty are chosen; the head is fitted again on train and val together ({len(final):,} pictures)"
        )
    task = seen.dataset.task
    with machine.calm_blas():
        fitted = task.refit(seen.learnt, seen.part(final), seen.fitting) if more else seen.learnt.fitted
        calibration, bank = of_frozen(seen), seen.rows_at(final)

        def calibrated(one: Fitted) -> Any:
            return task.calibrate(one, calibration.outputs, calibration.targets, bank=bank, seed=seen.plan.seed)

        model = _assembled(seen, seen.backbone, calibrated(fitted), seen.recipe)
        of_val = calibrated(seen.learnt.fitted)
    return Trained(
        model=model,
        of_val=of_val,
        chosen_on_val=not seen.learnt.by_folds,
        calibration=calibration,
        rows=seen.rows,
        training=seen.loop.record() if seen.loop else None,
        stopped=bool(seen.loop and seen.loop.stopped),
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
    task, layout = seen.dataset.task, recipe.prefix.layout
    assert task.tunable is not None
    fitted = task.tunable.tuned(seen.learnt, result.head)
    calibration = of_tuned(seen, fitted, Rows(values=rows, layout=layout))
    bank = Rows(values=rows[seen.dataset.positions("val")], layout=layout)
    fitted = task.calibrate(fitted, calibration.outputs, calibration.targets, bank=bank, seed=seen.plan.seed)
    model = _assembled(seen, result.backbone, fitted, recipe)
    see_seconds = time.perf_counter() - see_begin
    return Trained(
        model=model,
        of_val=fitted,
        chosen_on_val=True,
        calibration=calibration,
        rows=rows,
        training=result.record(),
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
    scores, found = _evaluate(trained, seen)
    test = dataset.targets.take(dataset.positions("test"))
    table = _table(trained.model, found["test"], dataset)
    fitted = dataset.task.tested(trained.model.fitted, found["test"], test)
    model = replace(trained.model, fitted=fitted, about=about(plan, scores, dataset, seen.backbone), _place=str(folder / MODEL))
    with machine.calm_blas():
        trust = {**dataset.task.trust(fitted, found["test"], test), "calibration": trained.calibration.to_dict()}
    evaluate_seconds = time.perf_counter() - evaluate_begin
    _save(model, folder / MODEL)  # the first, because it is what the work was for
    if keep_pictures := part(dataset.task, "pictures"):
        keep_pictures(folder, seen, found)
    parity = engine_parity(model, dataset, trained.rows, session.workspace.graphs)
    record = RunRecord(
        data=dataset.record(),
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
        choice=seen.learnt.record,
        resize=dataset.choice,
        trust=trust,
        training=trained.training,
        parity=parity,
        parameters=count_parameters(seen.backbone, plan),
        forecast=expected.to_dict() if expected else {},
        advice=advice or {},
        versions={"warmstart": machine.installed_version("warmstart"), **library_versions()},
        machine=machine.describe(),
    )
    write_run(folder, record, table, expected)
    in_memory = {picture.path: picture.content for picture in dataset.pictures if picture.content is not None}
    return Run(model=model, record=record, folder=folder, in_memory=in_memory)


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


def _assembled(seen: Probe, backbone: Backbone, fitted: Fitted, recipe: Recipe) -> Model:
    """The model which reads its pictures by this recipe in the views of the plan."""
    return assemble(
        backbone,
        seen.dataset.task,
        fitted,
        inputs=seen.inputs,
        preprocessing=preprocessing_of(seen.plan, seen.dataset.values),
        engine=recipe.engine,
        precision=recipe.precision,
    )


def _evaluate(trained: Trained, seen: Probe) -> tuple[dict[Split, Any], dict[Split, Any]]:
    """Scores by split, and what the model found, by split.

    The only place where targets of test are looked at for scores, once. Val is scored with what has not learnt from it.
    """
    model, dataset = trained.model, seen.dataset
    task = dataset.task
    usual = task.about(dataset.targets.take(dataset.positions("train")))
    fitted: dict[Split, Fitted] = {"val": trained.of_val, "test": model.fitted}
    scores: dict[Split, Any] = {}
    found: dict[Split, Any] = {}
    for split, one in fitted.items():
        positions = dataset.positions(split)
        found[split] = outputs = replace(model, fitted=one).outputs(trained.rows[positions], seen.places(positions))
        if not len(positions):
            continue
        scores[split] = task.score(
            one,
            outputs,
            dataset.targets.take(positions),
            usual=usual,
            used_for_choosing=split == "val" and trained.chosen_on_val,
        )
    return scores, found


def _table(model: Model, found: Any, dataset: Dataset) -> Table:
    """predictions.csv: every test picture."""
    test = dataset.positions("test")
    columns, rows = dataset.task.table(model.fitted, found, dataset.targets.take(test))
    paths = [dataset.pictures[i].path for i in test]
    return Table(columns=("path", *columns), rows=tuple((path, *row) for path, row in zip(paths, rows, strict=True)))


def about(plan: Plan, scores: Mapping[Split, Any], dataset: Dataset, backbone: Backbone) -> dict[str, Any]:
    """What a model folder says about where the model comes from."""
    return {
        "plan": plan.to_dict(),
        "scores": {split: s.to_dict() for split, s in scores.items()},
        "weights": {"tag": backbone.spec.weights_tag, "licence": backbone.spec.licence, "given": plan.weights},
        "data_fingerprint": dataset.fingerprint(),
        "trained_on": sorted(dataset.pictures[i].digest.hex() for i in dataset.positions("train", "val")),
        **dataset.task.about(dataset.targets.take(dataset.positions("train"))),
        "versions": {"warmstart": machine.installed_version("warmstart"), **library_versions()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
