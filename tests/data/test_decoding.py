import io
import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from warmstart.data.decoding import decode, read_header
from warmstart.data.formats import UNREADABLE, sniff
from warmstart.data.hashing import digest, digest_file
from warmstart.errors import PictureError

LOSSLESS = ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG2000"]
LOSSY = ["JPEG", "WEBP"] + (["AVIF"] if features.check("avif") else [])

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encoded(picture, file_format, **options):
    file = io.BytesIO()
    picture.save(file, format=file_format, **options)
    return file.getvalue()


def colour(content, at=(0, 0)):
    picture = decode(content)
    assert picture.mode == "RGB"
    return picture.getpixel(at)


def kind_of(source, **options):
    with pytest.raises(PictureError) as caught:
        decode(source, **options)
    return caught.value.kind, str(caught.value)


def outcome(source, **options):
    """(picture, None) or (None, kind of the error); any other exception fails the test."""
    try:
        return decode(source, **options), None
    except PictureError as error:
        return None, error.kind


# ---- formats ----


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_a_lossless_format_comes_back_exactly(file_format, photo):
    original = photo.quantize(64).convert("RGB")
    assert np.array_equal(decode(encoded(original, file_format)), original)


@pytest.mark.parametrize("file_format", LOSSY)
def test_a_lossy_format_comes_back_nearly(file_format, photo):
    difference = np.asarray(decode(encoded(photo, file_format, quality=95)), dtype=int) - np.asarray(photo, dtype=int)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("file_format", LOSSLESS + LOSSY)
def test_bytes_and_file_give_the_same_picture_and_the_header_agrees(file_format, photo, tmp_path):
    content = encoded(photo, file_format)
    path = tmp_path / "picture.bin"
    path.write_bytes(content)
    assert np.array_equal(decode(path), decode(content))
    header = read_header(path)
    assert (header.width, header.height, header.orientation, header.bytes) == (96, 64, 1, len(content))
    assert header.format == sniff(content)


def test_the_extension_is_ignored(photo, tmp_path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(encoded(photo, "PNG"))
    assert np.array_equal(decode(path), photo)


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_of_several_frames_counts(file_format):
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLACK)
    options = {"lossless": True} if file_format == "WEBP" else {}
    assert colour(encoded(first, file_format, save_all=True, append_images=[second], **options)) == RED


def test_a_one_pixel_picture_is_a_picture():
    assert colour(encoded(Image.new("RGB", (1, 1), RED), "PNG")) == RED


# ---- modes ----


def test_grey_becomes_three_equal_channels():
    assert colour(encoded(Image.new("L", (4, 4), 77), "JPEG", quality=100)) == (77, 77, 77)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "PPM", "GIF"])
def test_one_bit_pictures_are_black_and_white(file_format):
    picture = Image.new("1", (4, 4), 0)
    picture.putpixel((2, 1), 1)
    content = encoded(picture, file_format)
    assert (colour(content), colour(content, (2, 1))) == (BLACK, WHITE)


@pytest.mark.parametrize(("file_format", "tolerance"), [("JPEG", 2), ("TIFF", 0)])
def test_cmyk_red_is_red_and_paper_is_white(file_format, tolerance):
    red, paper = (Image.new("CMYK", (16, 16), ink) for ink in ((0, 255, 255, 0), (0, 0, 0, 0)))
    assert np.abs(np.subtract(colour(encoded(red, file_format)), RED)).max() <= tolerance
    assert np.abs(np.subtract(colour(encoded(paper, file_format)), WHITE)).max() <= tolerance


