"""Whether an exported file, or an engine, says the numbers that float32 PyTorch says. N pictures, O targets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file of a precision may differ, in deviations of what PyTorch says over these pictures. None: not limited."""

    difference: float | None  # the largest
    typical: float | None  # the root of the mean square


# int8 and half precisions move single pictures; what a run's score bears is a twentieth of the spread.
LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(difference=1e-2, typical=1e-3),
    "fp16": Limits(difference=None, typical=0.05),
    "bf16": Limits(difference=None, typical=0.05),
    "int8": Limits(difference=None, typical=0.15),
}


@dataclass(frozen=True, kw_only=True)
class NumberParity:
    """One line of the table."""

    format: str
    precision: str
    pictures: int
    difference: float  # the largest, in deviations
    typical: float
    mae_before: float | None  # of PyTorch on these pictures, the mean over targets; None: their numbers are not known
    mae_after: float | None
    images_per_second_before: float | None
    images_per_second: float | None
    bytes: int | None
    failures: tuple[str, ...]
    worst: tuple[tuple[str, float, float], ...]  # path, what PyTorch says, what the file says, of the target that differs most

    @property
    def proven(self) -> bool:
        """Within the limits, on at least one picture."""
        return self.pictures > 0 and not self.failures

    def worst_in_words(self) -> list[str]:
        """The pictures on which the two differ most."""
        return [f"{path} ({before:.4g} → {after:.4g})" for path, before, after in self.worst]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"proven": self.proven, "limits": asdict(LIMITS[self.precision])}


def compare(
    reference: NDArray[np.floating],
    found: NDArray[np.floating],
    truth: NDArray[np.float64],
    *,
    paths: Sequence[str],
    format: str,
    precision: str,
    seconds_before: float | None = None,
    seconds: float | None = None,
    bytes: int | None = None,
) -> NumberParity:
    """``reference``, ``found``, ``truth`` (N, O), NaN where a number is not known."""
    n = len(reference)
    if n == 0:
        raise ValueError("no pictures to compare on")
    known = ~np.isnan(truth).any(axis=1)
    spread = reference.astype(np.float64).std(axis=0)
    # A single picture, or pictures that are all alike, have no spread: then the numbers themselves are the measure.
    spread = np.where(spread > 0, spread, np.maximum(np.abs(reference).max(axis=0), 1.0))
    finite = np.isfinite(found).all(axis=1)
    apart = np.where(finite[:, None], np.abs(np.where(finite[:, None], found, 0) - reference) / spread, np.inf)
    of_picture = apart.max(axis=1)
    difference, typical = float(min(of_picture.max(), 1e9)), float(min(np.sqrt(np.square(apart).mean()), 1e9))
    order = np.argsort(-of_picture, kind="stable")[:WORST_SHOWN]
    target = apart.argmax(axis=1)
    limits, failures = LIMITS[precision], []
    if not finite.all():
        failures.append(f"{int((~finite).sum())} pictures give NaN or infinity")
    if limits.difference is not None and difference > limits.difference:
        failures.append(f"a number differs by {difference:.2g} deviations, {limits.difference:g} is allowed")
    if limits.typical is not None and typical > limits.typical:
        failures.append(f"numbers differ by {typical:.2g} deviations, {limits.typical:g} is allowed")
    usable = known & finite
    return NumberParity(
        format=format,
        precision=precision,
        pictures=n,
        difference=difference,
        typical=typical,
        mae_before=_mae(reference, truth, usable),
        mae_after=_mae(found, truth, usable),
        images_per_second_before=n / seconds_before if seconds_before else None,
        images_per_second=n / seconds if seconds else None,
        bytes=bytes,
        failures=tuple(failures),
        worst=tuple((paths[i], float(reference[i, target[i]]), float(np.nan_to_num(found[i, target[i]]))) for i in order),
    )


def _mae(said: NDArray[np.floating], truth: NDArray[np.float64], usable: NDArray[np.bool_]) -> float | None:
    return float(np.abs(said[usable] - truth[usable]).mean()) if usable.any() else None
