"""PNG: its chunks, their checksums, its rows, its frames. Source: PNG Specification, third edition (W3C 2025)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from PIL import Image

from warmstart.data.structure import Structure, decode_bytes, too_much

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Every other chunk can be left out: also APNG's own, for the first picture is in IDAT.
_DECISIVE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_NOTES = frozenset({b"sBIT", b"eXIf"})  # how many bits were meant, which way is up: kept where they are sound
_NOTE_BYTES = 1 << 16  # as much as a JPEG has room for

_PALETTE = 3
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first column, first row, step of columns, step of rows (section 8.1).
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_FED_BYTES, _TAKEN_BYTES = 1 << 16, 1 << 18


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    length: int
    body: memoryview
    whole: bool  # the file does not end inside
    sound: bool  # its checksum is right, where it matters and is there


def examine_png(data: bytes, *, deep: bool = True) -> Structure:
    """Damage is a wrong checksum of a chunk that decides pixels, or a row that is not there (which only inflating tells: ``deep``).

    A wrong checksum elsewhere costs nothing, nor does a missing end behind the last row: nothing of the picture is lost. An APNG has
    as many pages as frames, and one more if its still picture is not one of them.
    """
    header: tuple[int, ...] | None = None
    parts: list[memoryview] = []
    cut = False
    frames, still_is_a_frame, damage = 0, False, None
    for chunk in _chunks(data):
        if chunk.kind == b"IHDR" and len(chunk.body) >= 13:
            header = struct.unpack_from(">IIBBBBB", chunk.body)
        elif chunk.kind == b"IDAT":
            parts.append(chunk.body)
            cut |= not chunk.whole
        elif chunk.kind == b"fcTL":
            frames += 1
            still_is_a_frame |= not parts
        if not chunk.sound and chunk.kind in _DECISIVE:
            damage = damage or f"a checksum is wrong (of a chunk {chunk.kind.decode()})"
    pages = max(1, frames + (frames > 0 and not still_is_a_frame))
    if header is None:
        return Structure(pages=pages)
    width, height, depth, colour = header[:4]
    structure = Structure(
        pages=pages,
        width=width,
        height=height,
        decode_bytes=decode_bytes(
            width=width,
            height=height,
            channels=4 if colour == _PALETTE else _CHANNELS.get(colour, 4),  # a palette with transparency becomes RGBA
            depth_bits=depth,
        ),
    )
    if colour not in _CHANNELS or not structure.pixels or too_much(structure):
        return structure
    if damage is None and (deep or cut):
        damage = _missing_rows(parts, width, height, _CHANNELS[colour] * depth, interlaced=header[6] == 1, cut=cut)
    return replace(structure, damage=damage)


def essential_png(data: bytes) -> bytes:
    """The file with only the chunks that decide pixels and orientation, their checksums right; ``data`` itself if it is so already.

    Pillow refuses a picture for a text or a profile of over 1 MB, for a broken note of colour, and for a wrong checksum of either.
    """
    kept: list[bytes | memoryview] = [_SIGNATURE]
    changed = False
    for chunk in _chunks(data):
        note = chunk.kind in _NOTES and chunk.sound and chunk.whole and chunk.length <= _NOTE_BYTES
        if not (note or chunk.kind in _DECISIVE or chunk.kind == b"IEND"):
            changed = True
            continue
        changed |= not chunk.sound
        kept += (struct.pack(">I", chunk.length), chunk.kind, chunk.body)
        if chunk.whole:
            kept.append(struct.pack(">I", zlib.crc32(chunk.body, zlib.crc32(chunk.kind))))
    return b"".join(kept) if changed else data


def rows_may_be_missing(picture: Image.Image) -> bool:
    """Whether a PNG as Pillow decoded it, before any conversion, may lack rows: what was not there is zero.

    The cheap way to know for nearly every picture without ``deep``. Interlaced, every second row comes last.
    """
    width, height = picture.size
    if height == 1:  # interlaced, its columns come one after the other, and no row comes last
        return True
    rows = {height - 1, height - 1 - height % 2} - {-1}
    return any(not picture.crop((0, row, width, row + 1)).tobytes().strip(b"\0") for row in rows)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Up to and with IEND; what follows it is not of the picture. The last may be cut."""
    view, at = memoryview(data), len(_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = view[at + 8 : at + 8 + length]
        at += 12 + length
        whole = at <= len(data)
        sound = True
        if whole and (kind in _DECISIVE or kind in _NOTES or kind == b"IEND"):
            (said,) = struct.unpack_from(">I", data, at - 4)
            sound = zlib.crc32(body, zlib.crc32(kind)) == said
        yield _Chunk(kind, length, body, whole, sound)
        if kind == b"IEND":
            return


def _missing_rows(parts: list[memoryview], width: int, height: int, bits: int, *, interlaced: bool, cut: bool) -> str | None:
    row_bytes = 1 + ceil(width * bits / 8)
    expected = height * row_bytes
    if interlaced:
        expected = 0
        for x, y, dx, dy in _PASSES:
            columns, lines = ceil((width - x) / dx), ceil((height - y) / dy)
            if columns > 0 and lines > 0:
                expected += lines * (1 + ceil(columns * bits / 8))
    there, ended = _inflated(parts, expected)
    if there >= expected:
        # What stands behind a cut chunk may have been taken for pixels.
        return "it was cut off" if cut and not ended else None
    if interlaced:
        return f"{1 - there / expected:.0%} of its interlaced rows are missing"
    missing = height - there // row_bytes
    return f"its last {missing:,} of {height:,} rows are missing" if missing > 1 else "its last row is missing"


def _inflated(parts: list[memoryview], enough: int) -> tuple[int, bool]:
    """(how many bytes the parts inflate to, not counted far beyond ``enough``; whether zlib's own end and checksum are there)."""
    inflater, total = zlib.decompressobj(), 0
    try:
        for part in parts:
            for start in range(0, len(part), _FED_BYTES):  # small pieces: what is left over is copied at every turn
                piece: bytes | memoryview = part[start : start + _FED_BYTES]
                while piece and total <= enough and not inflater.eof:
                    total += len(inflater.decompress(piece, _TAKEN_BYTES))
                    piece = inflater.unconsumed_tail
    except zlib.error:
        pass
    return total, inflater.eof
