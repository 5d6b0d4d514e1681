"""Whether an exported file, or an engine, says the values that float32 PyTorch says. N pictures, K values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.tasks.ordinal.sets import HALF, decide
from warmstart.tasks.ordinal.targets import UNKNOWN

TIE = 1e-3  # half of the probability lies as near to a threshold: the answer is on both sides of it
WORST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file of a precision may differ. None: not limited."""

    difference: float | None  # largest of any probability
    agreement: float | None  # share of pictures with the same answer, ties left out
    mae_loss: float | None  # by how much the mean error in ranks may grow


LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(difference=1e-3, agreement=1.0, mae_loss=None),
    "fp16": Limits(difference=None, agreement=0.98, mae_loss=0.01),
    "bf16": Limits(difference=None, agreement=0.98, mae_loss=0.01),
    "int8": Limits(difference=None, agreement=None, mae_loss=0.02),
}


@dataclass(frozen=True, kw_only=True)
class OrderParity:
    """One line of the table."""

    format: str
    precision: str
    pictures: int
    difference: float  # the largest of any probability
    agreement: float  # share of pictures with the same answer; ties left out
    ties: int
    mae_before: float | None  # in ranks, of PyTorch on these pictures; None: their values are not known
    mae_after: float | None
    images_per_second_before: float | None
    images_per_second: float | None
    bytes: int | None
    failures: tuple[str, ...]
    worst: tuple[tuple[str, str, float, float], ...]  # path, value, its probability by PyTorch, by the file

    @property
    def proven(self) -> bool:
        """Within the limits, on at least one picture."""
        return self.pictures > 0 and not self.failures

    def worst_in_words(self) -> list[str]:
        """The pictures on which the two differ most."""
        return [f"{path} ({value} {before:.4f} → {after:.4f})" for path, value, before, after in self.worst]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"proven": self.proven, "limits": asdict(LIMITS[self.precision])}


def compare(
    reference: NDArray[np.floating],
    found: NDArray[np.floating],
    y: NDArray[np.int64],
    *,
    order: Sequence[str],
    paths: Sequence[str],
    format: str,
    precision: str,
    seconds_before: float | None = None,
    seconds: float | None = None,
    bytes: int | None = None,
) -> OrderParity:
    """``reference``, ``found`` (N, K); ``y`` (N,): ranks, `UNKNOWN` where the value is not known."""
    n = len(reference)
    if n == 0:
        raise ValueError("no pictures to compare on")
    finite = np.isfinite(found).all(axis=1)
    usable = np.where(finite[:, None], found, 0)
    apart = np.where(finite[:, None], np.abs(usable - reference), 1.0)
    ties = (np.abs(np.cumsum(reference[:, :-1], axis=1, dtype=np.float64) - HALF) <= TIE).any(axis=1)
    before, after = decide(reference), decide(usable)
    same = (before == after) & finite
    agreement = float(same[~ties].mean()) if (~ties).any() else 1.0
    errors = [_mae(ranks, y, (y != UNKNOWN) & finite) for ranks in (before, after)]
    limits, failures, difference = LIMITS[precision], [], float(apart.max())
    if not finite.all():
        failures.append(f"{int((~finite).sum())} pictures give NaN or infinity")
    if limits.difference is not None and difference > limits.difference:
        failures.append(f"a probability differs by {difference:.2g}, {limits.difference:g} is allowed")
    if limits.agreement is not None and agreement < limits.agreement:
        failures.append(f"{agreement:.2%} of the pictures are answered alike, {limits.agreement:.0%} is asked for")
    if (
        limits.mae_loss is not None
        and errors[0] is not None
        and errors[1] is not None
        and errors[1] - errors[0] > limits.mae_loss
    ):
        failures.append(f"the error grows from {errors[0]:.4f} to {errors[1]:.4f} ranks, by {limits.mae_loss:g} is allowed")
    most, value = np.argsort(-apart.max(axis=1), kind="stable")[:WORST_SHOWN], apart.argmax(axis=1)
    return OrderParity(
        format=format,
        precision=precision,
        pictures=n,
        difference=difference,
        agreement=agreement,
        ties=int(ties.sum()),
        mae_before=errors[0],
        mae_after=errors[1],
        images_per_second_before=n / seconds_before if seconds_before else None,
        images_per_second=n / seconds if seconds else None,
        bytes=bytes,
        failures=tuple(failures),
        worst=tuple((paths[i], order[value[i]], float(reference[i, value[i]]), float(usable[i, value[i]])) for i in most),
    )


def _mae(said: NDArray[np.int64], y: NDArray[np.int64], usable: NDArray[np.bool_]) -> float | None:
    return float(np.abs(said[usable] - y[usable]).mean()) if usable.any() else None
