import io
import itertools
import random
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from warmstart.data.decoding import decode
from warmstart.data.examination import essential, examine
from warmstart.data.formats import READABLE, sniff
from warmstart.data.jpeg_decoding import decode_strictly
from warmstart.data.png_structure import rows_may_be_missing
from warmstart.data.structure import MAX_DECODE_BYTES, Structure, decode_bytes, too_much
from warmstart.errors import PictureError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# (format, modes, options): what Pillow writes and people have.
WAYS = [
    *(("JPEG", ("L", "RGB", "CMYK"), {"quality": quality}) for quality in (5, 75, 100)),
    *(("JPEG", ("RGB",), {"subsampling": subsampling}) for subsampling in (0, 1, 2)),
    *(("JPEG", ("L", "RGB", "CMYK"), {"progressive": True, "optimize": optimize}) for optimize in (False, True)),
    ("JPEG", ("L", "RGB"), {"optimize": True}),
    ("JPEG", ("RGB",), {"restart_marker_blocks": 1}),
    ("JPEG", ("RGB",), {"restart_marker_rows": 1, "comment": b"\xff\xd9 in a note"}),
    *(("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), {"compress_level": level}) for level in (0, 1, 9)),
    ("PNG", ("RGB", "P", "L"), {"optimize": True}),
    ("GIF", ("L", "P", "RGB"), {}),
    ("GIF", ("P",), {"interlace": 0}),
    ("BMP", ("1", "L", "P", "RGB", "RGBA"), {}),
    ("PPM", ("1", "L", "RGB", "I;16"), {}),
    *(
        ("TIFF", ("L", "P", "RGB", "RGBA", "CMYK", "I;16"), {"compression": compression})
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd")
    ),
    *(("TIFF", ("1",), {"compression": compression}) for compression in ("group3", "group4")),
    ("TIFF", ("1", "F", "I"), {}),
    ("TIFF", ("L", "RGB"), {"compression": "jpeg"}),
    ("TIFF", ("RGB",), {"big_tiff": True}),
    ("WEBP", ("RGB", "RGBA"), {"quality": 50}),
    ("WEBP", ("RGB", "RGBA"), {"lossless": True}),
    ("JPEG2000", ("L", "RGB", "RGBA"), {}),
    ("JPEG2000", ("RGB",), {"irreversible": True, "quality_layers": [30], "tile_size": (32, 32)}),
    ("JPEG2000", ("RGB",), {"no_jp2": True}),
    *([("AVIF", ("RGB", "RGBA"), {"quality": 50, "speed": 10})] if features.check("avif") else []),
]
KINDS = [(file_format, mode, options) for file_format, modes, options in WAYS for mode in modes]


def encoded(picture, file_format, **options):
    file = io.BytesIO()
    picture.save(file, format=file_format, **options)
    return file.getvalue()


def drawn(mode, width, height, what, seed=0):
    """A picture of noise, of one colour, of a gradient, or noise above a plain black or white bottom."""
    values = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    pixels = values.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if what == "gradient":
        pixels[:] = ((x * 5 + y * 3) % 256)[..., None] // np.array([1, 2, 3, 4])
    elif what != "noise":
        pixels[0 if what in ("black", "white") else height // 3 :] = 0 if "black" in what else 255
    if mode == "I;16":
        return Image.fromarray(pixels.view(np.uint16)[..., 0])
    if mode in ("F", "I"):
        return Image.fromarray(pixels[..., 0].astype(np.float32 if mode == "F" else np.int32))
    return Image.fromarray(pixels, "RGBA").convert(mode)


def found(data, **options):
    return examine(data, sniff(data[:512]), **options)


def pixels_of(data):
    """What is shown of the essential bytes; None if they are refused."""
    try:
        return np.asarray(decode(essential(data, sniff(data[:512]))))
    except PictureError:
        return None


def chunk(kind, body, *, wrong=False):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ wrong)


def chunks(png):
    at = 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def png_of(*parts):
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def ihdr(width, height, depth=8, colour=2, interlaced=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def tiff_with(tiff, *notes, at_the_front=False):
    """The same classic little-endian TIFF with more entries (tag, type, count, value) in its directory, moved to its end or front."""
    (at,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    entries = [struct.unpack_from("<HHII", tiff, at + 2 + 12 * number) for number in range(count)]
    entries = sorted([*entries, *notes], key=lambda entry: entry[0])
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    if not at_the_front:
        return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + directory
    arrays, shift = b"", 8 + len(directory)
    moved = []
    for tag, kind, values, value in entries:
        size = values * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind]
        body = tiff[value : value + size] if size > 4 else struct.pack("<I", value)
        if tag == 273:  # offsets
            body = struct.pack(f"<{values}I", *(struct.unpack_from(f"<{values}{'H' if kind == 3 else 'I'}", body)))
            size, kind = 4 * values, 4
        moved.append([tag, kind, values, body, size])
    shift += sum(len(body) for *_, body, size in moved if size > 4)
    out = []
    for tag, kind, values, body, size in moved:
        if tag == 273:
            body = struct.pack(f"<{values}I", *(offset + shift for offset in struct.unpack(f"<{values}I", body)))
        out.append(
            struct.pack("<HHI", tag, kind, values) + (struct.pack("<I", 8 + len(directory) + len(arrays)) if size > 4 else body)
        )
        arrays += body if size > 4 else b""
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(out)) + b"".join(out) + bytes(4) + arrays + tiff


# ---- whole pictures ----


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    what=st.sampled_from(["noise", "gradient", "black", "white", "black below", "white below"]),
)
def test_whatever_pillow_writes_is_whole_and_one_page(kind, width, height, what):
    file_format, mode, options = kind
    picture = drawn(mode, width, height, what)
    data = encoded(picture, file_format, **options)
    structure = found(data)
    assert (structure.damage, structure.pages, too_much(structure)) == (None, 1, None)
    assert (structure.width, structure.height) == (width, height)
    assert (pixels_of(data) == np.asarray(decode(data))).all()


@pytest.mark.parametrize("size", [600, 1500])
@pytest.mark.parametrize("what", ["black", "white", "black below", "gradient"])
@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "JPEG2000", "PNG", "BMP"] + ["AVIF"] * features.check("avif"))
def test_large_even_areas_are_no_damage(file_format, what, size):
    options = {"optimize": True} if file_format == "JPEG" else {"speed": 10} if file_format == "AVIF" else {}
    assert found(encoded(drawn("RGB", size, size, what), file_format, **options)).damage is None


