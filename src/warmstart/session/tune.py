"""The trained part of a run: the network right of the cut learns, starting as the probe, from what the cut stores.

    probe → for each cut, right to left: activations → training loop → best weights on val → head folded back

Mostly there is one cut. With gradual unfreezing there are several, and each starts from what the one before has learnt; what is
left of a cut is untouched by all that lies right of it, so stored activations stay true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warmstart.backbones.chain import Backbone, trainable_copy
from warmstart.errors import UsageError
from warmstart.heads.linear_map import LinearMap
from warmstart.report.run_record import HistoryRow, TrainingRecord
from warmstart.session.history import History, read_history
from warmstart.session.loop_run import run_identity, run_loop
from warmstart.session.run_folder import checkpoint_path
from warmstart.session.run_state import Probe
from warmstart.session.session import Session
from warmstart.session.training_inputs import HeadStart, TrainingInputs, training_inputs
from warmstart.training.frozen import parts_digest, prefix_digest
from warmstart.training.own_head import OwnHead
from warmstart.training_settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Training at one cut."""

    cut: str
    prefix_digest: str  # of everything left of the cut, the same before and after
    trained_stages: tuple[str, ...]
    frozen: Mapping[
        str, Any
    ]  # right of the cut: names, and a digest, the same before and after; empty where nothing is frozen there
    settings: TrainingSettings  # with the number of epochs that fitted the time
    end: str  # why it ended, in words
    stopped: bool  # by Ctrl-C
    learnt: HeadStart  # the head for raw features, and how these are distributed now
    execution: dict[str, Any]
    hits: int
    misses: int
    extract_seconds: float
    train_seconds: float
    pictures: int  # that went through, forward and back


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What training made of a probe. The backbone is a copy of the probe's, changed right of the cut."""

    backbone: Backbone
    phases: tuple[Phase, ...]
    history: tuple[HistoryRow, ...]  # of the whole run, also of what was done before it was resumed

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.phases[-1].stopped

    @property
    def head(self) -> LinearMap | OwnHead:
        """The last phase's, for raw features."""
        return self.phases[-1].learnt.head

    @property
    def images_per_second(self) -> float:
        """Of training, over all steps."""
        return sum(p.pictures for p in self.phases) / sum(p.train_seconds for p in self.phases)

    def record(self) -> TrainingRecord:
        """For the run record."""
        last = self.phases[-1]
        return TrainingRecord(
            end=last.end,
            best_epoch=max(row.epoch for row in self.history if row.best and row.cut == last.cut),
            epochs=self.history,
            prefix_digest=last.prefix_digest,
            trained_stages=last.trained_stages,
            frozen=dict(last.frozen) if last.frozen else None,
            settings=last.settings.to_dict(),
            phases=tuple({"cut": p.cut, "end": p.end, "prefix_digest": p.prefix_digest} for p in self.phases),
            execution=last.execution,
            images_per_second=self.images_per_second,
        )


def tune(probe: Probe, session: Session, folder: Path) -> Tuned:
    """Train the network right of ``probe.plan.cut``; history.csv and checkpoints go to ``folder``.

    A budget is kept by making fewer epochs than the plan says. Ctrl-C ends training with the best epoch so far, once val was looked at, if
    the session keeps what was stopped; otherwise it is raised. Raises UsageError for settings that do not fit the data, DataError without
    val, StoreError when activations do not fit.
    """
    cuts = _cuts(probe)
    probe = replace(probe, backbone=trainable_copy(probe.backbone, cuts[-1]))  # the guest's own stays as it is
    known = read_history(folder) if session.resumes else ()
    start = _interrupted(folder, cuts) if session.resumes else 0
    # A kill may have come before the first checkpoint: then training begins anew, and what was written of it is forgotten.
    resumes = session.resumes and checkpoint_path(folder, cuts[start]).is_file()
    phases: list[Phase] = []
    history = History(folder, [row for row in known if row.cut in cuts[:start]])
    for number, cut in enumerate(cuts[start:], start):
        learnt = phases[-1].learnt if phases else None
        with training_inputs(probe, session, cut=cut, start=learnt) as inputs:
            phases.append(
                _phase(
                    probe,
                    cut,
                    inputs,
                    replace(session, resumes=resumes and number == start),
                    folder,
                    history,
                    share=1 / (len(cuts) - number),
                    known=[row for row in known if row.cut == cut] if number == start else [],
                )
            )
        if phases[-1].stopped:
            break
    return Tuned(backbone=probe.backbone, phases=tuple(phases), history=read_history(folder))


def _cuts(probe: Probe) -> tuple[str, ...]:
    """Where to cut, one after the other. Raises UsageError when one does not lie left of the one before."""
    cuts = (*probe.plan.unfreeze, probe.plan.cut)
    places = [probe.backbone.cuts.index(cut) for cut in cuts]
    if sorted(set(places), reverse=True) != places:
        raise UsageError(
            f"--unfreeze {','.join(probe.plan.unfreeze)} and then --cut {probe.plan.cut} do not go from right to left; "
            f"the cuts in order are {', '.join(probe.backbone.cuts)}, so for example --cut {min(cuts)} --unfreeze {max(cuts)}."
        )
    return cuts


def _interrupted(folder: Path, cuts: tuple[str, ...]) -> int:
    """The place among the cuts of the last one that has a checkpoint: it holds what was learnt right of it as well."""
    return max((number for number, cut in enumerate(cuts) if checkpoint_path(folder, cut).exists()), default=0)


def _phase(
    probe: Probe,
    cut: str,
    inputs: TrainingInputs,
    session: Session,
    folder: Path,
    history: History,
    *,
    share: float,
    known: Sequence[HistoryRow],
) -> Phase:
    """Train at one cut, in ``share`` of the time that is left. ``known``: the history of this cut before the run was interrupted."""
    before = prefix_digest(probe.backbone, cut)
    frozen = _frozen(inputs)
    identity = {
        **run_identity(probe.plan, probe.dataset),
        "cut": cut,
        "prefix": before,  # a file of weights is named in the plan, what is in it is not
        **({"frozen": frozen["digest"]} if frozen else {}),  # as with the prefix
    }
    done = run_loop(inputs, session, folder, history, cut=cut, identity=identity, share=share, known=known)
    after = prefix_digest(probe.backbone, cut)
    if after != before:  # a promise to the user, so it is looked at in every run
        raise AssertionError(f"the frozen part changed during training: {before} before, {after} after")
    if _frozen(inputs) != frozen:
        raise AssertionError(f"what is frozen right of {cut} changed during training: {frozen} before, {_frozen(inputs)} after")
    mean, scale = (statistic.cpu().numpy() for statistic in inputs.module.norm.statistics())
    return Phase(
        cut=cut,
        prefix_digest=after,
        trained_stages=inputs.module.trained_stages,
        frozen=frozen,
        settings=done.settings,
        end=done.end,
        stopped=done.stopped,
        learnt=HeadStart(head=inputs.module.learnt_head(), mean=mean, scale=scale),
        execution=done.execution,
        hits=inputs.hits,
        misses=inputs.misses,
        extract_seconds=inputs.seconds,
        train_seconds=done.seconds,
        pictures=done.pictures,
    )


def _frozen(inputs: TrainingInputs) -> dict[str, Any]:
    parts = inputs.frozen
    return {"names": list(parts.names), "digest": parts_digest(parts)} if parts.names else {}
