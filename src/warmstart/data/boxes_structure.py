"""JPEG 2000 and AVIF: boxes within boxes. Sources: ITU-T T.800 annexes A and I, ISO/IEC 14496-12 and 23008-12."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from warmstart.data.structure import Structure, decode_bytes, too_much

_ZEROS = bytes(128)  # measured on even, drawn and photographed pictures: at most 11 in JPEG 2000, 16 in AVIF
_HEADERS = {b"meta": 4}  # bytes of version and flags before the boxes inside


def examine_jpeg_2000(data: bytes) -> Structure:
    """Damage is a codestream without its end, or zeros where its codes should be. Pages are codestreams (of a JPX).

    There are no checksums: other bytes than zeros written over its middle are seen by nobody.
    """
    streams = (
        [(0, len(data))]
        if data.startswith(b"\xff\x4f")
        else [(start, end) for kind, start, end in _boxes(data, 0, len(data)) if kind == b"jp2c"]
    )
    if not streams:
        return Structure()
    start, end = streams[0]
    if start + 42 > len(data) or data[start + 2 : start + 4] != b"\xff\x51":
        return Structure(pages=len(streams))
    right, bottom, left, top, tile_width, tile_height, _, _, components = struct.unpack_from(">8IH", data, start + 8)
    width, height = max(0, right - left), max(0, bottom - top)
    columns, rows = min(width, tile_width), min(height, tile_height)
    tiles = ceil(width / columns) * ceil(height / rows) if columns and rows else 0
    structure = Structure(
        pages=len(streams),
        width=width,
        height=height,
        decode_bytes=decode_bytes(
            width=width,
            height=height,
            channels=min(components, 4),
            depth_bits=16 if components == 1 else 8,
            # OpenJPEG keeps a tile as 32-bit numbers, twice, and a few kilobytes for every tile and component of a tile.
            extra=8 * columns * rows * components + tiles * (5_700 + 1_100 * components),
        ),
    )
    if too_much(structure):
        return structure
    damage = None
    if end > len(data) or b"\xff\xd9" not in data[max(start, end - 64) : end]:
        damage = "it was cut off"
    elif data.find(_ZEROS, start, end) >= 0:
        damage = "a part of it holds only zeros"
    return replace(structure, damage=damage)


def examine_avif(data: bytes) -> Structure:
    """Damage is a box that goes beyond the end, or zeros where codes should be. Pages are the pictures of a sequence.

    There are no checksums: other bytes than zeros written over its middle are seen only if they break the syntax.
    """
    width = height = 0
    pages, damage = 1, None
    for kind, start, end in _boxes(data, 0, len(data)):
        if end > len(data):
            damage = "it was cut off"
        if kind == b"meta":
            for size_at, _ in _inside(data, start, min(end, len(data)), (b"iprp", b"ipco", b"ispe"), kind):
                if size_at + 12 <= len(data):
                    columns, rows = struct.unpack_from(">II", data, size_at + 4)
                    width, height = max(width, columns), max(height, rows)
        elif kind == b"moov":
            inner = (b"trak", b"mdia", b"minf", b"stbl", b"stsz")
            for count_at, _ in _inside(data, start, min(end, len(data)), inner, kind):
                if count_at + 12 <= len(data):
                    pages = max(pages, min(struct.unpack_from(">I", data, count_at + 8)[0], len(data)))
        elif kind == b"mdat" and data.find(_ZEROS, start, end) >= 0:
            damage = damage or "a part of it holds only zeros"
    structure = Structure(
        pages=pages,
        width=width,
        height=height,
        # libavif keeps up to four planes of 16 bits, and the picture once more as RGBA.
        decode_bytes=decode_bytes(width=width, height=height, channels=4, depth_bits=8, extra=12 * width * height),
    )
    return structure if too_much(structure) else replace(structure, damage=damage)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, where its content begins, where it ends), one after another; an end may lie beyond the file's."""
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            if at + 16 > end:
                return
            (size,) = struct.unpack_from(">Q", data, at + 8)
            start = at + 16
        elif size == 0:
            size = end - at
        if size < start - at:
            return
        yield kind, start, at + size
        at += size


def _inside(data: bytes, start: int, end: int, path: tuple[bytes, ...], parent: bytes) -> Iterator[tuple[int, int]]:
    """The boxes at the end of ``path``; boxes cannot overlap, so that the work grows with the bytes alone."""
    level = [(start + _HEADERS.get(parent, 0), end)]
    for kind in path:
        level = [
            (inner, min(inner_end, outer_end))
            for outer, outer_end in level
            for found, inner, inner_end in _boxes(data, outer, outer_end)
            if found == kind
        ]
    yield from level
