"""Whether an exported file, or an engine, says the labels that float32 PyTorch says. N pictures, O labels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.tasks.multilabel.scores import average_precisions

TIE = 1e-3  # a probability that lies as near to its threshold is on both sides of it
WORST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file of a precision may differ. None: not limited."""

    difference: float | None  # largest of any probability
    agreement: float | None  # share of entries with the same answer, ties left out
    map_loss: float | None  # how much mAP may fall


LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(difference=1e-3, agreement=1.0, map_loss=None),
    "fp16": Limits(difference=None, agreement=0.98, map_loss=0.005),
    "bf16": Limits(difference=None, agreement=0.98, map_loss=0.005),
    "int8": Limits(difference=None, agreement=None, map_loss=0.01),
}


@dataclass(frozen=True, kw_only=True)
class LabelParity:
    """One line of the table."""

    format: str
    precision: str
    pictures: int
    difference: float  # the largest of any probability
    agreement: float  # share of entries that both say, or both don't; ties left out
    ties: int
    map_before: float | None  # of PyTorch on these pictures; None: their labels are not known
    map_after: float | None
    images_per_second_before: float | None
    images_per_second: float | None
    bytes: int | None
    failures: tuple[str, ...]
    worst: tuple[tuple[str, str, float, float], ...]  # path, label, what PyTorch says, what the file says

    @property
    def proven(self) -> bool:
        """Within the limits, on at least one picture."""
        return self.pictures > 0 and not self.failures

    def worst_in_words(self) -> list[str]:
        """The pictures on which the two differ most."""
        return [f"{path} ({label} {before:.4f} → {after:.4f})" for path, label, before, after in self.worst]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"proven": self.proven, "limits": asdict(LIMITS[self.precision])}


def compare(
    reference: NDArray[np.floating],
    found: NDArray[np.floating],
    truth: NDArray[np.float64],
    *,
    names: Sequence[str],
    thresholds: NDArray[np.float64],
    paths: Sequence[str],
    format: str,
    precision: str,
    seconds_before: float | None = None,
    seconds: float | None = None,
    bytes: int | None = None,
) -> LabelParity:
    """``reference``, ``found``, ``truth`` (N, O), truth NaN where it is not known."""
    n = len(reference)
    if n == 0:
        raise ValueError("no pictures to compare on")
    finite = np.isfinite(found).all(axis=1)
    apart = np.where(finite[:, None], np.abs(np.where(finite[:, None], found, 0) - reference), 1.0)
    ties = np.abs(reference - thresholds) <= TIE
    same = ((reference >= thresholds) == (found >= thresholds)) & finite[:, None]
    agreement = float(same[~ties].mean()) if (~ties).any() else 1.0
    before, after = (_map(p, truth) for p in (reference, np.where(finite[:, None], found, 0)))
    limits, failures, difference = LIMITS[precision], [], float(apart.max())
    if not finite.all():
        failures.append(f"{int((~finite).sum())} pictures give NaN or infinity")
    if limits.difference is not None and difference > limits.difference:
        failures.append(f"a probability differs by {difference:.2g}, {limits.difference:g} is allowed")
    if limits.agreement is not None and agreement < limits.agreement:
        failures.append(f"{agreement:.2%} of the labels are said alike, {limits.agreement:.0%} is asked for")
    if limits.map_loss is not None and before is not None and after is not None and before - after > limits.map_loss:
        failures.append(f"mAP falls from {before:.4f} to {after:.4f}, by {limits.map_loss:g} is allowed")
    order, label = np.argsort(-apart.max(axis=1), kind="stable")[:WORST_SHOWN], apart.argmax(axis=1)
    return LabelParity(
        format=format,
        precision=precision,
        pictures=n,
        difference=difference,
        agreement=agreement,
        ties=int(ties.sum()),
        map_before=before,
        map_after=after,
        images_per_second_before=n / seconds_before if seconds_before else None,
        images_per_second=n / seconds if seconds else None,
        bytes=bytes,
        failures=tuple(failures),
        worst=tuple(
            (paths[i], names[label[i]], float(reference[i, label[i]]), float(np.nan_to_num(found[i, label[i]]))) for i in order
        ),
    )


def _map(probabilities: NDArray[np.floating], truth: NDArray[np.float64]) -> float | None:
    found = average_precisions(probabilities, truth)
    return None if np.isnan(found).all() else float(np.nanmean(found))
