"""Signs of difficulty that lie in the pictures themselves: size against the network's input, grey, an up and a down.

N pictures of a sample, K classes, D features.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.data.decoding import decode, read_header
from warmstart.data.views import needed_shorter_side_px
from warmstart.errors import PictureError
from warmstart.evaluation.intervals import paired_bootstrap
from warmstart.heads.standardising import Array
from warmstart.tasks.classify.evidence.probing import HeldOut
from warmstart.tasks.classify.heads.protocol import Labels

HEADERS = 300
DECODED = 40
GREY_LEVELS = 3.0  # of 255: JPEG's colour noise on a grey picture stays below
SQUARE = 1.02  # longer side over shorter


@dataclass(frozen=True, kw_only=True)
class PictureSigns:
    """What a sample of pictures looks like."""

    looked_at: int
    shorter_side_px: tuple[int, int, int]  # smallest, median, largest
    needed_px: int  # shorter side below which a picture is enlarged
    enlarged: float  # share of pictures that are, 0 … 1
    square: float  # share
    grey: float  # share

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Turned:
    """Whether pictures keep their class under the probe when they are turned or mirrored: the same pictures both ways, held out."""

    view: str
    pictures: int
    plain_accuracy: float
    accuracy: float
    change_ci95: tuple[float, float]  # of accuracy - plain_accuracy, paired

    @property
    def change(self) -> float:
        """Of accuracy, -1 … 1."""
        return self.accuracy - self.plain_accuracy


def picture_signs(paths: Sequence[str], *, size_px: int, resize: str, seed: int) -> PictureSigns | None:
    """Of a random sample; None where none of it is readable. Headers only, but for the grey ones."""
    chosen, headers = [], []
    for i in np.random.default_rng(seed).permutation(len(paths))[:HEADERS]:
        try:
            headers.append(read_header(Path(paths[i])))
        except PictureError:  # named where its row is computed
            continue
        chosen.append(paths[i])
    if not headers:
        return None
    shorter = np.array([min(header.width, header.height) for header in headers])
    longer = np.array([max(header.width, header.height) for header in headers])
    needed = needed_shorter_side_px(size_px, resize)
    return PictureSigns(
        looked_at=len(chosen),
        shorter_side_px=(int(shorter.min()), int(np.median(shorter)), int(shorter.max())),
        needed_px=needed,
        enlarged=float(np.mean(shorter < needed)),
        square=float(np.mean(longer <= SQUARE * shorter)),
        grey=float(np.mean([_is_grey(path) for path in chosen[:DECODED]])),
    )


def turned(view: str, probe: HeldOut, sample: NDArray[np.int64], y: Labels, X: Array) -> Turned:
    """``sample`` (N,) are positions in the probe's pictures with labels ``y`` (N,), X (N, D) their features in that view.

    Each is judged by the head of the fold that held it out, as its plain view was.
    """
    plain = probe.correct[sample]
    logits = np.stack([probe.heads[probe.fold_of[i]].logits(row[None])[0] for i, row in zip(sample, X, strict=True)])
    correct = logits.argmax(axis=1) == y
    return Turned(
        view=view,
        pictures=len(sample),
        plain_accuracy=float(plain.mean()),
        accuracy=float(correct.mean()),
        change_ci95=paired_bootstrap(correct, plain),
    )


def _is_grey(path: str) -> bool:
    try:
        pixels = np.asarray(decode(Path(path), shorter_side_px=32), dtype=np.float32)
    except PictureError:
        return False
    return float(np.ptp(pixels, axis=2).mean()) < GREY_LEVELS
