"""A decoded picture of any mode → 8-bit RGB, and what it has lost on the way.

* Transparent pixels lie on white, as a page or a viewer shows them.
* CMYK is converted without a colour profile, and other embedded profiles are ignored; four-colour JPEG is inverted, as Adobe writes it.
* More than 8 bits: `warmstart.data.depth`.
* Where that would leave (almost) one colour of a picture that holds more, it is cured where the cause is known: a white shape lies on
  black, transparency that hides everything is left out, a palette of one colour gives way to its numbers. What cannot be cured is said.

H, W are sides in pixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from warmstart.data.depth import OWN, colour_depth, grey_values, is_deep, leaves_nothing, to_8_bits, white_is_zero
from warmstart.records import Depth, ValueRange

# Name → what was done, as the end of a sentence about a picture.
CURES = {
    "on-black": "a shape that is white on nothing was laid on black, not on white",
    "opaque": "transparency that hides everything was left out",
    "indices": "its palette has one colour, so the numbers of the palette were taken for grey",
}

_LEVELS = 8  # of 255: differences up to this are noise
_SHARE = 0.001  # of the pixels that may differ by more


@dataclass(frozen=True, slots=True)
class Flat:
    """A picture as 8-bit RGB."""

    picture: Image.Image  # mode RGB
    cure: str | None = None  # a name of CURES
    lost: str | None = None  # why (almost) one colour is left, as the end of a sentence
    depth: Depth | None = None


def flatten(picture: Image.Image, values: ValueRange = OWN, lower: Callable[[], np.ndarray | None] = lambda: None) -> Flat:
    """Mode RGB from any mode, by the rules above.

    ``lower``: the lower bytes (H, W, 3) of 16-bit colour, whose upper bytes are what Pillow holds; None where there are none.
    """
    if is_deep(picture):
        return _of_deep_grey(picture, values)
    if picture.mode == "RGBA" or picture.mode == "RGB":
        depth, picture = _of_deep_colour(picture, values, lower)
    else:
        depth = None
    lost = "its values lie in a small part of the range of the others" if depth and leaves_nothing(depth, values) else None
    if picture.has_transparency_data:
        flat = _on_a_page(picture)
    elif picture.mode in ("RGB", "L", "1"):
        flat = Flat(picture if picture.mode == "RGB" else picture.convert("RGB"))
    else:
        flat = _converted(picture)
    return Flat(flat.picture, flat.cure, flat.lost or lost, depth)


def shows_one_colour(picture: Image.Image) -> bool:
    """Whether all but a thousandth of the pixels lie within 8 levels of each other, in each channel (8 bits each)."""
    extremes = picture.getextrema()
    bands = np.reshape(np.array(extremes, dtype=np.float64), (-1, 2))
    if (np.ptp(bands, axis=1) <= _LEVELS).all():
        return True
    counts = np.reshape(picture.histogram(), (-1, 256))
    windows = np.lib.stride_tricks.sliding_window_view(counts, _LEVELS + 1, axis=1).sum(axis=2)
    return bool((windows.max(axis=1) >= (1 - _SHARE) * counts.sum(axis=1)).all())


def _of_deep_grey(picture: Image.Image, values: ValueRange) -> Flat:
    numbers, depth = grey_values(picture)
    grey = to_8_bits(numbers, depth, values)
    if white_is_zero(picture):
        grey = 255 - grey
    if "transparency" in picture.info and picture.mode != "F":
        grey[np.asarray(picture) == picture.info["transparency"]] = 255
    flat = Image.fromarray(grey)
    lost = None
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).any():
        lost = "it holds no numbers, only places without data"
    elif leaves_nothing(depth, values):
        lost = "its values lie in a small part of the range of the others"
    return Flat(flat.convert("RGB"), lost=lost, depth=depth)


def _of_deep_colour(
    picture: Image.Image, values: ValueRange, lower: Callable[[], np.ndarray | None]
) -> tuple[Depth | None, Image.Image]:
    low = lower()
    if low is None:
        return None, picture
    pixels = np.asarray(picture)
    numbers = pixels[..., :3].astype(np.uint16) << 8 | low[..., :3]
    depth = colour_depth(numbers, picture)
    colour = to_8_bits(numbers, depth, values)
    return depth, Image.fromarray(np.concatenate([colour, pixels[..., 3:]], axis=2))


def _on_a_page(picture: Image.Image) -> Flat:
    # Premultiplied alpha ('La', 'RGBa') converts only to its own plain form.
    straight = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode]) if picture.mode.endswith("a") else picture
    colour = straight.convert("RGBA")
    alpha = colour.getchannel("A")
    on_white = _laid_on("white", colour, alpha)
    if not shows_one_colour(on_white):
        return Flat(on_white)
    opaque = colour.convert("RGB")
    if shows_one_colour(opaque) and shows_one_colour(alpha) and not _indices_hold_more(picture):
        return Flat(on_white)  # there is nothing else in the file
    for cure, other in _other_ways(picture, colour, alpha, opaque):
        if not shows_one_colour(other):
            return Flat(other, cure=cure)
    return Flat(on_white, lost="its transparency hides what it shows")


def _other_ways(
    picture: Image.Image, colour: Image.Image, alpha: Image.Image, opaque: Image.Image
) -> Iterator[tuple[str, Image.Image]]:
    if not shows_one_colour(alpha):
        yield "on-black", _laid_on("black", colour, alpha)
    yield "opaque", opaque
    if picture.mode == "P":
        yield "indices", _indices(picture)


def _converted(picture: Image.Image) -> Flat:
    """Palettes, CMYK and other colour spaces."""
    rgb = picture.convert("RGB")
    if not shows_one_colour(rgb):
        return Flat(rgb)
    if _indices_hold_more(picture):
        return Flat(_indices(picture), cure="indices")
    if picture.mode != "P" and not all(shows_one_colour(picture.getchannel(band)) for band in picture.getbands()):
        return Flat(rgb, lost=f"its colours ({picture.mode}) become one in red, green and blue")
    return Flat(rgb)


def _indices_hold_more(picture: Image.Image) -> bool:
    return picture.mode == "P" and not shows_one_colour(_indices(picture))


def _indices(picture: Image.Image) -> Image.Image:
    numbers = np.asarray(picture).astype(np.float32)
    return Image.fromarray(np.rint(numbers * (255 / max(1.0, float(numbers.max())))).astype(np.uint8)).convert("RGB")


def _laid_on(page_colour: str, colour: Image.Image, alpha: Image.Image) -> Image.Image:
    page = Image.new("RGB", colour.size, page_colour)
    page.paste(colour, mask=alpha)
    return page
