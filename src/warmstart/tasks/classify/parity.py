"""Does an exported file say what float32 PyTorch says? Held-out picture files through both, decoding and resizing included.

    files ── runtime: decode, resize, exported graph ──► Q (N, K) ┐
    files ── decode, resize, eager PyTorch, head     ──► P (N, K) ┴─► row: differences, agreement, accuracy → kept or refused

P and Q are probabilities. Pure: no torch, no files. N pictures, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Two classes whose probabilities are closer are one and the same to PyTorch. From a threshold it is half as far: one class gains what the
# other loses.
TIE = 1e-3
WORST_SHOWN = 5

Decide = Callable[[NDArray[np.floating]], NDArray[np.integer]]  # labels (N,) for probabilities (N, K)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file of a precision may differ. None: not limited."""

    difference: float | None  # largest of any probability
    agreement: float | None  # share of pictures with the same class, ties left out
    accuracy_loss: float | None  # how much accuracy may fall


LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(difference=1e-3, agreement=1.0, accuracy_loss=None),
    "fp16": Limits(difference=None, agreement=0.98, accuracy_loss=0.005),
    "bf16": Limits(difference=None, agreement=0.98, accuracy_loss=0.005),
    "int8": Limits(difference=None, agreement=None, accuracy_loss=0.005),
}


@dataclass(frozen=True, kw_only=True)
class WorstPicture:
    """A picture on which the two differ most."""

    path: str
    expected: str  # class that PyTorch names
    found: str  # class that the file names
    difference: float  # largest of its probabilities


@dataclass(frozen=True, kw_only=True)
class Parity:
    """One line of the table. ``proven`` says whether it keeps the limits of its precision."""

    format: str
    precision: str
    pictures: int
    ties: int  # pictures that PyTorch itself cannot decide to `TIE`; they don't count for agreement
    difference: float
    agreement: float  # 0 … 1
    accuracy_before: float | None  # of PyTorch on these pictures; None: they have no labels
    accuracy_after: float | None
    images_per_second_before: float | None  # of eager PyTorch here, decoding included
    images_per_second: float | None
    bytes: int | None
    failures: tuple[str, ...]  # in words, what is beyond the limits
    worst: tuple[WorstPicture, ...]

    @property
    def proven(self) -> bool:
        """Within the limits, on at least one picture."""
        return self.pictures > 0 and not self.failures

    def worst_in_words(self) -> list[str]:
        """The pictures on which the two differ most."""
        return [f"{w.path} ({w.expected} → {w.found}, {w.difference:.2g})" for w in self.worst]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"proven": self.proven, "limits": limits_of(self.precision)}


def most_probable(probabilities: NDArray[np.floating]) -> NDArray[np.integer]:
    """Labels of a model without a threshold."""
    return np.asarray(probabilities.argmax(axis=1))


def compare(
    reference: NDArray[np.floating],
    exported: NDArray[np.floating],
    *,
    labels: NDArray[np.integer] | None,
    paths: Sequence[str],
    class_names: Sequence[str],
    format: str,
    precision: str,
    decide: Decide = most_probable,
    seconds_before: float | None = None,
    seconds: float | None = None,
    bytes: int | None = None,
) -> Parity:
    """``reference`` P and ``exported`` Q (N, K) of the same files; ``labels`` (N,), -1 where a picture has none.

    decide: how the model names a class, `Model.decide`.
    """
    n = len(reference)
    if n == 0:
        raise ValueError("no pictures to compare on")
    finite = np.isfinite(exported).all(axis=1)
    difference = np.where(finite, np.abs(np.where(finite[:, None], exported, 0) - reference).max(axis=1), np.inf)
    expected, found = decide(reference), decide(np.where(finite[:, None], exported, 0))
    tie = _ties(reference, decide)
    same = (expected == found) & finite
    agreement = float(same[~tie].mean()) if (~tie).any() else 1.0
    before = after = None
    if labels is not None and (labels >= 0).any():
        known = labels >= 0
        before = float((expected == labels)[known].mean())
        after = float(((found == labels) & finite)[known].mean())
    order = np.lexsort((-difference, same | tie))[:WORST_SHOWN]
    return Parity(
        format=format,
        precision=precision,
        pictures=n,
        ties=int(tie.sum()),
        difference=float(min(difference.max(), 1e9)),
        agreement=agreement,
        accuracy_before=before,
        accuracy_after=after,
        images_per_second_before=n / seconds_before if seconds_before else None,
        images_per_second=n / seconds if seconds else None,
        bytes=bytes,
        failures=tuple(_failures(LIMITS[precision], finite, float(difference.max()), agreement, before, after)),
        worst=tuple(
            WorstPicture(
                path=paths[i],
                expected=class_names[expected[i]],
                found=class_names[found[i]],
                difference=float(min(difference[i], 1e9)),
            )
            for i in order
        ),
    )


def limits_of(precision: str) -> dict[str, Any]:
    """JSON-ready."""
    return asdict(LIMITS[precision]) | {"tie": TIE}


def _ties(reference: NDArray[np.floating], decide: Decide) -> NDArray[np.bool_]:
    """(N,): whether half of `TIE` more or less between the two best classes would be another decision."""
    moved = np.zeros_like(reference)
    best = np.argsort(reference, axis=1)[:, -2:]
    np.put_along_axis(moved, best, [[TIE / 2, -TIE / 2]], axis=1)
    expected = decide(reference)
    return np.asarray((decide(reference + moved) != expected) | (decide(reference - moved) != expected))


def _failures(
    limits: Limits, finite: NDArray[np.bool_], difference: float, agreement: float, before: float | None, after: float | None
) -> list[str]:
    failures = []
    if not finite.all():
        failures.append(f"{int((~finite).sum())} pictures give NaN or infinity")
    if limits.difference is not None and difference > limits.difference:
        failures.append(f"a probability differs by {difference:.2g}, {limits.difference:g} is allowed")
    if limits.agreement is not None and agreement < limits.agreement:
        failures.append(f"{agreement:.1%} of the pictures get the same class, at least {limits.agreement:.0%} must")
    if limits.accuracy_loss is not None and before is not None and after is not None:
        lost = before - after
        if lost > limits.accuracy_loss + 1e-9:
            failures.append(f"accuracy falls by {100 * lost:.1f} points, {100 * limits.accuracy_loss:g} is allowed")
    return failures
