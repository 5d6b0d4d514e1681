"""A cumulative link model on stored rows: which taps and which penalty, by what it says of pictures that it has not seen.

    for each set of taps: every penalty → the logits of every train picture by the fit without its fold → the lowest log-loss

Val has no part in it. N train pictures, K values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.cumulative import cumulative_fit, held_out_path, log_losses, log_probabilities, prior_logits
from warmstart.heads.folds import chosen_by_others, dealt
from warmstart.strategy.resize import Judged
from warmstart.task_protocol import Fitting, Learnt, Part
from warmstart.tasks.ordinal.ranker import OrderOutputs, Ranker
from warmstart.tasks.ordinal.targets import OrderTargets, ranking

# Steps of about √10, from the most regularised. All thresholds share one row of weights, which bears more than a class's own: of 200 solar
# cells folds chose 1, the strongest for classes.
PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
FOLDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderLearnt(Learnt[Ranker]):
    """With what a fit on more pictures needs, and training right of a cut."""

    chosen_with: int  # pictures
    prior: NDArray[np.float64]  # (K - 1,): what training of the head is measured from


@dataclass(frozen=True, eq=False)
class _Tried:
    tap_set: str
    penalty: float
    logits: NDArray[np.float64]  # (N, K - 1), of held-out pictures
    losses: NDArray[np.float64]  # (N,)


def fitted(train: Part[OrderTargets], columns: Sequence[str], run: Fitting) -> OrderLearnt:
    """The set of taps and the penalty with the lowest loss on held-out pictures of train, and the map fitted with them."""
    order = ranking(train.targets.names, run.options.order, left_out=train.targets.left_out)
    y, rows = train.targets.ranks(order), train.rows()
    fold_of = dealt(y, min(FOLDS, len(y)), run.seed, train.units)
    tried = [
        _Tried(name, penalty, logits, log_losses(logits, y))
        for name, taps in run.tap_sets.items()
        for penalty, logits in zip(
            PENALTIES, held_out_path(rows.features(taps), y, len(order), PENALTIES, fold_of), strict=True
        )
    ]
    best = min(tried, key=lambda one: float(one.losses.mean()))  # of equals the first, which is more regularised
    taps = run.tap_sets[best.tap_set]
    apart = chosen_by_others([one.losses for one in tried], [one.logits for one in tried], fold_of)
    return OrderLearnt(
        fitted=Ranker(
            order=order,
            columns=tuple(name.strip().lower() for name in columns),
            taps=taps,
            map=cumulative_fit(rows.features(taps), y, len(order), best.penalty),
            usual=run.options.coverage,
        ),
        tap_set=best.tap_set,
        by_folds=True,
        held_out=OrderOutputs(probabilities=np.exp(log_probabilities(apart)).astype(np.float32), logits=apart),
        record={
            "head": "cumulative",
            "order": list(order),
            "tap_set": best.tap_set,
            "settings": {"penalty": best.penalty},
            "method": "folds",
            "folds": int(fold_of.max()) + 1,
            "candidates": [
                {
                    "tap_set": one.tap_set,
                    "settings": {"penalty": one.penalty},
                    "loss": float(one.losses.mean()),
                    "chosen": one is best,
                }
                for one in tried
            ],
        },
        penalty=best.penalty,
        chosen_with=len(train),
        prior=prior_logits(y, len(order)),
    )


def judged(learnt: OrderLearnt, targets: OrderTargets) -> Judged:
    """What train pictures lost by what was said of them while folds held them out."""
    losses = log_losses(learnt.held_out.logits, targets.ranks(learnt.fitted.order))
    return Judged(losses=losses, words="log-loss")


def refitted(learnt: OrderLearnt, part: Part[OrderTargets]) -> Ranker:
    """The chosen taps and penalty on all of a part. The penalty falls as 1 / N: it is a prior, which does not know how many follow."""
    one = learnt.fitted
    penalty = learnt.penalty * learnt.chosen_with / len(part)
    y = part.targets.ranks(one.order)
    return replace(one, map=cumulative_fit(part.rows().features(one.taps), y, len(one.order), penalty))
