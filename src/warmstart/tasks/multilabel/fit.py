"""Logistic regression on stored rows, all labels at once: which taps, and how strong the penalty of each label, by folds of train.

    for each set of taps: every penalty → the logits of every train picture by the fit without its fold → the lowest log-loss

The penalty is a label's own as far as its pictures can tell: with n₊ its own loss counts n₊ / (n₊ + `LEAN`), and the rest is that of
all labels together, each loss as a share of what always giving the label's share would cost. Taps are the same for all labels, by the mean
log-loss. Val has no part in it.

N train pictures, D features, O labels, C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.folds import dealt
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.logistic import binary_fit, held_out_path, log_losses
from warmstart.strategy.resize import Judged
from warmstart.task_protocol import Fitting, Learnt, Part
from warmstart.tasks.multilabel.calibration import sigmoid
from warmstart.tasks.multilabel.labeller import Labeller, LabelOutputs
from warmstart.tasks.multilabel.targets import LabelTargets

# Steps of about √10, from the most regularised, as of classes.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
LEAN = 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelLearnt(Learnt[Labeller]):
    """With what a fit on more pictures needs."""

    chosen_with: int  # pictures
    penalties: NDArray[np.float64]  # (O,)


@dataclass(frozen=True, eq=False)
class _Tried:
    """A set of taps with every penalty."""

    tap_set: str
    logits: NDArray[np.float64]  # (penalties, N, O), of held-out pictures
    losses: NDArray[np.float64]  # the same, 0 where the truth is unknown


def fitted(train: Part[LabelTargets], run: Fitting) -> LabelLearnt:
    """The set of taps and the penalties with the lowest loss on held-out pictures of train, and the map fitted with them."""
    targets = train.targets
    fold_of = dealt(np.array(targets.kinds(), np.int64), min(FOLDS, len(train)), run.seed, train.units)
    tried = _all_tried(train, run, fold_of)
    everything = np.ones(len(train), bool)
    best = min(range(len(tried)), key=lambda i: _chosen(tried[i], targets, everything)[1])
    steps, _ = _chosen(tried[best], targets, everything)
    penalties = np.array(PENALTIES)[steps]
    tap_set = tried[best].tap_set
    taps = run.tap_sets[tap_set]
    held_out = _chosen_by_others(tried, targets, fold_of)
    return LabelLearnt(
        fitted=Labeller(
            names=targets.names,
            columns=targets.columns,
            taps=taps,
            map=_map(train, taps, penalties),
            scale=np.stack([np.ones(len(targets.names)), np.zeros(len(targets.names))]),
            thresholds=np.full(len(targets.names), 0.5),
            recall=run.options.recall,
        ),
        tap_set=tap_set,
        by_folds=True,
        held_out=LabelOutputs(probabilities=sigmoid(held_out), logits=held_out),
        record={
            "head": "logistic",
            "tap_set": tap_set,
            "settings": {"penalties": dict(zip(targets.names, penalties.tolist(), strict=True))},
            "method": "folds",
            "folds": int(fold_of.max()) + 1,
            "candidates": [
                {
                    "tap_set": one.tap_set,
                    "settings": {"penalty": penalty},
                    "loss": float(_means(one.losses[i], targets).mean()),
                    "chosen_by": [name for o, name in enumerate(targets.names) if number == best and steps[o] == i],
                }
                for number, one in enumerate(tried)
                for i, penalty in enumerate(PENALTIES)
            ],
        },
        penalty=float(np.exp(np.log(penalties).mean())),
        chosen_with=len(train),
        penalties=penalties,
    )


def refitted(learnt: LabelLearnt, part: Part[LabelTargets]) -> Labeller:
    """The chosen taps and penalties on all of a part. Penalties fall as 1 / N: a prior, which does not know how many follow."""
    penalties = learnt.penalties * learnt.chosen_with / len(part)
    return replace(learnt.fitted, map=_map(part, learnt.fitted.taps, penalties))


def judged(learnt: LabelLearnt, targets: LabelTargets) -> Judged:
    """What train pictures lost by what was said of them while folds held them out: the mean over the labels that are known of each."""
    Y, W = _entries(targets)
    entries = log_losses(learnt.held_out.logits, Y) * W
    return Judged(losses=entries.sum(axis=1) / np.maximum(W.sum(axis=1), 1), words="log-loss of a label")


def _map(part: Part[LabelTargets], taps: tuple[str, ...], penalties: NDArray[np.float64]) -> LinearMap:
    return binary_fit(part.rows().features(taps), *_entries(part.targets), penalties)


def _entries(targets: LabelTargets) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Targets, 0 where they are unknown, and weights, 0 there too."""
    return np.nan_to_num(targets.values).astype(np.float32), targets.known.astype(np.float32)


def _all_tried(train: Part[LabelTargets], run: Fitting, fold_of: NDArray[np.int64]) -> list[_Tried]:
    rows, (Y, W) = train.rows(), _entries(train.targets)
    found = []
    for name, taps in run.tap_sets.items():
        logits = np.stack(list(held_out_path(rows.features(taps), Y, W, PENALTIES, fold_of)))
        found.append(_Tried(name, logits, np.stack([log_losses(one, Y) * W for one in logits])))
    return found


def _chosen(one: _Tried, targets: LabelTargets, among: NDArray[np.bool_]) -> tuple[NDArray[np.int64], float]:
    """Of each label, the penalty's place (O,); the mean log-loss with these. ``among`` (N,): pictures that choose."""
    some = targets.take(np.flatnonzero(among))
    means = np.stack([_means(losses[among], some) for losses in one.losses])  # (penalties, O)
    share = np.clip(some.shares, 0.5 / max(len(some), 1), 1 - 0.5 / max(len(some), 1))
    relative = means / -(share * np.log(share) + (1 - share) * np.log1p(-share))
    has = (some.values == 1).sum(axis=0)
    own = has / (has + LEAN)
    steps = (own * relative + (1 - own) * relative.mean(axis=1, keepdims=True)).argmin(axis=0)
    return steps, float(means[steps, np.arange(len(steps))].mean())


def _means(losses: NDArray[np.float64], targets: LabelTargets) -> NDArray[np.float64]:
    """(O,): over the pictures of which a label is known."""
    return np.asarray(losses.sum(axis=0) / np.maximum(targets.known.sum(axis=0), 1))


def _chosen_by_others(tried: Sequence[_Tried], targets: LabelTargets, fold_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, O): the logits of each picture by the taps and penalties that the *other* folds chose (S. Varma, R. Simon, BMC Bioinformatics
    7:91, 2006), so that no picture's own labels had a part in choosing what they calibrate.
    """
    held_out = np.empty(targets.values.shape)
    labels: Any = np.arange(len(targets.names))
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        choices = [_chosen(one, targets, ~inside) for one in tried]
        best = min(range(len(tried)), key=lambda i: choices[i][1])
        held_out[inside] = tried[best].logits[choices[best][0][None, :], np.flatnonzero(inside)[:, None], labels[None, :]]
    return held_out
