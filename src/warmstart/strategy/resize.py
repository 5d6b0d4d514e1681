"""Which square of an elongated picture the network is to see: asked where the centre crop shows little, answered by what held-out
pictures lose under each mode.

    sizes → whether it is asked at all      what the same pictures lose under each mode → paired differences → the mode

The crop is how the networks were trained, so it is left only where another mode is ahead by more than chance. Of several the best is taken.

N pictures of train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.data.views import RESIZE_MODES
from warmstart.evaluation.intervals import paired_mean

# What the crop shows of a picture from where on that is little. It shows 0.77 of a square, 0.57 of 4:3 and 0.51 of 3:2, which is what the
# backbones were trained with; of 16:9 it shows 0.43, of 4:1 0.19. Where every tenth picture is seen to less, modes are compared.
LITTLE_SEEN = 0.5
MOST_PICTURES = 400  # of train that are compared: each costs a row a mode
FEWEST_UNITS = 30  # of them, copies and groups counted once: fewer do not tell modes apart
LEVEL = 0.95  # that none of the other modes takes the crop's place by luck


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What each of N pictures lost by what was said of it while it was held out, as a task's part 'judged' says it."""

    losses: NDArray[np.float64]  # (N,), less is better
    words: str  # what they are: 'log-loss'
    right: NDArray[np.bool_] | None = None  # (N,), where an answer is right or wrong


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How one mode did."""

    mode: str
    loss: float  # the mean
    gain: float  # by how much less than the crop, and
    gain_interval: tuple[float, float]  # where that lies, at a level that counts how many modes are held against the crop
    accuracy: float | None  # where an answer is right or wrong


@dataclass(frozen=True, kw_only=True)
class ResizeChoice:
    """Why the pictures of a data set are shown as they are, where that was left open and the crop shows little of them."""

    mode: str  # that was taken
    seen_median: float  # share of the median picture's area that the crop shows
    pictures: int = 0  # N
    loss: str = ""  # what it is
    modes: tuple[Mode, ...] = ()  # that were compared, the crop first; none where they could not be
    why_not: str = ""  # they could not be, as the end of a sentence
    computed: int = 0  # rows, beside those that were in the store

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def in_words(self) -> str:
        """A sentence, from a small letter to before the full stop."""
        seen = f"the centre crop shows {100 * self.seen_median:.0f} % of the median picture"
        if not self.modes:
            return f"{seen}; other ways were not compared: {self.why_not}. --resize squash or pad shows all of each"
        crop, *others = self.modes
        told = f"{seen}, so it was held against {_listed([one.mode for one in others])} on {self.pictures:,} train pictures"
        if self.mode == crop.mode:
            best = max(others, key=lambda one: one.gain)
            return f"{told}: none is better by more than chance, so the crop stays ({best.mode}: {self._figures(best)})"
        best = next(one for one in others if one.mode == self.mode)
        return f"{told}: {self.mode} is best ({self._figures(best)})"

    def _figures(self, one: Mode) -> str:
        low, high = one.gain_interval
        crop = self.modes[0]
        accuracy = ""
        if one.accuracy is not None and crop.accuracy is not None:
            accuracy = f"accuracy {crop.accuracy:.3f} → {one.accuracy:.3f}, "
        return f"{accuracy}{self.loss} {crop.loss:.3f} → {one.loss:.3f}, {low:.3f} to {high:.3f} less"


def choose(
    judged: Mapping[str, Judged], units: NDArray[np.int64], *, seen_median: float, computed: int = 0, seed: int = 0
) -> ResizeChoice:
    """The mode that held-out pictures lose least by, if that is not the crop by luck.

    ``judged``: mode → what the same N pictures lost, the crop among them. ``units`` (N,): those with the same number are copies or of one
    group. Each of the m others is held against the crop at the level 1 - (1 - `LEVEL`) / m (Bonferroni), so that one of them takes its
    place by luck at most as often as one alone would.
    """
    usual, *others = [mode for mode in RESIZE_MODES if mode in judged]
    crop = judged[usual]
    level = 1 - (1 - LEVEL) / max(1, len(others))
    modes = [_mode(usual, crop, np.zeros(len(units)), (0.0, 0.0))]
    for mode in others:
        differences = crop.losses - judged[mode].losses
        modes.append(_mode(mode, judged[mode], differences, paired_mean(differences, units, level=level, seed=seed)))
    better = [one for one in modes[1:] if one.gain_interval[0] > 0]
    return ResizeChoice(
        mode=min(better, key=lambda one: one.loss).mode if better else usual,
        seen_median=seen_median,
        pictures=len(units),
        loss=crop.words,
        modes=tuple(modes),
        computed=computed,
    )


def _mode(name: str, judged: Judged, differences: NDArray[np.floating], interval: tuple[float, float]) -> Mode:
    return Mode(
        mode=name,
        loss=float(judged.losses.mean()),
        gain=float(differences.mean()),
        gain_interval=interval,
        accuracy=None if judged.right is None else float(judged.right.mean()),
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
