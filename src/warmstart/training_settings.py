"""The settings of a run of training, and what they should be where nobody has measured better ones."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from warmstart.errors import UnknownNameError, UsageError
from warmstart.options import Option, Range, fields_of, from_document, settle, to_document
from warmstart.records import expected, fits

NOUN = "setting of training"

ScheduleName = Literal["cosine", "one-cycle"]
StatisticsPolicy = Literal["stored", "update"]  # mean and variance: those of the source, or those of the batches


def _check_class_weights(weights: Sequence[float]) -> None:
    if any(not 0 <= weight < math.inf for weight in weights):
        raise UsageError(f"class weights {tuple(weights)} are not all 0 or more")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How the suffix is trained. The defaults are for pretrained weights; `cold_settings` are for random ones.

    Raises UsageError with all problems at once.

    Why these learning rates. Rates found best for fine-tuning are about a tenth of those for training from scratch (S.
    Kornblith, J. Shlens, Q. Le, CVPR 2019, appendix). Early stages are general and need to change least (J. Howard and S.
    Ruder, ACL 2018, §3.2, give each layer 1/2.6 of the one above; 0.7 a stage is milder), and the head needs hardly any
    change, as it starts at its optimum: with 0.1 of the rate, and under the penalty it was fitted with, it follows the
    features and does not run away from them (A. Kumar et al., "Fine-tuning can distort pretrained features", ICLR 2022, is
    what happens otherwise). 1e-3 is Adam's own rate (D. Kingma and J. Ba, ICLR 2015). Measured on solar cells (cut stage3, 224 px,
    mirror images, 8 epochs, 1,312 pictures to train on; 656 val pictures, one split): frozen 0.870 with log-loss 0.301, 5e-4 0.884 and
    0.284, 1e-3 0.893 and 0.281. For 'sgd' the paper's 0.01 is the place to start.

    Why no early stop. The rate falls to 0 at the end of the schedule, and accuracy on val is at its worst while it is high and at
    its best when it has come down; the weights that are kept are those of the best epoch anyway. With a patience of 5 the
    run above would have ended before it was better than the frozen head.
    """

    epochs: Annotated[
        int,
        Option(
            "Epochs of training right of an earlier cut; 0: only a head on that stage.",
            range=Range(least=1),
            flag="--epochs",
            verbs=("train", "compare"),
        ),
    ] = 15
    optimizer: Annotated[Literal["adamw", "sgd"], Option("Adam with decoupled weight decay, or plain steps with momentum.")] = (
        "adamw"
    )
    learning_rate: Annotated[
        float,
        Option(
            "Each stage further left gets less of it, and so does the head.",
            range=Range(above=0),
            flag="--learning-rate",
            verbs=("train", "compare"),
        ),
    ] = 1e-3
    head_share: Annotated[
        float, Option("Of the learning rate, for the head.", word="the head's share of the learning rate", range=Range(above=0))
    ] = 0.1
    head_penalty: Annotated[
        float | None,
        Option(
            "penalty/2 · ‖W‖² on the head's weights, beside the mean loss; null: what the frozen head was fitted with, from scratch 0.",
            word="penalty on the head",
            range=Range(least=0),
        ),
    ] = None
    depth_decay: Annotated[
        float,
        Option(
            "Each stage further left learns at this share of its right neighbour's rate, the last stage at this share of the whole.",
            range=Range(above=0, most=1),
        ),
    ] = 0.7
    momentum: Annotated[float, Option("For sgd.", range=Range(least=0, below=1))] = 0.9
    weight_decay: Annotated[float, Option("Not on norms and biases.", range=Range(least=0))] = 0.01
    schedule: Annotated[
        ScheduleName, Option("How the rate goes: up and down half a cosine, or once up and down in straight lines.")
    ] = "cosine"
    warmup: Annotated[float, Option("Share of all steps, for cosine.", word="warm-up", range=Range(least=0, below=1))] = 0.1
    batch_norm: Annotated[
        StatisticsPolicy, Option("Whether the network's statistics stay those of the source or follow the batches.")
    ] = "stored"
    head_norm: Annotated[
        StatisticsPolicy,
        Option("The norm of the features before the head: update, or stored, which stays as the frozen head had it."),
    ] = "update"
    clip_norm: Annotated[
        float | None,
        Option(
            "Largest norm of the gradient; null: whatever it is.",
            word="largest gradient norm",
            range=Range(above=0, finite=False),
        ),
    ] = 1.0
    accumulate: Annotated[int, Option("Batches per step.", word="batches per step", range=Range(least=1))] = 1
    label_smoothing: Annotated[
        float, Option("How much of each label is spread over all classes.", range=Range(least=0, below=1))
    ] = 0.0
    class_weights: Annotated[
        tuple[float, ...] | None,
        Option(
            "What a picture of each class counts, in the order of the classes; null: all the same.", check=_check_class_weights
        ),
    ] = None
    mixup_alpha: Annotated[float, Option("mixup at the cut (Zhang et al. 2018); 0: none.", range=Range(least=0))] = 0.0
    average_decay: Annotated[
        float | None, Option("Of the moving average of weights; null: no average.", range=Range(above=0, below=1))
    ] = None
    choose_by: Annotated[
        Literal["loss", "accuracy"], Option("Best epoch by calibrated log-loss on val, or by accuracy.", word="choice by")
    ] = "loss"
    patience: Annotated[
        int | None, Option("Epochs without a better one on val before training stops; null: never early.", range=Range(least=1))
    ] = None
    time_limit_s: Annotated[
        float | None,
        Option("Seconds of training; null: no limit.", word="time limit", unit="s", range=Range(above=0, finite=False)),
    ] = None
    seed: Annotated[int, Option("Of batches and views; if not given, the plan's.", range=Range(least=0))] = 0

    def __post_init__(self) -> None:
        settle(self, NOUN)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return to_document(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return from_document(cls, values, NOUN)


def cold_settings(**changes: Any) -> TrainingSettings:
    """Defaults for random weights: a higher rate, the same for all stages, and batch norm that learns its statistics.

    Nothing can be wrecked, no stage is more general than another, and stored statistics of a random network mean nothing.
    """
    settings = TrainingSettings(
        learning_rate=1e-3, depth_decay=1.0, weight_decay=0.05, batch_norm="update", head_share=1.0, epochs=60
    )
    return dataclasses.replace(settings, **changes)


def planned_settings(given: Mapping[str, Any], *, cold: bool, seed: int) -> TrainingSettings:
    """The key `training` of a plan over the defaults for pretrained or random weights. Its epochs may be 0, where nothing is trained.

    Raises UnknownNameError for a name that is no setting, UsageError for a value of another kind or out of its range.
    """
    known = fields_of(TrainingSettings)
    for name, value in given.items():
        if name not in known:
            raise UnknownNameError(NOUN, name, known, hint="What each does: docs/training.md")
        if not fits(value, known[name].hint):
            raise UsageError(f"plan key 'training': {name!r} is {value!r}; expected {expected(known[name].hint)}")
    if given.get("epochs", 0) < 0:
        raise UsageError(f"plan key 'training': 'epochs' is {given['epochs']}; expected a whole number, 0 or more")
    changes = {"seed": seed, **given}
    if not changes.get("epochs", 1):
        del changes["epochs"]
    return cold_settings(**changes) if cold else TrainingSettings(**changes)
