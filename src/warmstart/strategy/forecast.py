"""How long a plan takes here, and what it needs of memory and disk, from measured speeds. Pure arithmetic; said before the run.

    extract = rows that are not stored · (1 / decode + share left of the cut / engine)
    train   = epochs · (train pictures / training speed + (val pictures + settling) / speed of looking)

Decoding and the engine run at once but on the same cores, so their times add. What is stored already costs nothing. Settling is
the look at some batches of train by which the norm before the head takes its statistics, before each look at val.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from warmstart.plan import Plan
from warmstart.training_settings import TrainingSettings, cold_settings

STORED_BYTES = 2  # half precision
TRAINED_BYTES = 16  # a parameter in training: weight, gradient, two moments of AdamW
LOOKING = 3.0  # forward alone is about three times as fast as forward and back (two matrix products of three fall away)
FEWEST_EPOCHS = 0.5  # share of a plan's epochs below which it is not begun: a schedule cut down further is another plan
EPOCHS, COLD_EPOCHS = TrainingSettings().epochs, cold_settings().epochs
SETTLING_BATCHES = 12  # of `training.feature_norm`, which this layer cannot see; a test compares


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Of this machine with one backbone at one size, measured; images per second."""

    decode: float  # in threads
    engine: float  # the whole backbone, frozen
    share_left: Mapping[str, float]  # cut → share of the backbone's forward time that lies left of it, 0 … 1
    train: Mapping[str, float]  # cut → forward and backward right of it
    train_bytes_per_image: Mapping[str, int]  # cut → kept for the backward pass

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What does not depend on the plan."""

    images: Mapping[str, int]  # by split
    start_s: float  # until the forecast was made: starting the process, loading the backbone, proving the engine
    fit_s: float  # choosing a head once
    open_s: float  # converting a prefix for the engine and proving it
    finish_s: float  # what comes when the model is there: scores, the map of pictures, files
    missing_taps: int  # rows of the whole backbone that are not in the store, views counted
    missing_activations: Mapping[str, int] | None = None  # cut → rows that are not in the store; None: none is
    activations: Mapping[str, int]  # cut → numbers of one picture there
    features: int  # width of all taps
    params_right: Mapping[str, int]
    base_bytes: int  # memory of this process without a training run


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is expected, and at most if every epoch is run."""

    seconds: Mapping[str, float]  # extract, fit, train, total, which begins with the process; as a run record has them
    longest_s: float
    test_s: float  # of that, what comes when a network's training is over: testing it through an engine, and finishing
    memory_bytes: int
    store_bytes: int  # added to the store

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def forecast(plan: Plan, speed: Speed, work: Work) -> Forecast:
    """Of a plan at the size that ``speed`` was measured at."""
    whole = 1 / speed.decode + 1 / speed.engine
    extract = work.missing_taps * whole
    store = work.missing_taps * work.features * STORED_BYTES
    memory = work.base_bytes + sum(work.images.values()) * work.features * (STORED_BYTES + 4)
    if not plan.trains_network:
        return _summed(start=work.start_s, extract=extract, fit=work.fit_s, finish=work.finish_s, memory=memory, store=store)

    train, val = work.images["train"], work.images["val"]
    held_out = val + work.images["test"]
    views = 1 if plan.augment == "none" else plan.augment_views
    looked_at = val + min(train, SETTLING_BATCHES * plan.batch_size)
    per_epoch = 0.0
    cuts = (*plan.unfreeze, plan.cut)
    for cut in cuts:
        on_the_spot = 1 / speed.decode if cut == "pixels" else 0.0
        step = 1 / speed.train[cut]
        per_epoch += train * (step + on_the_spot) + looked_at * (step / LOOKING + on_the_spot)
        if cut != "pixels":
            rows = train * views + val if work.missing_activations is None else work.missing_activations[cut]
            extract += rows * (1 / speed.decode + speed.share_left[cut] / speed.engine) + work.open_s
            store += rows * (work.activations[cut] + work.features) * STORED_BYTES
    test = held_out * whole + work.open_s  # the trained network is tested through an engine
    store += held_out * work.features * STORED_BYTES
    epochs = int(plan.training.get("epochs", COLD_EPOCHS if plan.weights == "random" and plan.cut == "pixels" else EPOCHS))
    largest = max(speed.train_bytes_per_image[cut] for cut in cuts)
    memory += work.params_right[plan.cut] * TRAINED_BYTES + plan.batch_size * largest
    return _summed(
        start=work.start_s,
        extract=extract + test,
        fit=work.fit_s,
        finish=work.finish_s,
        test=test + work.finish_s,
        train=per_epoch * expected_epochs(epochs, plan.training.get("patience")),
        longest=per_epoch * epochs,
        memory=memory,
        store=store,
    )


def within(expected: Forecast, budget_s: float) -> Forecast:
    """The same under a budget, which cuts training down to what fits."""
    seconds = dict(expected.seconds)
    excess = max(0.0, seconds["total"] - budget_s)
    fewer = min(excess, seconds["train"])
    seconds["train"] -= fewer
    seconds["total"] -= fewer
    return replace(expected, seconds=seconds, longest_s=min(expected.longest_s, max(budget_s, seconds["total"])))


def expected_epochs(epochs: int, patience: int | None) -> float:
    """All; with a patience it ends that long after its best epoch, which nobody knows beforehand: halfway between soonest and latest."""
    return epochs if patience is None else (min(patience, epochs) + epochs) / 2


def fits(needed: Forecast, left_s: float) -> bool:
    """Whether a plan can be run in the time that is left, if need be with fewer epochs: not fewer than `FEWEST_EPOCHS` of them."""
    training = needed.longest_s - needed.seconds["total"] + needed.seconds["train"]
    return needed.longest_s - (1 - FEWEST_EPOCHS) * training <= left_s


def _summed(
    *,
    start: float,
    extract: float,
    fit: float,
    finish: float,
    memory: int,
    store: int,
    train: float = 0.0,
    longest: float = 0.0,
    test: float = 0.0,
) -> Forecast:
    return Forecast(
        seconds={"extract": extract, "fit": fit, "train": train, "total": start + extract + fit + train + finish},
        longest_s=start + extract + fit + longest + finish,
        test_s=test,
        memory_bytes=memory,
        store_bytes=store,
    )
