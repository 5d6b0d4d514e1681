"""Does an engine compute what PyTorch float32 computes? Asked on the user's own pictures, tap by tap.

P proof pictures, D features.
"""

import math
from collections.abc import Sequence

import numpy as np

from warmstart.records import EngineProof

# Relative error allowed per tap. Lite0 in bf16: 0.01-0.08 on photographs; on solar cells,
# which look alike, 0.21, so float32 is used there. float32: about 1e-5. Swapped colour
# channels, a forgotten normalisation or another resizing lie far above either limit.
LIMITS = {"bf16": 0.15, "f32": 1e-3}

PROOF_PICTURES = 16


def compare(
    computed: np.ndarray, reference: np.ndarray, layout: Sequence[tuple[str, int]], *, engine: str, precision: str
) -> EngineProof:
    """The proof record for an engine's rows against the reference's.

    computed, reference: float32 (P, D), rows of the same pictures; layout: (tap name, width) in column order, widths summing to D.
    The error of a tap is ‖B−T‖ / ‖T−mean(T)‖ (Frobenius norms, mean per column): the share of what distinguishes the pictures
    that the engine gets wrong. A tap that does not vary over the pictures is compared with its own size instead.
    """
    errors, start = {}, 0
    for tap, width in layout:
        ours, theirs = computed[:, start : start + width], reference[:, start : start + width]
        errors[tap] = _relative_error(ours, theirs)
        start += width
    return EngineProof(engine=engine, precision=precision, pictures=len(reference), limit=LIMITS[precision], tap_errors=errors)


def _relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return math.inf
    difference, size = np.linalg.norm(ours - theirs), np.linalg.norm(theirs)
    spread = np.linalg.norm(theirs - theirs.mean(axis=0))
    scale = spread if spread > 1e-6 * size else size
    return float(difference / scale) if scale > 0 else float(difference > 0)