def test_ycck_jpeg_as_adobe_writes_it_is_red():
    # Adobe stores inverted inks, then turns CMY into YCbCr: red is ink (0, 255, 255, 0), stored (179, 171, 1, 255). Pillow
    # writes CMYK only, each sample inverted; the transform byte of its Adobe marker makes it YCCK.
    content = encoded(Image.new("CMYK", (16, 16), (255 - 179, 255 - 171, 255 - 1, 0)), "JPEG", quality=100)
    marker = content.index(b"Adobe")
    assert content[marker + 11] == 0
    ycck = content[: marker + 11] + b"\x02" + content[marker + 12 :]
    assert np.abs(np.subtract(colour(ycck), RED)).max() <= 4


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG2000"])
def test_transparent_pixels_lie_on_white(file_format):
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.putpixel((2, 0), (0, 0, 0, 51))
    options = {"WEBP": {"lossless": True, "exact": True}}.get(file_format, {})
    content = encoded(picture, file_format, **options)
    assert [colour(content, (x, 0)) for x in range(3)] == [RED, WHITE, (204, 204, 204)]


def test_grey_with_alpha_lies_on_white():
    picture = Image.new("LA", (2, 1), (100, 255))
    picture.putpixel((1, 0), (100, 0))
    content = encoded(picture, "PNG")
    assert (colour(content), colour(content, (1, 0))) == ((100, 100, 100), WHITE)


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_transparent_palette_colour_lies_on_white(file_format):
    picture = Image.new("P", (2, 1), 1)
    picture.putpalette([9, 9, 9, 255, 0, 0])
    picture.putpixel((1, 0), 0)
    content = encoded(picture, file_format, transparency=0)
    assert (colour(content), colour(content, (1, 0))) == (RED, WHITE)


