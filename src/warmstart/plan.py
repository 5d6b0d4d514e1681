"""The plan of a run: the whole recipe as plain data, checked when it is made."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, get_type_hints

from warmstart.errors import UnknownNameError, UsageError
from warmstart.records import expected, fits

SEEDS = 2**32  # NumPy and scikit-learn take 0 … 2³² - 1

ADVISED = "auto"  # the cut of a plan that leaves the recipe to advice


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole recipe of a run as plain data. What it does not name has no influence on the result.

    'auto' is resolved before the run and the resolved plan is what a run folder holds.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"  # 'default', 'random', or a path to .safetensors / .pth
    cut: str = "pooled"  # 'auto': the recipe (taps, head, views, augment, training) is left to advice
    taps: str = "auto"  # 'auto', a named set, or tap names joined by ','
    head: str = "linear"
    image_size_px: int | None = None  # None: the backbone's own
    resize: str = "crop"  # 'crop', 'squash', 'pad'
    views: str = "none"  # 'none', 'flip', 'mirrors', 'dihedral'
    engine: str = "auto"  # 'auto', 'openvino', 'pytorch'
    precision: str = "auto"  # 'auto', 'bf16', 'f32'
    class_weight: str = "none"  # 'none', 'balanced'
    positive: str | None = None  # two classes only: the class that counts as found
    threshold: float | None = None  # two classes only: probability of `positive` from which it is predicted; None: 0.5
    keep_damaged: bool = False  # learn from pictures whose bytes are damaged but decode, and predict them
    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    seed: int = 0
    # What follows concerns the training of the network itself, right of a cut before 'pooled' with a linear head.
    unfreeze: tuple[str, ...] = ()  # cuts to train from before `cut`, each starting from what the one before has learnt
    augment: str = "none"  # 'none', 'flip', 'mirrors', 'dihedral', 'standard', 'unmirrored', 'strong'
    augment_views: int = 4  # renditions of each training picture that are stored; at 'pixels' every epoch has new ones
    batch_size: int = 32
    training: Mapping[str, Any] = field(default_factory=dict)  # any of training_settings.TrainingSettings; the rest by default

    def __post_init__(self) -> None:
        problems = []
        if self.image_size_px is not None and not 32 <= self.image_size_px <= 2048:
            problems.append(f"image size {self.image_size_px} px is outside 32 … 2048")
        if self.threshold is not None and not 0 < self.threshold < 1:
            problems.append(f"threshold {self.threshold} is outside 0 … 1 (exclusive)")
        if len(self.fractions) != 3 or not (min(self.fractions) >= 0 and abs(sum(self.fractions) - 1) <= 1e-6):  # NaN neither
            problems.append(f"fractions {self.fractions} are not three shares that sum to 1")
        elif self.fractions[0] == 0:
            problems.append(f"fractions {self.fractions} leave train nothing to learn from; give train a share, such as 0.7")
        if not 0 <= self.seed < SEEDS:
            problems.append(f"seed {self.seed} is outside 0 … {SEEDS - 1}")
        if not 1 <= self.augment_views <= 64:
            problems.append(f"{self.augment_views} augmented views are outside 1 … 64")
        if self.batch_size < 1:
            problems.append(f"batch size {self.batch_size} is less than 1")
        if problems:
            raise UsageError("; ".join(problems))

    @property
    def trains_network(self) -> bool:
        """Whether the network right of the cut is trained. An earlier cut with another head is that head on the stage's features."""
        return self.head == "linear" and self.cut not in ("pooled", ADVISED) and self.training.get("epochs") != 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self) | {"fractions": list(self.fractions), "unfreeze": list(self.unfreeze)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises UnknownNameError for a key that is not a field, UsageError for a value of another kind."""
        hints = get_type_hints(cls)
        for key, value in values.items():
            if key not in hints:
                raise UnknownNameError("plan key", key, list(hints))
            if not fits(value, hints[key]):
                raise UsageError(f"plan key {key!r} is {value!r}; expected {expected(hints[key])}")
        given = dict(values)
        for name in {"fractions", "unfreeze"} & given.keys():
            given[name] = tuple(given[name])
        return cls(**given)
