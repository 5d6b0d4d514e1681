"""From what was measured to a plan, as a table: how much data × how much of the source's late stages it uses → the recipe.

    Measured → size band × similarity → one of four scenarios → plans from the boldest to the plainest → the first that fits the time

Every number that decides stands in the first block. Pure: no torch, no files, no clock. What the numbers are worth: docs/advice.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from warmstart.plan import Plan

# Between the study of docs/advice.md, whose tasks have at most 400 pictures, and the two data sets that training was settled on, of 1,700
# and 3,000: the border between them was not searched for. BiT (Kolesnikov et al. 2020) begins its table at 20,000.
LARGE_IMAGES = 1000
# Share of the information that the first half of the stages holds. Clothing 0.19-0.32 at 100 pictures, 0.51 at 400, 0.68 at 3,068; solar
# cells 0.78-0.92, 0.99, 0.97.
DIFFERENT_EARLY_SHARE = 0.75
EARLY_SHARE_DOUBT = 0.10  # so near to it the shift of statistics decides
DIFFERENT_SHIFT = 0.5  # clothing 0.33, colours inverted 0.35, grey 0.42; solar cells 0.63, noise 0.93, blank 1.07
KEEPS_CLASS = -0.03  # change of the probe's accuracy on turned pictures above which they keep their class
# Accuracy above naming the most frequent class: a probe that knows less has nothing to lose on turned pictures.
KNOWS_SOMETHING = 0.10
SMALL_PICTURES_PX = 96  # BiT's hyper-rule: smaller pictures are enlarged less than larger ones
SMALL_PICTURES_INPUT_PX = 128
IMBALANCE_TO_NAME = 10.0
DEFAULT_BUDGET_S = 600.0  # that `advise` plans for when nobody named a time
TRAIN_BUDGET_S = (
    120.0  # that `train` takes at most when nobody named one: people wait this long for something they did not ask for
)
FEWEST_TO_TRAIN = 50  # train pictures below which only a head is fitted; with 80 training gained (docs/advice.md)
FEWEST_VAL = 20  # val pictures below which nothing says whether training helped
BETTER_Z = 1.0  # standard errors of the paired difference of losses on val by which training must be ahead of the probe

YOSINSKI = "Yosinski et al. 2014"  # features pass from general to specific with depth
KORNBLITH = "Kornblith et al. 2019"  # fixed features are strong on similar data; fine-tuning closes in and passes with more
KUMAR = "Kumar et al. 2022"  # fine-tuning distorts features on little data; start from the probe, small steps
BIT = "Kolesnikov et al. 2020"  # the recipe as a function of size and resolution
OURS = "measured here"

Band = Literal["small", "large"]
Similarity = Literal["similar", "different"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The part of the evidence that the table looks at."""

    train_images: int
    val_images: int
    classes: int
    smallest_class: int
    imbalance: float  # largest class over smallest
    early_share: float | None
    shift: float | None
    best_stage: str
    first_as_good: str
    tap_set_information: Mapping[str, float]  # set of taps → bits, cross-validated on train
    tap_set_accuracy: Mapping[str, float]
    majority_accuracy: float  # of always naming the most frequent class
    turned_change: Mapping[str, float]  # view → change of the probe's accuracy
    median_side_px: int
    input_px: int
    stages: tuple[str, ...]  # cuts between pixels and pooled


@dataclass(frozen=True, slots=True)
class Option:
    """Where one may cut, and what it is expected to bring."""

    share: float  # of the stages that lie left of the cut: 0 the pixels, 1 pooled
    gain: float | None  # of accuracy over the frozen probe, points, as we measured it on such data; None: we did not