def test_a_palette_with_graded_transparency_lies_on_white():
    picture = Image.new("P", (2, 1), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.putpixel((1, 0), 0)
    content = encoded(picture, "PNG", transparency=bytes([51, 255]))
    assert (colour(content), colour(content, (1, 0))) == (RED, (204, 204, 204))


@pytest.mark.parametrize(("mode", "transparent", "other"), [("L", 5, 6), ("RGB", (5, 5, 5), (6, 6, 6))])
def test_a_transparent_colour_named_in_a_png_lies_on_white(mode, transparent, other):
    picture = Image.new(mode, (2, 1), transparent)
    picture.putpixel((1, 0), other)
    content = encoded(picture, "PNG", transparency=transparent)
    assert (colour(content), colour(content, (1, 0))) == (WHITE, (6, 6, 6))


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha_lies_on_white(mode):
    from warmstart.data.memory import in_memory

    plain = Image.new({"La": "LA", "RGBa": "RGBA"}[mode], (1, 1), {"La": (0, 51), "RGBa": (0, 0, 0, 51)}[mode])
    assert in_memory(plain.convert(mode)).getpixel((0, 0)) == (204, 204, 204)


GREY_16 = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_keeps_its_upper_byte(file_format):
    picture = Image.fromarray(GREY_16.astype(np.int32), "I") if file_format == "PPM" else Image.fromarray(GREY_16)
    row = np.asarray(decode(encoded(picture, file_format)))[0]
    assert row[:, 0].tolist() == [0, 0, 1, 128, 255]
    assert np.array_equal(row[:, 0], row[:, 2])


def png(width, height, depth, colour_type, rows, *, extra=b""):
    """A PNG from raw rows, for what Pillow cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_16_bit_colour_keeps_its_upper_byte():
    assert colour(png(1, 1, 16, 2, [struct.pack(">HHH", 65535, 32768, 255)])) == (255, 128, 0)


def test_16_bit_colour_with_alpha_lies_on_white():
    assert colour(png(1, 1, 16, 6, [struct.pack(">HHHH", 0, 0, 0, 0)])) == WHITE


def test_a_transparent_16_bit_grey_lies_on_white():
    transparency = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 700)
    transparency += struct.pack(">I", zlib.crc32(transparency[4:]))
    content = png(3, 1, 16, 0, [struct.pack(">HHH", 700, 701, 65535)], extra=transparency)
    assert (colour(content), colour(content, (1, 0))) == (WHITE, (2, 2, 2))


def tiff(bits, photometric, pixels, *, width, tags=()):
    """An uncompressed little-endian grey TIFF of one row."""
    entries = [(256, 3, width), (257, 3, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, None), (277, 3, 1)]
    entries += [(278, 3, 1), (279, 4, len(pixels)), *tags]
    start = 8 + 2 + 12 * len(entries) + 4
    body = b"".join(struct.pack("<HHII", tag, kind, 1, start if v is None else v) for tag, kind, v in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0) + pixels


def test_12_bit_grey_keeps_its_upper_8_bits():
    pixels = bytes([0xFF, 0xF8, 0x00])  # 4095, 2048
    row = np.asarray(decode(tiff(12, 1, pixels, width=2)))[0, :, 0]
    assert row.tolist() == [255, 128]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_in_which_white_is_zero_is_not_a_negative(bits):
    pixels = np.array([0, (1 << bits) - 1], dtype=f"u{bits // 8}").tobytes()
    assert np.asarray(decode(tiff(bits, 0, pixels, width=2)))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25, 0.5, 0.75], [0, 128, 255]),
        ([-1000.0, 0.0, 3000.0], [0, 64, 255]),
        ([np.nan, 1.0, 2.0], [0, 0, 255]),
        ([np.inf, 1.0, 2.0], [0, 0, 255]),
        ([np.nan, np.nan, np.inf], [0, 0, 0]),
        ([5.0, 5.0, 5.0], [0, 0, 0]),
    ],
)
def test_floating_point_grey_is_stretched_over_its_finite_values(values, expected):
    content = encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert np.asarray(decode(content))[0, :, 0].tolist() == expected


def test_32_bit_grey_is_stretched():
    content = encoded(Image.fromarray(np.array([[-(2**31), 0, 2**31 - 1]], dtype=np.int32), "I"), "TIFF")
    assert np.asarray(decode(content))[0, :, 0].tolist() == [0, 128, 255]


def test_a_variant_of_a_known_format_that_pillow_lacks_is_named_as_unsupported():
    kind, message = kind_of(tiff(64, 1, b"\0" * 16, width=2))
    assert kind == "unsupported"
    assert "save it again as" in message


# ---- orientation ----


def with_orientation(photo, orientation, file_format, **options):
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(photo, file_format, exif=exif, **options)


def as_stored(photo, orientation):
    """How a camera held in this orientation stores the upright picture: the inverse turn."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return photo.transpose(turns[orientation]) if orientation in turns else photo


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_comes_out_upright(file_format, orientation, photo, tmp_path):
    options = {"lossless": True} if file_format == "WEBP" else {"quality": 95} if file_format == "JPEG" else {}
    content = with_orientation(as_stored(photo, orientation), orientation, file_format, **options)
    picture = decode(content)
    assert picture.size == photo.size
    assert np.abs(np.asarray(picture, dtype=int) - np.asarray(photo, dtype=int)).mean() < 2
    path = tmp_path / "picture"
    path.write_bytes(content)
    header = read_header(path)
    assert (header.width, header.height, header.orientation) == (96, 64, orientation)


def test_the_result_carries_no_orientation_that_could_be_applied_twice(photo):
    assert decode(with_orientation(photo, 6, "JPEG")).getexif() == {}


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_nonsense_orientation_is_upright(orientation, photo):
    assert decode(with_orientation(photo, orientation, "JPEG")).size == photo.size


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 60))
def test_a_damaged_exif_block_neither_stops_nor_warns(noise, cut):
    exif = Image.Exif()
    exif[274], exif[282] = 1, 72.0
    block = exif.tobytes()
    content = encoded(Image.new("RGB", (8, 8), RED), "JPEG", quality=95, exif=block[:cut] + noise)
    assert decode(content).mode == "RGB"


# ---- scaled decoding ----


