"""Pictures that are plain rows of numbers: BMP and PNM, and what a TIFF without compression shares with them."""

import re
from dataclasses import replace
from math import ceil

from warmstart.data.structure import Structure, decode_bytes, too_much

_NOT_ZERO = re.compile(rb"[^\0]")
_SPACE = rb"(?>[ \t\r\n\v\f]++|#[^\n\r]*+[\n\r])++"  # possessive: there may be megabytes of it
_PNM = re.compile(rb"P([1-6])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})(?:" + _SPACE + rb"(\d{1,5}))?")


def sudden_zeros(data: bytes, start: int, end: int, row_bytes: int) -> str | None:
    """Damage of rows in ``data[start:end]``: a row's length or more of zeros that begins within a row, as where a download has a hole.

    A picture may well be black in parts. So the row above must show next to no zeros in the columns where they begin: a dark bottom
    begins with a whole row, and what is drawn on black has black beside it in the row above too.
    """
    hole = bytes(max(row_bytes, 64))
    at = start
    while (at := data.find(hole, at, end)) >= 0:
        column = (at - start) % row_bytes
        above = data[at - row_bytes : at - column] if at - row_bytes >= start else b""
        # Rows of a BMP are filled up with up to three zeros.
        if column and len(above) >= 8 and above.count(0) <= 3 + len(above) // 50:
            return "a part of it holds only zeros"
        more = _NOT_ZERO.search(data, at, end)
        at = more.start() if more is not None else end
    return None


def examine_bmp(data: bytes) -> Structure:
    """Damage is an end before the last row, or zeros to the end that begin within a row."""
    if len(data) < 26:
        return Structure()
    offset, header = int.from_bytes(data[10:14], "little"), int.from_bytes(data[14:18], "little")
    if header == 12:
        width, height = (int.from_bytes(data[at : at + 2], "little") for at in (18, 20))
        depth, compression = int.from_bytes(data[24:26], "little"), 0
    else:
        width, height = (abs(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (18, 22))
        depth, compression = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    structure = Structure(
        width=width,
        height=height,
        decode_bytes=decode_bytes(
            width=width,
            height=height,
            channels=4 if depth in (16, 32) else 3,
            depth_bits=8,
            extra=2 * width * height if compression in (1, 2) else 0,  # run lengths are expanded in memory first
        ),
    )
    if compression not in (0, 3) or too_much(structure):
        return structure
    row_bytes = 4 * ceil(width * depth / 32)
    return replace(structure, damage=_rows_missing(data, offset, height, row_bytes))


def examine_pnm(data: bytes) -> Structure:
    """Damage as of a BMP; of several pictures in one file the first is used, and they are counted where they have one size."""
    match = _PNM.match(data)
    if match is None:
        return Structure()
    kind, width, height = int(match[1]), int(match[2]), int(match[3])
    bitmap = kind in (1, 4)
    depth = 1 if bitmap else 16 if int(match[4] or 255) > 255 else 8
    channels = 3 if kind in (3, 6) else 1
    structure = Structure(
        width=width,
        height=height,
        decode_bytes=decode_bytes(
            width=width,
            height=height,
            channels=channels,
            depth_bits=32 if depth == 16 and channels == 1 else depth,  # Pillow keeps it in 32 bits
            extra=2 * width * height * channels if kind <= 3 else 0,  # plain text is gathered in memory first
        ),
    )
    if kind <= 3 or too_much(structure):
        return structure
    row_bytes = ceil(width * channels * depth / 8)
    start = (match.end(3) if bitmap else match.end()) + 1
    whole = start + height * row_bytes
    further = 0
    if len(data) > whole and (head := data[: match.end()]) and data.startswith(head, whole):
        further = (len(data) - whole) // (whole or 1)
    return replace(structure, pages=1 + further, damage=_rows_missing(data, start, height, row_bytes))


def _rows_missing(data: bytes, start: int, height: int, row_bytes: int) -> str | None:
    end = start + height * row_bytes
    if not height or not row_bytes:
        return None
    # The last row may lack what fills it up to four bytes.
    there = (len(data) - start + 3) // row_bytes
    if there < height:
        missing = height - max(0, there)
        return f"{missing:,} of its {height:,} rows are missing" if missing > 1 else "its last row is missing"
    return sudden_zeros(data, start, min(end, len(data)), row_bytes)
