"""A conversion that would leave nothing of a picture is cured, or said."""

import io

import numpy as np
import pytest
from PIL import Image
from written import png

from warmstart.data.decoding import decoded
from warmstart.data.facts import facts_of, row_identity
from warmstart.data.flattening import CURES, shows_one_colour
from warmstart.records import ValueRange

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)


def with_alpha(colour: object, alpha: object) -> bytes:
    pixels = np.zeros((40, 50, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = colour, alpha  # type: ignore[assignment]
    return png(pixels)


SHAPE = np.zeros((40, 50), np.uint8)
SHAPE[10:30, 10:30] = 255


def palette(colours: list[int], *, transparent: bytes | None = None) -> bytes:
    picture = Image.fromarray((np.arange(2000).reshape(40, 50) % 7).astype(np.uint8))
    paletted = Image.new("P", picture.size)
    paletted.putdata(list(picture.tobytes()))
    paletted.putpalette(colours)
    buffer = io.BytesIO()
    paletted.save(buffer, "PNG", **({} if transparent is None else {"transparency": transparent}))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        (with_alpha(NOISE, 0), "opaque"),
        (with_alpha(NOISE, 1), "opaque"),
        (with_alpha(255, SHAPE), "on-black"),
        (with_alpha(250, SHAPE), "on-black"),
        (palette([0] * 768), "indices"),
        (palette([9, 9, 9] * 256, transparent=bytes(256)), "indices"),
        (palette(list(range(256)) * 3, transparent=bytes(256)), "opaque"),
    ],
)
def test_what_would_leave_one_colour_is_cured(content: bytes, cure: str) -> None:
    flat = decoded(content)
    assert (flat.cure, flat.lost) == (cure, None)
    assert not shows_one_colour(flat.picture)
    facts = facts_of(content)
    assert facts.cure == cure
    assert cure in CURES
    assert row_identity(bytes(16), facts, ValueRange()) != bytes(16), "older rows of it were of nothing"


@pytest.mark.parametrize(
    "content",
    [
        with_alpha(0, SHAPE),
        with_alpha(NOISE, 255),
        with_alpha(NOISE, SHAPE),
        with_alpha(255, 0),
        with_alpha(0, 0),
        palette(list(range(256)) * 3),
    ],
)
def test_what_shows_something_or_has_nothing_to_show_stays_as_it_was(content: bytes) -> None:
    facts = facts_of(content)
    assert (facts.cure, facts.lost) == (None, None)
    assert row_identity(bytes(16), facts, ValueRange()) == bytes(16)


def test_almost_one_colour_is_told_from_a_picture_with_something_small_in_it() -> None:
    blank = Image.new("RGB", (100, 100), (200, 200, 200))
    noisy = Image.fromarray(RNG.integers(200, 208, (100, 100, 3), dtype=np.uint8))
    assert shows_one_colour(blank)
    assert shows_one_colour(noisy)
    blank.paste((0, 0, 0), (10, 10, 13, 13))
    assert shows_one_colour(blank), "9 of 10,000 pixels are dust"
    blank.paste((0, 0, 0), (10, 10, 15, 15))
    assert not shows_one_colour(blank)