@pytest.mark.parametrize(
    ("shorter_side_px", "expected"),
    [(None, (1600, 1200)), (601, (1600, 1200)), (600, (1600, 1200)), (300, (800, 600)), (256, (800, 600)), (75, (200, 150))],
)
def test_jpeg_is_decoded_at_the_smallest_scale_with_twice_the_needed_side(shorter_side_px, expected):
    content = encoded(Image.new("RGB", (1600, 1200), RED), "JPEG")
    assert decode(content, shorter_side_px=shorter_side_px).size == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 400))
def test_scaled_decoding_never_goes_below_twice_the_needed_side(width, height, needed):
    size = decode(encoded(Image.new("L", (width, height)), "JPEG"), shorter_side_px=needed).size
    assert min(size) >= min(2 * needed, width, height)


def test_scaled_decoding_of_a_turned_picture_keeps_it_upright(photo):
    big = photo.resize((960, 640))
    content = with_orientation(as_stored(big, 6), 6, "JPEG", quality=95)
    small = decode(content, shorter_side_px=40)
    assert small.size == (120, 80)
    assert np.abs(np.asarray(small, dtype=int) - np.asarray(big.resize((120, 80)), dtype=int)).mean() < 2


# ---- bad input ----


@pytest.mark.parametrize("file_format", LOSSLESS + LOSSY)
def test_a_file_cut_anywhere_is_named_or_still_whole(file_format, photo):
    content = encoded(photo, file_format)
    whole = np.asarray(decode(content))
    for cut in {1, 4, 20, 60, len(content) - 1, *range(1, len(content), max(1, len(content) // 40))}:
        picture, kind = outcome(content[:cut])
        if picture is None:
            assert kind in {"truncated", "not-a-picture"}, f"cut at {cut} of {len(content)}"
        else:
            assert np.array_equal(picture, whole), f"cut at {cut} of {len(content)}: decoded into something else"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM"]), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_gives_a_picture_or_a_picture_error_never_anything_else(file_format, position, noise):
    content = encoded(Image.linear_gradient("L").resize((24, 16)).convert("RGB"), file_format)
    position %= len(content)
    picture, kind = outcome(content[:position] + noise + content[position + len(noise) :], max_pixels=10**6)
    assert kind is not None or picture.mode == "RGB"


def test_a_picture_of_900_megapixels_is_refused_from_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(30_000, 30_000, 8, 2, [b""]))
    limit = Image.MAX_IMAGE_PIXELS
    kind, message = kind_of(path)
    assert kind == "too-large"
    assert "30,000 × 30,000" in message
    assert "bomb.png" in message
    with pytest.raises(PictureError, match="30,000 × 30,000"):
        read_header(path)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("file_format", LOSSLESS + LOSSY)
def test_the_size_limit_holds_in_every_format(file_format, photo):
    content = encoded(photo, file_format)
    assert kind_of(content, max_pixels=96 * 64 - 1)[0] == "too-large"
    assert decode(content, max_pixels=96 * 64).size == (96, 64)


def test_a_telephone_picture_of_108_megapixels_passes_without_a_warning():
    content = encoded(Image.new("L", (12_000, 9_000)), "JPEG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(content, shorter_side_px=64).size == (1500, 1125)


def test_text_that_is_called_jpg_is_no_picture(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("GIF of a cat, P5 and BMW")
    kind, message = kind_of(path)
    assert kind == "not-a-picture"
    assert "notes.jpg" in message
    assert "expected JPEG" in message


@pytest.mark.parametrize(
    "content", [b"BMW, Audi and other cars of 1999", b"P1 is where we park", b"II. Chapter", b"<html></html>"]
)
def test_text_that_begins_like_a_picture_is_no_picture(content):
    assert kind_of(content)[0] == "not-a-picture"


UNSUPPORTED = {
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "jpeg-xl": b"\xff\x0a\x00\x00",
    "svg": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "pdf": b"%PDF-1.7\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "photoshop": b"8BPS\0\1",
    "camera-raw": b"II*\0\x10\0\0\0CR\x02\0",
    "dicom": b"\0" * 128 + b"DICM",
    "openexr": b"\x76\x2f\x31\x01\x02\0\0\0",
    "icon": b"\0\0\1\0\1\0\x10\x10",
    "video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
}


def test_every_unreadable_format_has_an_example_here():
    assert set(UNSUPPORTED) == set(UNREADABLE)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_known_but_unreadable_format_is_named_with_its_cure(name):
    kind, message = kind_of(UNSUPPORTED[name], name="pictures/x.jpg")
    assert kind == "unsupported"
    assert name in message
    assert "'pictures/x.jpg'" in message
    assert UNREADABLE[name] in message


def test_avif_under_the_common_brand_is_not_taken_for_heic():
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "avif"
    assert sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic") == "heic"


def test_a_raw_file_whose_first_page_is_a_thumbnail_is_not_taken_for_the_picture():
    content = tiff(8, 1, b"\0\0", width=2, tags=[(254, 4, 1)])
    kind, message = kind_of(content)
    assert kind == "unsupported"
    assert "preview" in message


@pytest.mark.parametrize("function", [decode, read_header, digest_file])
def test_what_the_file_system_answers_is_named(function, tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    cases = {empty: "empty", tmp_path / "no\nsuch 'file'.jpg": "missing", tmp_path: "not-a-file", "nul\0.jpg": "missing"}
    for path, kind in cases.items():
        with pytest.raises(PictureError) as caught:
            function(path)
        assert caught.value.kind == kind
        assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize("function", [decode, read_header, digest_file])
def test_a_link_to_itself_is_missing(function, tmp_path):
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    with pytest.raises(PictureError, match="leads back"):
        function(loop)


@pytest.mark.parametrize("function", [decode, read_header, digest_file])
def test_a_file_that_may_not_be_read_is_named(function, unprivileged, photo):
    path = unprivileged / "secret.png"
    photo.save(path)
    path.chmod(0)
    with pytest.raises(PictureError) as caught:
        function(path)
    assert caught.value.kind == "permission"


def test_a_pipe_is_no_picture_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert kind_of(tmp_path / "pipe.jpg")[0] == "not-a-file"


def test_no_bytes_are_no_picture():
    assert kind_of(b"") == ("empty", "a picture of 0 bytes holds 0 bytes, expected a picture: copy it again from its source")


# ---- resources ----


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_no_file_stays_open_after_success_or_failure(photo, tmp_path):
    good, broken, multi = tmp_path / "good.jpg", tmp_path / "broken.jpg", tmp_path / "multi.tif"
    photo.save(good)
    broken.write_bytes(good.read_bytes()[:400])
    photo.save(multi, save_all=True, append_images=[photo], compression="tiff_lzw")
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = [decode(good), decode(multi), read_header(good), read_header(multi)]
    with pytest.raises(PictureError, match="damaged"):
        decode(broken)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert kept[0].size == (96, 64)


def test_many_threads_decode_the_same_as_one(photo):
    contents = [encoded(photo.rotate(angle), form) for angle in range(0, 90, 15) for form in ("JPEG", "PNG", "TIFF", "WEBP")]
    alone = [np.asarray(decode(content)) for content in contents]
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait()
        return [np.asarray(decode(content)) for content in contents]

    with ThreadPoolExecutor(4) as pool:
        for together in pool.map(work, range(4)):
            assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


# ---- digests ----


def test_a_digest_is_blake2b_128_of_the_bytes_however_it_is_read(tmp_path):
    # b2sum --length 128 of 'abc'
    assert digest(b"abc").hex() == "cf4ab791c62b8d2b2109c90275287816"
    path = tmp_path / "abc"
    path.write_bytes(b"abc" * 100_000)
    assert digest_file(path) == digest(path.read_bytes())
