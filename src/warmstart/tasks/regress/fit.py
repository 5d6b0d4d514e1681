"""Ridge on stored rows: which taps and which penalty, by what it says of pictures that it has not seen.

    for each set of taps: one decomposition → every penalty → every train picture held out once, in closed form → the lowest loss

Val has no part in it. The robust way weighs pictures down whose errors are large (Huber) once taps and penalty are chosen.

N train pictures, D features, O targets.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.heads.folds import chosen_by_others, dealt
from warmstart.heads.least_squares import RidgeFit, huber_weights, ridge_path
from warmstart.heads.linear_map import LinearMap
from warmstart.plan import GIVEN, HEAD_WAS_GIVEN, MODULE
from warmstart.strategy.resize import Judged
from warmstart.task_protocol import Fitting, Learnt, Part
from warmstart.tasks.regress.given import fitted_map, held_out, require_regressor
from warmstart.tasks.regress.regressor import NumberOutputs, Regressor
from warmstart.tasks.regress.targets import NumberTargets
from warmstart.training.kept_module import KeptModule

# Steps of about √10, from the most regularised.
PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
FOLDS = 5
ROUNDS = 10  # of reweighting; weights hardly move after five


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberLearnt(Learnt[Regressor]):
    """With what a fit on more pictures needs."""

    chosen_with: int  # pictures
    robust: bool
    mean: NDArray[np.float64]  # (O,), of train; with it and
    deviation: NDArray[np.float64]  # (O,) targets are made alike while they are learnt
    given: Any = None  # the regressor or module that was handed over
    steps: int | None = None  # of a module, and
    seed: int = 0  # what it draws by


def fitted(train: Part[NumberTargets], run: Fitting) -> NumberLearnt:
    """The set of taps and penalty with the lowest loss on held-out pictures of train, and the map fitted with them."""
    targets, robust = train.targets, run.options.robust
    mean, deviation = targets.values.mean(axis=0), targets.values.std(axis=0)
    Y = (targets.values - mean) / deviation
    rows = train.rows()
    if run.plan.head in (GIVEN, MODULE) and run.head is None:
        raise UsageError(HEAD_WAS_GIVEN)
    if run.plan.head == GIVEN:
        return _given(train, run, mean, deviation)
    if run.plan.head == MODULE:
        return _of_module(train, run, mean, deviation)
    tried: list[tuple[str, RidgeFit, NDArray[np.float64]]] = []
    for name, taps in run.tap_sets.items():
        for one in ridge_path(rows.features(taps), Y, PENALTIES, units=train.units):
            tried.append((name, one, losses(one.held_out - Y, robust=robust)))
    best, (tap_set, chosen, _) = min(enumerate(tried), key=lambda item: float(item[1][2].mean()))
    apart = chosen_by_others(
        [loss for _, _, loss in tried], [one.held_out for _, one, _ in tried], _folds(train.units, run.seed)
    )
    if robust:
        chosen = _reweighted(rows.features(run.tap_sets[tap_set]), Y, chosen.penalty, train.units)
        apart = chosen.held_out
    return NumberLearnt(
        fitted=Regressor(
            names=targets.names,
            taps=run.tap_sets[tap_set],
            map=in_units(chosen.map, mean, deviation),
            usual=run.options.coverage,
        ),
        tap_set=tap_set,
        by_folds=True,
        held_out=NumberOutputs(values=apart * deviation + mean),
        record={
            "head": "ridge",
            "robust": robust,
            "tap_set": tap_set,
            "settings": {"penalty": chosen.penalty},
            "method": "leave-one-out",
            "folds": None,
            "candidates": [
                {"tap_set": name, "settings": {"penalty": one.penalty}, "loss": float(loss.mean()), "chosen": i == best}
                for i, (name, one, loss) in enumerate(tried)
            ],
        },
        penalty=chosen.penalty,
        chosen_with=len(train),
        robust=robust,
        mean=mean,
        deviation=deviation,
    )


def _given(train: Part[NumberTargets], run: Fitting, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NumberLearnt:
    """By the regressor that was handed over, on the set of taps with the lowest loss on held-out pictures."""
    require_regressor(run.head)
    targets, rows, name = train.targets, train.rows(), type(run.head).__name__
    said = {
        tap_set: held_out(run.head, rows.features(taps), targets.values, train.units, run.seed)
        for tap_set, taps in run.tap_sets.items()
    }
    lost = {tap_set: losses((found - targets.values) / deviation, robust=run.options.robust) for tap_set, found in said.items()}
    tap_set = min(lost, key=lambda one: float(lost[one].mean()))
    taps = run.tap_sets[tap_set]
    return NumberLearnt(
        fitted=Regressor(
            names=targets.names,
            taps=taps,
            map=fitted_map(run.head, rows.features(taps), targets.values),
            usual=run.options.coverage,
        ),
        tap_set=tap_set,
        by_folds=True,
        held_out=NumberOutputs(values=said[tap_set]),
        record={
            "head": name,
            "robust": run.options.robust,
            "tap_set": tap_set,
            "settings": {},
            "method": "folds",
            "folds": FOLDS,
            "candidates": [
                {"tap_set": one, "settings": {}, "loss": float(loss.mean()), "chosen": one == tap_set}
                for one, loss in lost.items()
            ],
        },
        chosen_with=len(train),
        robust=run.options.robust,
        mean=mean,
        deviation=deviation,
        given=run.head,
    )


def _of_module(
    train: Part[NumberTargets], run: Fitting, mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NumberLearnt:
    """By the module that was handed over, on the taps that it takes, for as many steps as do best on held-out pictures."""
    from warmstart.tasks.regress.own_module import held_out as said_by
    from warmstart.tasks.regress.own_module import in_units as said_in_units
    from warmstart.tasks.regress.own_module import learnt

    ((tap_set, taps),) = run.tap_sets.items()
    X, robust = train.rows().features(taps), run.options.robust
    Y = (train.targets.values - mean) / deviation
    said = said_by(run.head, X, Y, train.units, robust=robust, seed=run.seed)
    lost = {steps: losses(found - Y, robust=robust) for steps, found in said.items()}
    best = min(lost, key=lambda steps: float(lost[steps].mean()))
    own = learnt(run.head, X, Y, robust=robust, steps=best, seed=run.seed)
    apart = chosen_by_others([*lost.values()], [*said.values()], _folds(train.units, run.seed))
    return NumberLearnt(
        fitted=Regressor(
            names=train.targets.names,
            taps=taps,
            map=KeptModule(own=said_in_units(own, mean, deviation)),
            usual=run.options.coverage,
        ),
        tap_set=tap_set,
        by_folds=True,
        held_out=NumberOutputs(values=apart * deviation + mean),
        record={
            "head": type(run.head).__name__,
            "robust": robust,
            "tap_set": tap_set,
            "settings": {"steps": best},
            "method": "folds",
            "folds": FOLDS,
            "candidates": [
                {"tap_set": tap_set, "settings": {"steps": steps}, "loss": float(loss.mean()), "chosen": steps == best}
                for steps, loss in lost.items()
            ],
        },
        chosen_with=len(train),
        robust=robust,
        mean=mean,
        deviation=deviation,
        given=run.head,
        steps=best,
        seed=run.seed,
    )


def refitted(learnt: NumberLearnt, part: Part[NumberTargets]) -> Regressor:
    """The chosen taps and penalty on all of a part. The penalty falls as 1 / N: it is a prior, which does not know how many follow."""
    mean, deviation = part.targets.values.mean(axis=0), part.targets.values.std(axis=0)
    Y = (part.targets.values - mean) / deviation
    X, penalty = part.rows().features(learnt.fitted.taps), learnt.penalty * learnt.chosen_with / len(part)
    if learnt.steps is not None:
        from warmstart.tasks.regress.own_module import in_units as said_in_units
        from warmstart.tasks.regress.own_module import learnt as learnt_by

        own = learnt_by(learnt.given, X, Y, robust=learnt.robust, steps=learnt.steps, seed=learnt.seed)
        return replace(learnt.fitted, map=KeptModule(own=said_in_units(own, mean, deviation)))
    if learnt.given is not None:
        return replace(learnt.fitted, map=fitted_map(learnt.given, X, part.targets.values))
    found = (
        _reweighted(X, Y, penalty, part.units) if learnt.robust else next(iter(ridge_path(X, Y, [penalty], units=part.units)))
    )
    return replace(learnt.fitted, map=in_units(found.map, mean, deviation))


def judged(learnt: NumberLearnt, targets: NumberTargets) -> Judged:
    """How far off what was said of train pictures was while they were held out, in deviations of train."""
    errors = (learnt.held_out.values - targets.values) / learnt.deviation
    return Judged(losses=losses(errors, robust=learnt.robust), words="squared error" if not learnt.robust else "Huber's loss")


def losses(errors: NDArray[np.float64], *, robust: bool) -> NDArray[np.float64]:
    """(N,): half the squares of errors (N, O) in deviations of train, summed; beyond one deviation by their size, where robust."""
    size = np.abs(errors)
    each = np.where(size <= 1, np.square(size) / 2, size - 0.5) if robust else np.square(size) / 2
    return np.asarray(each.sum(axis=1))


def in_units(learnt: LinearMap, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> LinearMap:
    """A map to numbers of mean 0 and deviation 1, as one to the targets' own."""
    return LinearMap(
        coef=(learnt.coef * deviation).astype(np.float32), intercept=(learnt.intercept * deviation + mean).astype(np.float32)
    )


def in_deviations(learnt: LinearMap, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> LinearMap:
    """The inverse of `in_units`."""
    return LinearMap(
        coef=(learnt.coef / deviation).astype(np.float32), intercept=((learnt.intercept - mean) / deviation).astype(np.float32)
    )


def _reweighted(X: Any, Y: NDArray[np.float64], penalty: float, units: NDArray[np.int64]) -> RidgeFit:
    """Huber's estimator by reweighting: each round a ridge fit, whose held-out errors weigh the pictures of the next."""
    weights = np.ones(len(Y))
    found = next(iter(ridge_path(X, Y, [penalty], units=units)))
    for _ in range(ROUNDS):
        before, weights = weights, huber_weights(found.held_out - Y)
        if np.abs(weights - before).max() < 0.01:
            break
        found = next(iter(ridge_path(X, Y, [penalty], weights=weights, units=units)))
    return found


def _folds(units: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    return dealt(np.zeros(len(units), np.int64), min(FOLDS, len(units)), seed, units)