PROBE = Option(1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A row of the table. ``options`` from the boldest to the plainest, which is the probe."""

    band: Band
    similarity: Similarity
    textbook: str
    options: tuple[Option, ...]
    learning_rate: float
    depth_decay: float
    epochs: int
    sources: tuple[str, ...]


# Rate, decay and epochs are training's own defaults, measured in `training_settings.py`; they stand here so that a plan says all. Gains:
# clothing from stage5 (one split), solar cells from stage4 (three splits) and from stage3 at 224 px (one split), all in docs/training.md;
# small data, the mean over the tasks of each kind in the study of docs/advice.md, where stage3 did best and from the pixels on worse.
SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        band="small", similarity="similar", textbook="train a new head on the pooled features",
        options=(Option(0.375, 0.9), PROBE), learning_rate=1e-3, depth_decay=0.7, epochs=15, sources=(KORNBLITH, KUMAR),
    ),
    Scenario(
        band="small", similarity="different", textbook="train a new head on earlier features",
        options=(Option(0.375, 2.9), PROBE), learning_rate=1e-3, depth_decay=0.7, epochs=15, sources=(YOSINSKI, KUMAR),
    ),
    Scenario(
        band="large", similarity="similar", textbook="fine-tune everything gently",
        options=(Option(0.0, None), Option(0.375, None), Option(0.625, 1.4), PROBE),
        learning_rate=1e-3, depth_decay=0.7, epochs=15, sources=(KORNBLITH, KUMAR),
    ),
    Scenario(
        band="large", similarity="different", textbook="train (almost) everything",
        options=(Option(0.0, None), Option(0.375, 3.0), Option(0.5, 2.3), PROBE),
        learning_rate=1e-3, depth_decay=0.7, epochs=15, sources=(YOSINSKI, BIT),
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A sentence with the numbers that led to it, and where the rule is from."""

    text: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Plans from the boldest to the plainest, which is always the frozen probe, and why."""

    scenario: Scenario
    plans: tuple[Plan, ...]
    gains: tuple[
        float | None, ...
    ]  # of accuracy over the probe, points: as measured on such data, at most all that is wrong here; None: not measured
    reasons: tuple[Reason, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "scenario": {
                "size": self.scenario.band,
                "similarity": self.scenario.similarity,
                "textbook": self.scenario.textbook,
            },
            "plans": [plan.to_dict() for plan in self.plans],
            "gains": list(self.gains),
            "reasons": [asdict(reason) for reason in self.reasons],
        }


def advise(measured: Measured, base: Plan) -> Advice:
    """``base`` says what is not the table's to decide: backbone, weights, resize, splits, seed."""
    band, size_reason = size_band(measured)
    similarity, similar_reason = judged_similarity(measured)
    scenario = next(row for row in SCENARIOS if (row.band, row.similarity) == (band, similarity))
    taps, taps_reason = _taps(measured)
    augment, augment_reason = augmentation(measured)
    common = replace(base, image_size_px=measured.input_px, head="linear", taps=taps)
    # A cut behind all taps leaves nothing to train; only 'middle' can end before one.
    trained = replace(
        common,
        taps="all" if taps == "middle" else taps,
        augment=augment,
        training={"learning_rate": scenario.learning_rate, "depth_decay": scenario.depth_decay, "epochs": scenario.epochs},
    )
    gains: dict[str, float | None] = {}  # a short network has fewer cuts than the table has options
    enough = measured.train_images >= FEWEST_TO_TRAIN and measured.val_images >= FEWEST_VAL
    options = scenario.options if enough else (PROBE,)
    most = 100 * (1 - max(measured.tap_set_accuracy.values()))  # points: no more is wrong
    for option in options:
        gains.setdefault(cut_at(option.share, measured.stages), None if option.gain is None else min(option.gain, most))
    plans = tuple(replace(common, cut=cut) if cut == "pooled" else replace(trained, cut=cut) for cut in gains)
    reasons = [
        size_reason,
        similar_reason,
        _cut_reason(measured, scenario, options),
        taps_reason,
        augment_reason,
        *_image_size(measured),
    ]
    return Advice(scenario=scenario, plans=plans, gains=tuple(gains.values()), reasons=(*reasons, *_balance(measured)))


def size_band(measured: Measured) -> tuple[Band, Reason]:
    """Small or large, and why."""
    n, per_class = measured.train_images, measured.train_images / measured.classes
    counted = f"{n:,} pictures to train on, {per_class:,.0f} per class (smallest class {measured.smallest_class:,})"
    if n >= LARGE_IMAGES:
        return "large", Reason(
            text=f"{counted}: {LARGE_IMAGES:,} or more, enough to change the network's own weights.", source=OURS
        )
    text = f"{counted}: fewer than {LARGE_IMAGES:,}, where a trained network often only learns them by heart, so val must show a gain."
    return "small", Reason(text=text, source=OURS)


def judged_similarity(measured: Measured) -> tuple[Similarity, Reason]:
    """Whether the target uses what the source's late stages were trained to see."""
    share, shift = measured.early_share, measured.shift
    by_shift = shift is not None and (share is None or abs(share - DIFFERENT_EARLY_SHARE) < EARLY_SHARE_DOUBT)
    if share is None and not by_shift:
        return "different", Reason(
            text="No stage tells the classes apart better than chance, so nothing shows that the source helps.", source=OURS
        )
    if by_shift:
        assert shift is not None
        judged: Similarity = "different" if shift >= DIFFERENT_SHIFT else "similar"
        known = "nothing" if share is None else f"{share:.0%}"
        text = (
            f"The first half of the stages holds {known} of the information on the classes: undecided. The statistics of "
            f"the pictures are {shift:.2f} from the source's (0 the same, 1 a blank picture; {DIFFERENT_SHIFT} and more is far): {judged}."
        )
        return judged, Reason(text=text, source=OURS)
    assert share is not None
    if share >= DIFFERENT_EARLY_SHARE:
        text = f"The first half of the stages already holds {share:.0%} of what the best one ({measured.best_stage}) knows of the classes"
        return "different", Reason(
            text=f"{text}: what the later stages were trained to see adds little. Different from the source.", source=YOSINSKI
        )
    text = f"The first half of the stages holds {share:.0%} of what the best one ({measured.best_stage}) knows of the classes"
    return "similar", Reason(
        text=f"{text}: the later stages, the source's objects and parts, do the work. Similar to the source.", source=YOSINSKI
    )


def input_size(median_side_px: int, own_px: int) -> int:
    """Side of the network's input for pictures with this shorter side in the median: the backbone's own, less for tiny pictures."""
    return min(own_px, SMALL_PICTURES_INPUT_PX) if median_side_px < SMALL_PICTURES_PX else own_px


def cut_at(share: float, stages: Sequence[str]) -> str:
    """The cut with about this share of the stages left of it: 0 'pixels', 1 'pooled'."""
    at = math.floor(share * (len(stages) - 1) + 0.5)  # not round(), which takes 2.5 to 2
    return "pooled" if share == 1 else "pixels" if share == 0 or not stages else stages[at]


def by_gain(gains: Sequence[float | None]) -> list[int]:
    """Positions of the plans, the one that is to gain most first; those of which nothing is known come before the probe, plainest first."""
    return sorted(range(len(gains)), key=lambda i: (-(gains[i] or 0.0), gains[i] is not None, -i))


def recommended(gains: Sequence[float | None], seconds: Sequence[float], budget_s: float) -> int:
    """Which of the plans is to gain most among those whose forecast fits; nothing is expected of a gain that was not measured.

    The last, which is the probe, is taken when none fits.
    """
    fitting = [i for i in by_gain(gains) if gains[i] is not None and seconds[i] <= budget_s]
    return fitting[0] if fitting else len(gains) - 1


def better_on_val(losses: NDArray[np.float64], probe: NDArray[np.float64]) -> bool:
    """Whether a trained network is ahead of the probe on the same N val pictures; losses (N,) in nats.

    By more than chance, because its epoch was chosen on these pictures, and because the probe is fitted once more on train and val
    together, which a trained network is not.
    """
    gain = probe - losses
    return bool(gain.mean() > BETTER_Z * gain.std() / math.sqrt(len(gain)))


def _cut_reason(measured: Measured, scenario: Scenario, options: Sequence[Option]) -> Reason:
    source = ", ".join(scenario.sources)
    if len(options) == 1:
        where = "after the whole backbone (pooled), every stage's features being read on the way"
        if scenario.similarity == "different":
            where += f"; {measured.first_as_good} is already as good as the best"
        few = ""
        if measured.train_images < FEWEST_TO_TRAIN:
            few = f" Fewer than {FEWEST_TO_TRAIN} pictures do not train a network."
        elif measured.val_images < FEWEST_VAL:
            few = (
                f" val has {measured.val_images} pictures; fewer than {FEWEST_VAL} cannot tell whether training the network helps. "
                "--split 60/20/20 gives it more."
            )
        return Reason(text=f"Cut {where}: only a head is trained.{few}", source=source)
    told = [
        f"{cut_at(option.share, measured.stages)} ({'not measured' if option.gain is None else f'+{option.gain:g} points'})"
        for option in options
        if option != PROBE
    ]
    text = f"Cut, if the time allows, and what that gained over the probe on such data of ours: {', '.join(told)}."
    return Reason(text=text, source=f"{source}; {OURS}")


def _taps(measured: Measured) -> tuple[str, Reason]:
    """The set that knows most, by folds of train."""
    information = measured.tap_set_information
    best = max(information, key=information.__getitem__)
    figures = ", ".join(f"{name} {measured.tap_set_accuracy[name]:.3f} ({bits:.2f} bits)" for name, bits in information.items())
    return best, Reason(text=f"Taps '{best}': of the sets, held-out accuracy and information are {figures}.", source=OURS)


def augmentation(measured: Measured) -> tuple[str, Reason]:
    """The most varied views of training pictures under which the probe still knows them.

    Features of a frozen network are read from the plain view: averaging them over mirror images lowered val accuracy on solar cells.
    """
    changes, accuracy = measured.turned_change, max(measured.tap_set_accuracy.values())
    if accuracy < measured.majority_accuracy + KNOWS_SOMETHING:
        text = (
            f"The probe is right for {accuracy:.1%}, always naming the most frequent class for {measured.majority_accuracy:.1%}: too "
            "near for turned pictures to show anything. If the network is trained, augment is 'standard', which mirrors."
        )
        return "standard", Reason(text=text, source=OURS)
    kept = {view for view, change in changes.items() if change >= KEEPS_CLASS}
    if {"flip", "rot180", "rot90"} <= kept:
        policy, meaning = "dihedral", "they have no up"
    elif {"flip", "rot180"} <= kept:
        policy, meaning = "mirrors", "they have an axis, but neither an up nor a left"
    elif "flip" in kept or not changes:
        policy, meaning = "standard", "they have an up"
    else:
        policy, meaning = "unmirrored", "they may not even be mirrored"
    figures = ", ".join(f"{view} {change * 100:+.1f}" for view, change in changes.items()) or "not measured"
    text = f"What the probe loses on turned pictures, in points: {figures}. So {meaning}; if the network is trained, augment is '{policy}'."
    return policy, Reason(text=text, source=OURS)


def _image_size(measured: Measured) -> tuple[Reason, ...]:
    side, size = measured.median_side_px, measured.input_px
    if side >= size:
        return ()
    return (
        Reason(
            text=f"The pictures (shorter side {side} px in the median) are enlarged to {size} px; sharper ones may help.",
            source=BIT,
        ),
    )


def _balance(measured: Measured) -> tuple[Reason, ...]:
    if measured.imbalance < IMBALANCE_TO_NAME:
        return ()
    text = (
        f"The largest class has {measured.imbalance:.0f} times as many pictures as the smallest. Accuracy will hide the small one: look at "
        "macro-F1, and use --class-weight balanced if every class counts the same."
    )
    return (Reason(text=text, source="our judgement"),)
