"""Values of more than 8 bits: a look at the values decides what becomes black and white."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from written import chunk, png, tiff

from warmstart.data.decoding import decode, decoded
from warmstart.data.depth import OWN, leaves_nothing, range_of, rule_of
from warmstart.data.facts import facts_of, row_identity
from warmstart.records import Depth, ValueRange

RNG = np.random.default_rng(0)
H, W = 40, 50
REAL = RNG.normal(100, 20, (H, W)).astype(np.float32)


def whole(bits: int, channels: int = 1) -> np.ndarray:
    shape = (H, W) if channels == 1 else (H, W, channels)
    values = RNG.integers(0, 2**bits, shape).astype(np.uint16)
    values.flat[0] = 2**bits - 1
    return values


def levels(content: bytes, values: ValueRange = OWN) -> np.ndarray:
    return np.asarray(decode(content, values=values))


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("order", ["png", "<", ">", "deflate"])
def test_grey_that_uses_fewer_bits_than_its_file_has_uses_all_levels(bits: int, order: str) -> None:
    values = whole(bits)
    content = png(values) if order == "png" else tiff(values, order=order[0].replace("d", "<"), compressed=order == "deflate")
    assert np.array_equal(levels(content)[..., 0], (values >> (bits - 8)).astype(np.uint8))


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("order", ["png", "<", ">", "deflate"])
def test_colour_of_16_bits_likewise_with_both_its_bytes(bits: int, order: str) -> None:
    values = whole(bits, 3)
    content = png(values) if order == "png" else tiff(values, order=order[0].replace("d", "<"), compressed=order == "deflate")
    assert np.array_equal(levels(content), (values >> (bits - 8)).astype(np.uint8))


@pytest.mark.parametrize("channels", [2, 4])
def test_colour_and_grey_of_16_bits_with_alpha_likewise(channels: int) -> None:
    values = whole(10, channels)
    values[..., -1] = 65535
    expected = np.broadcast_to((values[..., :-1] >> 2).astype(np.uint8), (H, W, 3))
    assert np.array_equal(levels(png(values)), expected)


@pytest.mark.parametrize("mark", [65535, 60000])
def test_a_mark_and_hot_pixels_above_all_others_do_not_count(mark: int) -> None:
    values = whole(12)
    values[3, 4] = mark
    assert facts_of(png(values)).depth == Depth(bits=12)
    assert np.count_nonzero(levels(png(values))[..., 0] > 128) > 500


def test_a_mask_of_few_values_is_spread_over_all_levels() -> None:
    assert np.unique(levels(png((whole(8) % 4).astype(np.uint16)))).tolist() == [0, 85, 170, 255]
    assert np.unique(levels(png((whole(8) % 2 * 65535).astype(np.uint16)))).tolist() == [0, 255]


@pytest.mark.parametrize(
    "content",
    [
        lambda v: png(v, extra=chunk(b"sBIT", b"\x0c")),
        lambda v: tiff(v, tags={341: (3, 4095)}),
    ],
    ids=["sBIT", "SMaxSampleValue"],
)
def test_declared_bits_count_where_a_dark_picture_uses_fewer(content) -> None:  # type: ignore[no-untyped-def]
    values = whole(10)
    assert np.array_equal(levels(content(values))[..., 0], (values >> 4).astype(np.uint8))
    # and a PNG whose 12 bits were spread over 16, as its specification asks, is not all white
    assert facts_of(content(whole(16))).depth == Depth(bits=16)


def test_white_is_zero_turns_every_depth_round() -> None:
    for values in (whole(12), whole(16), REAL):
        assert np.array_equal(levels(tiff(values, photometric=0)), 255 - levels(tiff(values)))


def spoilt(how: str) -> bytes:
    values, tags = REAL.copy(), None
    if how == "one -9999":
        values[3, 3] = -9999
    elif how == "a quarter -9999":
        values[:10] = -9999
    elif how == "float32's smallest":
        values[:10] = -3.4028235e38
    elif how == "nan":
        values[:10] = np.nan
    elif how == "inf":
        values[:5], values[5:10] = np.inf, -np.inf
    elif how == "GDAL_NODATA":
        values[:10], tags = 0, {42113: (2, "0")}
    elif how == "one far above":
        values[0, 0] = 1e20
    return tiff(values, tags=tags)


@pytest.mark.parametrize(
    "how", ["one -9999", "a quarter -9999", "float32's smallest", "nan", "inf", "GDAL_NODATA", "one far above"]
)
def test_the_range_of_real_numbers_survives_what_is_no_number(how: str) -> None:
    sound, spoilt_levels = levels(tiff(REAL))[10:], levels(spoilt(how))[10:]
    assert np.abs(sound.astype(int) - spoilt_levels).max() <= 16
    assert np.ptp(spoilt_levels) > 200


def test_a_constant_and_an_empty_picture_are_black_and_the_empty_one_is_named() -> None:
    assert not levels(tiff(np.full((4, 4), 7, np.float32))).any()
    empty = tiff(np.full((4, 4), np.nan, np.float32))
    assert not levels(empty).any()
    assert "holds no numbers" in (facts_of(empty).lost or "")


def test_signed_and_32_bit_numbers() -> None:
    signed = RNG.integers(-400, 4000, (H, W)).astype(np.int16)
    assert np.ptp(levels(tiff(signed))) == 255
    unsigned = RNG.integers(0, 4096, (H, W)).astype(np.uint32)
    assert np.array_equal(levels(tiff(unsigned))[..., 0], (unsigned >> 4).astype(np.uint8))
    beyond = np.full((H, W), 2**31 + 5, np.uint32)
    assert (levels(tiff(beyond)) == 128).all()


def test_a_data_set_has_one_range_and_a_dark_picture_stays_dark_in_it() -> None:
    bright, dark = whole(12), whole(9)
    values = range_of([facts_of(png(bright)).depth, facts_of(png(dark)).depth, None])
    assert values == ValueRange(bits=12)
    assert levels(png(dark), values).max() == 31
    assert levels(png(dark)).max() == 255
    assert not leaves_nothing(Depth(bits=9), values)
    assert leaves_nothing(Depth(bits=7), values)


def test_the_range_of_a_set_of_real_pictures_leaves_out_wild_ones_and_ten_more_do_not_move_it() -> None:
    def depths(n: int, seed: int) -> list[Depth | None]:
        rng = np.random.default_rng(seed)
        return [facts_of(tiff(rng.normal(100 + rng.normal(0, 5), 20, (H, W)).astype(np.float32))).depth for _ in range(n)]

    many = depths(60, 1)
    assert range_of(many) == range_of([*many, *depths(10, 2)]) == range_of([*many, Depth(bits=None, low=-1e6, high=1e6)])
    low, high = range_of(many).real or (0, 0)
    assert 0 <= low < 50
    assert 150 < high <= 224


def test_what_decides_levels_is_part_of_the_identity_of_a_row() -> None:
    facts = facts_of(png(whole(12)))
    names = {row_identity(bytes(16), facts, values) for values in (ValueRange(bits=12), ValueRange(bits=16))}
    assert len(names | {bytes(16)}) == 3
    real = facts_of(tiff(REAL))
    assert row_identity(bytes(16), real, ValueRange(real=(0.0, 1.0))) != row_identity(
        bytes(16), real, ValueRange(real=(0.0, 2.0))
    )
    # a picture's own range is the same identity as a set that has just this range
    assert rule_of(Depth(bits=12), OWN) == rule_of(Depth(bits=12), ValueRange(bits=12))


@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 2**32))
def test_more_is_never_darker(in_use: int, of_the_set: int, seed: int) -> None:
    values = np.sort(np.random.default_rng(seed).integers(0, 2**in_use, 64).astype(np.uint16)).reshape(8, 8)
    shown = levels(png(values), ValueRange(bits=of_the_set))[..., 0].ravel().astype(int)
    assert (np.diff(shown) >= 0).all()


def test_a_loaded_pil_image_and_an_array_are_read_by_the_same_rules() -> None:
    from warmstart.data.memory import in_memory

    for content in (png(whole(12)), tiff(whole(10)), tiff(REAL), tiff(REAL, photometric=0), tiff(whole(9).astype(np.int32))):
        loaded = Image.open(io.BytesIO(content))
        loaded.load()
        for values in (OWN, ValueRange(bits=14, real=(0.0, 256.0))):
            assert np.array_equal(in_memory(loaded, values=values), decode(content, values=values))
    values = whole(12)
    assert np.array_equal(in_memory(values), levels(png(values)))
    assert np.array_equal(
        in_memory(REAL, values=ValueRange(real=(0.0, 256.0))), levels(tiff(REAL), ValueRange(real=(0.0, 256.0)))
    )
    assert decoded(png(values)).depth == Depth(bits=12)