def test_what_is_drawn_on_black_is_no_hole():
    canvas = np.zeros((90, 90, 3), dtype=np.uint8)
    canvas[10:60, 20:50] = np.random.default_rng(0).integers(1, 256, (50, 30, 3))
    for file_format, options in (("BMP", {}), ("PPM", {}), ("TIFF", {})):
        assert found(encoded(Image.fromarray(canvas), file_format, **options)).damage is None


@pytest.mark.parametrize(
    "trailer", [b"\0" * 5000, b"MotionPhoto_Data" + bytes(range(256)) * 9, b"\xff\xd8\xff\xe0 and a second"]
)
def test_bytes_behind_the_end_of_a_jpeg_are_no_damage(trailer, photo):
    assert found(encoded(photo, "JPEG") + trailer).damage is None


def test_a_jpeg_without_its_end_mark_or_with_filling_is_whole(photo):
    data = encoded(photo, "JPEG", quality=90)
    assert found(data[:-2]).damage is None
    assert found(data[:-2] + b"\0\0\0\0\xff\xd9").damage is None
    assert found(data[:-2] + b"\xff\xff\xff\xd9").damage is None


def test_a_png_without_its_end_is_whole(photo):
    data = encoded(photo, "PNG")
    assert found(data[:-12]).damage is None


@pytest.mark.skipif(not DATA.is_dir(), reason="the photographs of ../shared are not here")
def test_photographs_of_telephones_and_the_web_are_whole():
    paths = [*sorted((DATA / "clothing").rglob("*.jpg"))[::40], *sorted((DATA / "coco-mini").rglob("*.jpg"))[::4]]
    paths += sorted((DATA / "piped").rglob("*.bmp"))[::20]
    assert len(paths) > 100
    assert [str(path) for path in paths if found(path.read_bytes()).damage is not None] == []


