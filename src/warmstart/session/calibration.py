"""Which pictures say how far a model can be trusted: none that it was fitted on, and none whose own target had a part in a choice.

    frozen   choice by folds of train → what was found for held-out folds │ each by the setting that
             choice on val            → what was found for val            │ the *other* pictures chose
             and, where trained networks stood against it on val: a half that was kept apart, or, if val is too small, not apart
    trained  a half of val chooses taps, penalty and epoch, the other half calibrates; a val that is too small for halves does both

What a task makes of them is the task's. Reasons and measurements: docs/trust.md. N pictures.
"""

from dataclasses import dataclass, replace
from typing import Any

from warmstart.extraction.features import Rows
from warmstart.session.run_state import Probe
from warmstart.task_protocol import Fitted


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was found for held-out pictures, what they are, and what to say about them."""

    outputs: Any  # N
    targets: Any  # N
    on: str  # which pictures, in words
    apart: bool  # whether none of them had a part in choosing what it was judged by

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"on": self.on, "pictures": len(self.targets), "apart": self.apart}


def of_frozen(seen: Probe) -> Calibration:
    """What calibrates what was fitted on the frozen network."""
    learnt, targets = seen.learnt, seen.dataset.targets
    if len(seen.calibrating) and not learnt.by_folds:  # val also decides between it and a trained network
        return Calibration(
            outputs=learnt.fitted.outputs(seen.rows_at(seen.calibrating)),
            targets=targets.take(seen.calibrating),
            on=f"{len(seen.calibrating):,} pictures of val",
            apart=True,
        )
    held_out = seen.dataset.positions("train") if learnt.by_folds else seen.choosing
    on = f"{len(held_out):,} pictures of {'train, each held out once' if learnt.by_folds else 'val'}"
    return Calibration(outputs=learnt.held_out, targets=targets.take(held_out), on=on, apart=True)


def of_tuned(seen: Probe, fitted: Fitted, rows: Rows) -> Calibration:
    """What calibrates a trained network, whose ``rows``, one for each picture of the data set, are filled for val."""
    apart = bool(len(seen.calibrating))
    positions = seen.calibrating if apart else seen.choosing
    return Calibration(
        outputs=fitted.outputs(rows.at(positions)),
        targets=seen.dataset.targets.take(positions),
        on=f"{len(positions):,} pictures of val" + ("" if apart else ", by which the epoch was chosen as well"),
        apart=apart,
    )


def also_chosen_by(calibration: Calibration, seen: Probe) -> Calibration:
    """What calibrated a frozen network that was then held against trained ones on the part of val that chooses."""
    if seen.learnt.by_folds or len(seen.calibrating):
        return calibration
    return replace(calibration, on=f"{calibration.on}, by which it was chosen as well", apart=False)
