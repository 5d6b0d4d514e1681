"""TrivialAugment, wide space: one operation, drawn uniformly, at a strength drawn uniformly.

Müller & Hutter (2021), TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation, ICCV; operations and ranges of
table 1, column 'Wide'; 31 strengths, as there. Four differences:

* Shears keep the centre in place rather than the upper left corner: what the label speaks of is more often there.
* The paper's shift of up to 32 pixels is taken as 32 / 224 of the side, so that it means the same at every input size.
* Brightness and contrast begin at 0.2 of the picture's, not at 0.01, where nothing can be seen: the paper draws anew in every
  epoch, but a stored view would be an empty picture with a label for the whole run.
* What moves in from outside is mid-grey, as the border of 'pad' is; black would be a strong edge.

Every operation takes and gives an 8-bit RGB picture of the same size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from warmstart.data.geometry import Affine, rotation
from warmstart.data.views import PAD_GREY

STRENGTHS = 31


def trivial_augment(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """``picture`` after one operation of the table. Draws three numbers from ``rng``, whichever operation it is."""
    operation, amount = drawn_operation(rng)
    return operation.apply(picture, amount)


def drawn_operation(rng: np.random.Generator) -> "tuple[Operation, float]":
    """An operation and its amount. Draws three numbers."""
    drawn, strength, sign = rng.random(3)
    operation = list(OPERATIONS.values())[int(drawn * len(OPERATIONS))]
    return operation, operation.amount(int(strength * STRENGTHS) / (STRENGTHS - 1), negative=bool(sign < 0.5))


@dataclass(frozen=True, slots=True)
class Operation:
    """What to do, and the amounts at strength 0 and at strength 1."""

    apply: Callable[[Image.Image, float], Image.Image]
    weakest: float = 0.0
    strongest: float = 0.0
    signed: bool = False  # the amount is negated in half of the draws
    # (amount, width, height) → where the result's points come from, (x, y) of the result → of the picture. None: all stay in place.
    source: Callable[[float, float, float], Affine] | None = None

    def amount(self, strength: float, *, negative: bool) -> float:
        """For a ``strength`` of 0 … 1."""
        amount = self.weakest + (self.strongest - self.weakest) * strength
        return -amount if negative and self.signed else amount

    def run(self, picture: Image.Image, strength: float, *, negative: bool) -> Image.Image:
        """``picture`` changed with ``strength``, 0 … 1."""
        return self.apply(picture, self.amount(strength, negative=negative))


def _warp(source: Callable[[float, float, float], Affine]) -> Operation:
    """Points moved by an affine map; ``source`` as in `Operation`."""

    def apply(picture: Image.Image, amount: float) -> Image.Image:
        data = source(amount, *picture.size)
        return picture.transform(
            picture.size, Image.Transform.AFFINE, data, resample=Image.Resampling.BILINEAR, fillcolor=PAD_GREY
        )

    return Operation(apply, signed=True, source=source)


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(lambda picture, _: picture),
    "auto-contrast": Operation(lambda picture, _: ImageOps.autocontrast(picture)),
    "equalize": Operation(lambda picture, _: ImageOps.equalize(picture)),
    "rotate": Operation(  # degrees
        lambda picture, degrees: picture.rotate(degrees, resample=Image.Resampling.BILINEAR, fillcolor=PAD_GREY),
        weakest=0,
        strongest=135,
        signed=True,
        source=lambda degrees, width, height: rotation(-degrees, width, height),
    ),
    # Values from this level up are inverted.
    "solarize": Operation(lambda picture, level: ImageOps.solarize(picture, round(level)), weakest=256, strongest=0),
    "posterize": Operation(lambda picture, bits: ImageOps.posterize(picture, round(bits)), weakest=8, strongest=2),
    # A factor of 1 is no change.
    "saturation": Operation(lambda picture, factor: ImageEnhance.Color(picture).enhance(factor), 0.01, 2.0),
    "contrast": Operation(lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor), 0.2, 2.0),
    "brightness": Operation(lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor), 0.2, 2.0),
    "sharpness": Operation(lambda picture, factor: ImageEnhance.Sharpness(picture).enhance(factor), 0.01, 2.0),
    "shear-x": replace(_warp(lambda slope, _, height: (1, slope, -slope * height / 2, 0, 1, 0)), strongest=0.99),
    "shear-y": replace(_warp(lambda slope, width, _: (1, 0, 0, slope, 1, -slope * width / 2)), strongest=0.99),
    "translate-x": replace(_warp(lambda fraction, width, _: (1, 0, fraction * width, 0, 1, 0)), strongest=32 / 224),
    "translate-y": replace(_warp(lambda fraction, _, height: (1, 0, 0, 0, 1, fraction * height)), strongest=32 / 224),
}