# ---- damage ----


def closed(data, file_format):
    """A cut file as a careless tool would put it right."""
    if file_format == "JPEG":
        return data + b"\xff\xd9"
    if file_format == "PNG":
        return data + chunk(b"IEND", b"")
    if file_format == "GIF":
        return data + b"\0;"
    if file_format == "WEBP" and len(data) > 8:
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    return data


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(KINDS), what=st.sampled_from(["noise", "gradient"]), cut=st.floats(0, 1), close=st.booleans())
def test_a_cut_file_is_damaged_or_refused_or_shows_the_whole_picture(kind, what, cut, close):
    file_format, mode, options = kind
    whole = encoded(drawn(mode, 61, 53, what), file_format, **options)
    data = whole[: int(cut * len(whole))]
    data = closed(data, file_format) if close else data
    if sniff(data[:512]) != sniff(whole[:512]) or found(data).damage is not None:
        return
    shown = pixels_of(data)
    assert shown is None or (shown.shape == (53, 61, 3) and (shown == pixels_of(whole)).all())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_was_cut_and_closed_zeroed_or_lost_a_piece_is_damaged(options, share):
    picture = drawn("RGB", 200, 160, "noise")
    data = encoded(picture, "JPEG", **options)
    at = int(share * len(data))
    assert "end" in found(data[:at] + b"\xff\xd9").damage or "scan" in found(data[:at] + b"\xff\xd9").damage
    assert found(data[:at] + bytes(len(data) - at)).damage is not None
    assert found(data[:at] + bytes(len(data) - at - 2) + b"\xff\xd9").damage is not None
    assert found(data[: at - 2048] + data[at:]).damage is not None
    assert found(data[: at - 2048] + bytes(2048) + data[at:]).damage is not None


def test_a_progressive_jpeg_with_its_first_scans_only_is_damaged(photo):
    data = encoded(photo, "JPEG", progressive=True)
    scans = found(data).scans
    assert scans == 10
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(starts) == scans
    for kept in range(1, scans):
        damage = found(data[: starts[kept]] + b"\xff\xd9").damage
        assert damage == ("only its first scan is there" if kept == 1 else f"only the first {kept} of its scans are there")


