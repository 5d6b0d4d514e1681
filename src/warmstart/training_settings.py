"""The settings of a run of training, and what they should be where nobody has measured better ones."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_type_hints

from warmstart.errors import UnknownNameError, UsageError
from warmstart.records import expected, fits

ScheduleName = Literal["cosine", "one-cycle"]
StatisticsPolicy = Literal["stored", "update"]  # mean and variance: those of the source, or those of the batches


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

    epochs: int = 15
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3  # times depth_decay for the last stage, times its square for the one before …
    head_share: float = 0.1  # of the learning rate, for the head
    head_penalty: float | None = None  # penalty/2 · ‖W‖² beside the mean loss; None: that of the frozen head it starts from
    depth_decay: float = 0.7  # each stage further left learns at this share of its right neighbour's rate
    momentum: float = 0.9  # for 'sgd'
    weight_decay: float = 0.01  # not on norms and biases
    schedule: ScheduleName = "cosine"
    warmup: float = 0.1  # share of all steps, for 'cosine'
    batch_norm: StatisticsPolicy = "stored"
    head_norm: StatisticsPolicy = "update"  # of the features before the head; see `feature_norm`
    clip_norm: float | None = 1.0  # largest norm of the gradient; None: whatever it is
    accumulate: int = 1  # batches per step
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    mixup_alpha: float = 0.0  # 0: no mixup
    average_decay: float | None = None  # of the moving average of weights; None: no average
    choose_by: Literal["loss", "accuracy"] = "loss"
    patience: int | None = None  # epochs without a better one on val before it stops; None: never early
    time_limit_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [message for wrong, message in self._checks() if wrong]
        if problems:
            raise UsageError("; ".join(problems))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        weights = None if self.class_weights is None else list(self.class_weights)
        return dataclasses.asdict(self) | {"class_weights": weights}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        weights = values.get("class_weights")
        return cls(**{**values, "class_weights": None if weights is None else tuple(weights)})

    def _checks(self) -> list[tuple[bool, str]]:
        weights = self.class_weights or ()
        return [
            (self.epochs < 1, f"epochs {self.epochs} is less than 1"),
            (self.optimizer not in ("adamw", "sgd"), f"optimizer {self.optimizer!r} is neither 'adamw' nor 'sgd'"),
            (not 0 < self.learning_rate < math.inf, f"learning rate {self.learning_rate} is not above 0"),
            (not 0 < self.depth_decay <= 1, f"depth decay {self.depth_decay} is outside 0 (exclusive) … 1"),
            (not 0 <= self.momentum < 1, f"momentum {self.momentum} is outside 0 … 1 (exclusive)"),
            (not 0 <= self.weight_decay < math.inf, f"weight decay {self.weight_decay} is below 0 or not finite"),
            (self.schedule not in ("cosine", "one-cycle"), f"schedule {self.schedule!r} is neither 'cosine' nor 'one-cycle'"),
            (not 0 <= self.warmup < 1, f"warm-up {self.warmup} is outside 0 … 1 (exclusive)"),
            (self.batch_norm not in ("stored", "update"), f"batch norm {self.batch_norm!r} is neither 'stored' nor 'update'"),
            (self.head_norm not in ("stored", "update"), f"head norm {self.head_norm!r} is neither 'stored' nor 'update'"),
            (not 0 < self.head_share < math.inf, f"the head's share of the learning rate {self.head_share} is not above 0"),
            (
                self.head_penalty is not None and not 0 <= self.head_penalty < math.inf,
                f"penalty on the head {self.head_penalty} is below 0 or not finite",
            ),
            (self.clip_norm is not None and not self.clip_norm > 0, f"largest gradient norm {self.clip_norm} is not above 0"),
            (self.accumulate < 1, f"{self.accumulate} batches per step is less than 1"),
            (not 0 <= self.label_smoothing < 1, f"label smoothing {self.label_smoothing} is outside 0 … 1 (exclusive)"),
            (any(not 0 <= w < math.inf for w in weights), f"class weights {weights} are not all 0 or more"),
            (not 0 <= self.mixup_alpha < math.inf, f"mixup alpha {self.mixup_alpha} is below 0 or not finite"),
            (
                self.average_decay is not None and not 0 < self.average_decay < 1,
                f"average decay {self.average_decay} is outside 0 … 1 (exclusive)",
            ),
            (
                self.choose_by not in ("loss", "accuracy"),
                f"choice by {self.choose_by!r} is neither by 'loss' nor by 'accuracy'",
            ),
            (self.patience is not None and self.patience < 1, f"patience {self.patience} is less than 1 epoch"),
            (self.time_limit_s is not None and not self.time_limit_s > 0, f"time limit {self.time_limit_s} s is not above 0"),
            (self.seed < 0, f"seed {self.seed} is below 0"),
        ]


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
    hints = get_type_hints(TrainingSettings)
    for name, value in given.items():
        if name not in hints:
            raise UnknownNameError("setting of training", name, hints, hint="What each does: docs/training.md")
        if not fits(value, hints[name]):
            raise UsageError(f"plan key 'training': {name!r} is {value!r}; expected {expected(hints[name])}")
    if given.get("epochs", 0) < 0:
        raise UsageError(f"plan key 'training': 'epochs' is {given['epochs']}; expected a whole number, 0 or more")
    changes = {"seed": seed, **given}
    if not changes.get("epochs", 1):
        del changes["epochs"]
    if changes.get("class_weights") is not None:
        changes["class_weights"] = tuple(changes["class_weights"])
    return cold_settings(**changes) if cold else TrainingSettings(**changes)