@settings(max_examples=100, deadline=None)
@example(2, 1, (2, 3), True, 0.5)
@given(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from([(2, 3), (0, 1), (3, 1), (6, 4)]), st.booleans(), st.floats(0, 1)
)
def test_where_rows_are_missing_the_decoded_picture_gives_a_sign(width, height, colour, interlaced, share):
    kind, channels = colour
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes] if interlaced else [(width, height)]
    rows = b"".join((b"\0" + b"\7" * columns * channels) * lines for columns, lines in sizes if columns > 0 and lines > 0)
    cut = rows[: int(share * len(rows))]
    palette = chunk(b"PLTE", bytes(24)) if kind == 3 else b""
    data = png_of(
        ihdr(width, height, colour=kind, interlaced=int(interlaced)),
        palette,
        chunk(b"IDAT", zlib.compress(cut)),
        chunk(b"IEND", b""),
    )
    with Image.open(io.BytesIO(data)) as picture:
        try:
            picture.load()
        except OSError:
            return
        missing = found(data).damage is not None
        assert missing == (len(cut) < len(rows))
        assert not missing or rows_may_be_missing(picture)


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_with_rows_missing_is_damaged(interlaced):
    rows = zlib.compress(bytes(31) * 10 * (1 if interlaced else 2))
    data = png_of(ihdr(10, 40, interlaced=interlaced), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    missing = "% of its interlaced rows are missing" if interlaced else "its last 20 of 40 rows are missing"
    assert missing in found(data).damage


def test_a_png_with_a_wrong_checksum_is_damaged_only_where_pixels_are(photo):
    parts = list(chunks(encoded(photo.quantize(16), "PNG")))
    for wrong in (b"IHDR", b"PLTE", b"IDAT"):
        data = png_of(*(chunk(kind, body, wrong=kind == wrong) for kind, body in parts))
        assert found(data).damage == f"a checksum is wrong (of a chunk {wrong.decode()})"
        assert pixels_of(data) is not None  # whoever keeps damaged pictures can still have it
    data = png_of(
        *itertools.chain.from_iterable((chunk(kind, body), chunk(b"tEXt", b"k\0v", wrong=True)) for kind, body in parts)
    )
    assert found(data).damage is None
    assert (pixels_of(data) == np.asarray(photo.quantize(16).convert("RGB"))).all()


@pytest.mark.parametrize(("file_format", "size"), [("BMP", 90), ("PPM", 90), ("TIFF", 90), ("WEBP", 300), ("JPEG2000", 300)])
def test_holes_of_zeros_are_damage(file_format, size):
    data = encoded(drawn("RGB", size, size, "noise"), file_format)
    at = len(data) // 2 + 50
    assert "zeros" in found(data[:at] + bytes(len(data) - at - 8) + data[-8:]).damage
    assert "zeros" in found(data[:at] + bytes(4096) + data[at + 4096 :]).damage


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits"])
def test_a_tiff_whose_strips_lie_behind_its_end_is_damaged(compression):
    data = tiff_with(encoded(drawn("RGB", 90, 90, "noise"), "TIFF", compression=compression), at_the_front=True)
    assert found(data).damage is None
    assert "behind its end: it was cut off" in found(data[: len(data) * 2 // 3]).damage


# ---- pages ----


def test_pages_are_counted():
    first, second = drawn("RGB", 40, 30, "noise"), drawn("RGB", 40, 30, "gradient")
    formats = [("GIF", {}), ("TIFF", {}), ("TIFF", {"big_tiff": True}), ("PNG", {}), ("WEBP", {}), ("MPO", {})]
    formats += [("AVIF", {"speed": 10})] * features.check("avif")
    for file_format, options in formats:
        data = encoded(first, file_format, save_all=True, append_images=[second, first.rotate(90)], **options)
        assert (found(data).pages, found(data).damage) == (3, None), file_format
    still = encoded(first, "PNG", save_all=True, append_images=[second], default_image=True)
    assert found(still).pages == 2


def test_previews_masks_and_gain_maps_are_no_pages():
    first = drawn("RGB", 40, 30, "noise")
    for tag, value in ((254, 1), (254, 4), (255, 2)):
        preview = first.resize((20, 15))
        preview.encoderinfo = {"tiffinfo": {tag: value}}
        assert found(encoded(first, "TIFF", save_all=True, append_images=[preview])).pages == 1
    smaller = encoded(first, "MPO", save_all=True, append_images=[first.resize((20, 15))])
    assert found(smaller).pages == 1
    gain_map = encoded(first, "MPO", save_all=True, append_images=[first], xmp=b'<x hdrgm:Version="1.0"/>')
    assert found(gain_map).pages == 1


# ---- metadata never costs a picture ----


def with_segments(jpeg, *segments):
    return jpeg[:2] + b"".join(marker + struct.pack(">H", len(body) + 2) + body for marker, body in segments) + jpeg[2:]


@pytest.mark.parametrize(
    "note",
    [
        chunk(b"tEXt", b"key\0" + b"x" * (2 << 20)),
        chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(64 << 20))),
        chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(8 << 20))),
        chunk(b"iCCP", b"name\0\7what"),
        chunk(b"iCCP", b""),
        chunk(b"gAMA", b"\1"),
        chunk(b"cHRM", b"\1"),
        chunk(b"pHYs", b"\1"),
        chunk(b"sRGB", b""),
        chunk(b"acTL", b"\1"),
        chunk(b"fcTL", b"\1"),
        chunk(b"tEXt", b"key\0value", wrong=True),
        chunk(b"eXIf", b"MM\0*" + bytes(100_000)),
        chunk(b"eXIf", b"II*\0\x08\0\0\0", wrong=True),
        chunk(b"sBIT", b"\x08\x08\x08", wrong=True),
        chunk(b"vpAg", bytes(range(256))),
    ],
    ids=lambda note: f"{note[4:8].decode()}-{len(note)}",
)
def test_no_note_in_a_png_costs_the_picture(note, photo):
    parts = [chunk(kind, body) for kind, body in chunks(encoded(photo, "PNG"))]
    for data in (png_of(parts[0], note, *parts[1:]), png_of(*parts[:-1], note, parts[-1])):
        assert found(data).damage is None
        assert (pixels_of(data) == np.asarray(photo)).all()


@pytest.mark.parametrize(
    "segments",
    [
        [(b"\xff\xe2", b"ICC_PROFILE\0")],
        [(b"\xff\xe2", b"ICC_PROFILE\0\x02\x05some"), (b"\xff\xe2", b"ICC_PROFILE\0\x02\x05some")],
        [(b"\xff\xe1", b"Exif\0\0II*\0\xff\xff\xff\xff")],
        [(b"\xff\xe1", b"Exif\0\0")],
        [(b"\xff\xe0", b"JFIF\0")],
        [(b"\xff\xee", b"Adobe")],
        [(b"\xff\xed", b"Photoshop 3.0\x008BIM\x03\xed\xff")],
        [(b"\xff\xed", b"Photoshop 3.0\x008BIM\x03\xed\x00\x00\x00\x00\x00\x02ab")],
        [(b"\xff\xe2", b"MPF\0II*\0\x08\0\0\0\xff\xff")],
        [(b"\xff\xfe", b"note" * 9000)] * 40,
        [(b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0\xff\xfe")],
    ],
)
def test_no_note_in_a_jpeg_costs_the_picture(segments, photo):
    data = encoded(photo, "JPEG")
    noted = with_segments(data, *segments)
    assert (found(noted).damage, found(noted).pages) == (None, 1)
    assert (pixels_of(noted) == pixels_of(data)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_no_note_in_a_tiff_costs_the_picture_or_warns(mode, compression):
    if mode == "CMYK" and compression == "jpeg":
        pytest.skip("Pillow writes no such file")
    data = encoded(drawn(mode, 50, 40, "noise"), "TIFF", compression=compression)
    behind = len(data) + 1_000_000
    notes = [
        (tag, kind, 1 << 20, behind) for tag in (305, 700, 33723, 34665, 34675, 34853, 37724, 50838) for kind in (2, 4, 7, 99)
    ]
    notes += [(34853, 4, 1, 8), (34665, 4, 1, behind), (700, 7, 1 << 31, 8), (277, 4, 1, 3 if mode == "RGB" else 1)][
        : 4 - (mode != "L")
    ]
    noted = tiff_with(data, *notes)
    assert found(noted).damage is None
    assert (pixels_of(noted) == pixels_of(data)).all()


def test_broken_notes_of_other_formats_cost_nothing(photo):
    bmp = bytearray(encoded(photo, "BMP"))
    struct.pack_into("<I", bmp, 34, 123_456_789)  # biSizeImage
    struct.pack_into("<I", bmp, 2, 1)  # bfSize
    assert found(bytes(bmp)).damage is None
    assert (pixels_of(bytes(bmp)) == pixels_of(encoded(photo, "BMP"))).all()
    for file_format, options in (("WEBP", {"exif": b"Exif\0\0broken"}), ("GIF", {"comment": b"\0" * 70_000})):
        data = encoded(photo, file_format, **options)
        assert found(data).damage is None
        assert (pixels_of(data) == pixels_of(encoded(photo, file_format))).all()


def test_what_decides_pixels_or_orientation_is_kept(photo):
    exif = Image.Exif()
    exif[274] = 6
    for file_format in ("JPEG", "PNG", "TIFF"):
        data = encoded(photo, file_format, exif=exif, icc_profile=b"p" * 3000)
        kept = Image.open(io.BytesIO(essential(data, sniff(data[:512]))))
        assert kept.getexif()[274] == 6
        assert "icc_profile" not in kept.info
    cmyk = encoded(photo.convert("CMYK"), "JPEG")
    assert (pixels_of(cmyk) == np.asarray(decode(cmyk))).all()
    clean = encoded(photo, "PNG")
    assert essential(clean, "png") is clean


# ---- bounds ----


def test_a_telephone_picture_of_108_megapixels_passes_in_the_dearest_way_to_write_it():
    width, height = 12_032, 9_024
    need = decode_bytes(width=width, height=height, channels=3, depth_bits=8, extra=2 * 3 * width * height)
    assert 1.4e9 < need < MAX_DECODE_BYTES
    assert too_much(Structure(width=width, height=height, decode_bytes=need, scans=17)) is None


def test_a_jpeg_of_thousands_of_scans_is_refused_by_name():
    data = encoded(drawn("RGB", 500, 500, "white"), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    structure = found(data[:-2] + last * 4000 + b"\xff\xd9")
    assert structure.scans == 4010
    assert too_much(structure) == "it is built up of 4,010 scans, expected at most 100 for its size"
    large = Structure(width=12_000, height=9_000, scans=30)
    assert too_much(large) == "it is built up of 30 scans, expected at most 20 for its size"


def test_a_line_of_49_million_pixels_is_refused_by_name():
    data = png_of(ihdr(49_000_000, 1, colour=0), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    assert "49,000,000 × 1 pixels" in too_much(found(data))


def tiff_of(**tags):
    body = b"".join(
        struct.pack("<HHII", int(tag[1:]), 4, 1, value) for tag, value in sorted(tags.items(), key=lambda t: int(t[0][1:]))
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + bytes(4)


@pytest.mark.parametrize(
    "data",
    [
        png_of(ihdr(30_000, 30_000, depth=16, colour=6), chunk(b"IEND", b"")),
        tiff_of(t256=8_000, t257=8_000, t258=32, t262=1, t273=8, t277=1, t279=10, t339=3),
        tiff_of(t256=16, t257=16, t258=8, t262=1, t277=1, t322=40_000, t323=40_000, t324=8, t325=10),
        b"P5 60000 60000 255\n",
        b"P2 60000 20000 255\n",
        b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 47, 0, 9_000, 9_000, 0, 0, 9_000, 9_000, 0, 0, 16_000),
        b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 47, 0, 9_000, 9_000, 0, 0, 1, 1, 0, 0, 3),
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(10),
        b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff\x3f\0" * 2 + bytes(4),
        b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 50_000, 50_000, 1, 24, 0) + bytes(20),
    ],
)
def test_what_would_take_gigabytes_is_refused_by_name(data):
    assert "GB of memory" in too_much(found(data.ljust(60, b"\0")))


def hostile(n):
    """Files of about n × 20 bytes whose structure asks for as many steps as bytes allow, or for more."""
    loop = tiff_of(t254=0, t256=9, t257=9)[:-4] + struct.pack("<I", 8)
    directories = bytearray(8 + 18 * n + 6)
    directories[:8] = b"II*\0\x08\0\0\0"
    for number in range(n):
        at = 8 + 18 * number
        struct.pack_into("<HHHIII", directories, at, 1, 256, 4, 1, 9, at + 18)
    yield "jpeg", encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)[:-2] + b"\xff\xda\0\x08\1\1\0\1\x3f\0" * n
    yield "jpeg", b"\xff\xd8" + b"\xff\xe0\0\2" * n
    yield "jpeg", b"\xff\xd8" + b"\xff\xd8" * n
    yield "jpeg", b"\xff\xd8" + b"\xff" * 20 * n
    yield "png", png_of(ihdr(9, 9), *[chunk(b"IDAT", b"")] * n)
    yield "png", png_of(ihdr(9, 9), *[chunk(b"tEXt", b"")] * n)
    yield "gif", b"GIF89a" + bytes([9, 0, 9, 0, 0, 0, 0, 0x21, 0xFE]) + b"\1a" * n
    yield "gif", b"GIF89a" + bytes([9, 0, 9, 0, 0, 0, 0]) + (b"," + bytes([0, 0, 0, 0, 9, 0, 9, 0, 0, 2, 0])) * n
    yield "webp", b"RIFF" + struct.pack("<I", 24 * n) + b"WEBP" + (b"ANMF" + bytes(4)) * n
    yield "tiff", loop
    yield "tiff", bytes(directories)
    yield "tiff", b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 700, 4, 1, 9) * n
    yield "jpeg-2000", b"\0\0\0\x0cjP  \r\n\x87\n" + (struct.pack(">I", 8) + b"jp2c") * n
    yield "avif", b"\0\0\0\x10ftypavif\0\0\0\0" + (struct.pack(">I", 12) + b"meta" + bytes(4)) * n
    yield "avif", b"\0\0\0\x10ftypavis\0\0\0\0" + (struct.pack(">I", 8) + b"moov") * n
    yield "pnm", b"P5 " + b"#\n" * n + b"9 9 255\n"
    yield "bmp", encoded(Image.new("RGB", (9, n)), "BMP")


def steps(work):
    """How many lines of Python the work runs through."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event == "line"
        return counted

    before = sys.gettrace()
    sys.settrace(counted)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("work", [examine, essential])
def test_twice_the_bytes_take_twice_the_steps(work):
    for (name, small), (_, large) in zip(hostile(1_000), hostile(2_000), strict=True):
        few, many = steps(lambda: work(small, name)), steps(lambda: work(large, name))  # noqa: B023 - called at once
        assert many <= 2.2 * few + 100, name
        assert many < 30 * len(large) + 3000, name


def test_strips_that_all_name_the_same_bytes_are_looked_at_once():
    n = 20_000
    count = 8 + 2 + 10 * 12 + 4
    body = [(256, 9), (257, n), (258, 8), (259, 4), (262, 1), (277, 1), (278, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in body)
    entries += struct.pack("<HHII", 273, 4, n, count) + struct.pack("<HHII", 279, 4, n, count + 4 * n)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 9) + entries
    data = data.ljust(count, b"\0") + struct.pack(f"<{n}I", *[count] * n) + struct.pack(f"<{n}I", *[8 * n] * n)
    assert steps(lambda: examine(data, "tiff")) < 10 * n


@pytest.mark.parametrize(
    "file_format", ["JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000"] + ["AVIF"] * features.check("avif")
)
def test_no_mutation_raises(file_format):
    kinds = [(mode, options) for name, mode, options in KINDS if name == file_format]
    sources = [encoded(drawn(mode, 40, 33, "gradient"), file_format, **options) for mode, options in kinds]
    dice = random.Random(file_format)
    for _ in range(170):
        data = bytearray(dice.choice(sources))
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(data)) if dice.random() < 0.5 else dice.randrange(min(len(data), 160))
            match dice.randrange(5):
                case 0:
                    data[at] = dice.randrange(256)
                case 1:
                    data[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1"])
                case 2:
                    del data[at : at + dice.randint(1, 200)]
                case 3:
                    data[at:at] = dice.randbytes(dice.randint(1, 50))
                case _:
                    data[at : at + 60] = data[dice.randrange(len(data)) :][:60]
            data = data or bytearray(b"\0")
        name = sniff(bytes(sources[0][:512]))
        structure = examine(bytes(data), name)
        assert structure.pages >= 1
        assert structure.scans >= 1
        assert structure.decode_bytes >= 0
        assert isinstance(essential(bytes(data), name), bytes)


@pytest.mark.parametrize("name", [*READABLE, "heic"])
@given(data=st.binary(max_size=80))
def test_any_bytes_are_examined(name, data):
    examine(data, name)
    essential(data, name)


# ---- strict decoding ----


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"keep_rgb": True}])
@pytest.mark.parametrize("size", [(97, 61), (800, 333), (1, 1), (16, 500)])
def test_strict_decoding_gives_pillows_pixels_to_the_bit(mode, options, size):
    data = encoded(drawn(mode, *size, "noise"), "JPEG", **options)
    for scale in (1, 2, 4, 8):
        picture = Image.open(io.BytesIO(data))
        if scale > 1 and min(size) >= scale:
            picture.draft(None, (size[0] // scale, size[1] // scale))
        if picture.size != (-(-size[0] // scale), -(-size[1] // scale)):
            continue
        assert np.array_equal(decode_strictly(data, scale=scale), np.asarray(picture.convert("RGB")))
    assert decode_strictly(data[: len(data) * 4 // 5] + b"\xff\xd9") is None or max(size) < 20


def test_strict_decoding_takes_a_whole_picture_without_its_end_mark_and_none_that_was_cut(photo):
    data = encoded(photo, "JPEG")
    assert np.array_equal(decode_strictly(data[:-2]), decode_strictly(data))
    for share in (0.5, 0.7, 0.9):
        assert decode_strictly(data[: int(share * len(data))]) is None
    assert decode_strictly(encoded(photo.convert("CMYK"), "JPEG")) is None
