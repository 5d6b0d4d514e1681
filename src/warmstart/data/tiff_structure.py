"""TIFF: its directories, strips and tiles. Sources: TIFF 6.0 (Adobe 1992), BigTIFF (2007), Adobe's technical notes 1 and 2."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from warmstart.data.jpeg_decoding import complaint
from warmstart.data.rows_structure import sudden_zeros
from warmstart.data.structure import Structure, decode_bytes, too_much

# Tags with a say in pixels, their meaning or orientation. Everything else may be broken at no cost: EXIF, GPS, IPTC, XMP, profiles …
_SINGLE = frozenset(
    {254, 255, 256, 257, 259, 262, 266, 274, 277, 278, 284, 292, 293, 317, 322, 323, 332, 512, 513, 514, 515, 531, 32997}
)
_DECISIVE = _SINGLE | {258, 273, 279, 280, 281, 320, 324, 325, 338, 339, 340, 341, 347, 519, 520, 521, 529, 530, 532, 42113}

_BYTES_OF_TYPE = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}

_NONE, _FAX, _JPEG = 1, 4, 7
_ZEROS = bytes(64)  # CCITT group 4 has no code of more than seven zeros
_MOST_ENTRIES = 4_096  # of one directory; honest ones have dozens
_PREVIEW, _MASK = 1, 4


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the numbers of this file are written: classic or big."""

    order: str
    big: bool

    def directory_at(self, data: bytes, at: int) -> tuple[int, int, int] | None:
        """(number of entries, where the first is, where the next directory's offset is), if the file goes that far."""
        count_form, head, entry = ("Q", 8, 20) if self.big else ("H", 2, 12)
        if at < 8 or at + head > len(data):
            return None
        (entries,) = struct.unpack_from(self.order + count_form, data, at)
        return entries, at + head, at + head + entry * entries


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: int
    type: int
    count: int
    at: int  # where its values are
    raw: bytes  # as it stands in the directory


def examine_tiff(data: bytes, *, deep: bool = True) -> Structure:
    """Damage is a strip or tile that is missing or lies behind the end, one of JPEG that libjpeg warns about, and holes of zeros.

    Pages are the directories in the file's chain without previews of others (reduced resolution) and masks.
    """
    layout, first = _header(data)
    if layout is None:
        return Structure()
    pages = _pages(data, layout, first)
    entries = {entry.tag: entry for entry in _entries(data, layout, first)}

    def numbers(tag: int, most: int = 8) -> list[int]:
        entry = entries.get(tag)
        return _numbers(data, layout, entry, most) if entry is not None else []

    def number(tag: int, default: int = 0) -> int:
        return next(iter(numbers(tag, 1)), default)

    width, height, samples = number(256), number(257), max(1, number(277, 1))
    depth = max(numbers(258), default=1)
    tiled = 322 in entries
    columns, rows = (number(322), number(323)) if tiled else (width, min(height, number(278, height) or height))
    planar = samples if number(284, 1) == 2 else 1
    compression = number(259, _NONE)
    row_bytes = ceil(columns * (samples // planar) * depth / 8)
    structure = Structure(
        pages=pages,
        width=width,
        height=height,
        decode_bytes=decode_bytes(
            width=width,
            height=height,
            channels=4 if number(262) == 3 else samples,
            depth_bits=depth,
            extra=2 * row_bytes * rows if tiled or compression != _NONE else 0,
        ),
    )
    if not structure.pixels or not columns or not rows or too_much(structure):
        return structure
    expected = ceil(width / columns) * ceil(height / rows) * planar
    offsets = numbers(324 if tiled else 273, expected)
    counts = numbers(325 if tiled else 279, expected)
    if compression == _NONE:  # then the counts may be wrong or absent at no cost
        heights = [rows if tiled else min(rows, height - rows * (piece % (expected // planar))) for piece in range(expected)]
        counts = [row_bytes * here for here in heights]
    pieces = list(zip(offsets, counts, strict=False))
    damage = _damage(data, pieces, expected, compression, "tiles" if tiled else "strips")
    if damage is None and compression == _NONE and not tiled and planar == 1:
        start, end = pieces[0][0], pieces[-1][0] + pieces[-1][1]
        if sum(counts) == end - start:
            damage = sudden_zeros(data, start, end, row_bytes)
    if damage is None and compression == _JPEG and deep:
        tables = entries.get(347)
        damage = _complaint(data, pieces, data[tables.at : tables.at + tables.count] if tables else b"", samples // planar)
    return replace(structure, damage=damage)


def essential_tiff(data: bytes) -> bytes:
    """The file with a directory of its first page alone, put at its end, with only the tags that decide pixels or orientation.

    Pillow warns about or stumbles over broken notes, and libtiff over too many of them. ``data`` itself if it has no directory.
    """
    layout, first = _header(data)
    if layout is None:
        return data
    kept = [entry for entry in _entries(data, layout, first) if entry.tag in _DECISIVE]
    named = sum(entry.tag in _DECISIVE for entry in _entries(data, layout, first, beyond=True))
    # Cut off is a tag that decides, or are pixels, in whose place the new directory would stand: Pillow shall see that.
    if not kept or named > len(kept) or examine_tiff(data, deep=False).damage is not None:
        return data
    body = b"".join(_as_single(data, layout, entry) if entry.tag in _SINGLE else entry.raw for entry in kept)
    padding = bytes(-len(data) % 8)
    at = len(data) + len(padding)
    if layout.big:
        head = data[:8] + struct.pack(layout.order + "Q", at)
        directory = struct.pack(layout.order + "Q", len(kept)) + body + bytes(8)
    else:
        head = data[:4] + struct.pack(layout.order + "I", at)
        directory = struct.pack(layout.order + "H", len(kept)) + body + bytes(4)
    return b"".join((head, memoryview(data)[len(head) :], padding, directory))


def _header(data: bytes) -> tuple[_Layout | None, int]:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None, 0
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == 43 and len(data) >= 16:
        return _Layout(order, True), struct.unpack_from(order + "Q", data, 8)[0]
    return (_Layout(order, False), struct.unpack_from(order + "I", data, 4)[0]) if version == 42 else (None, 0)


def _entries(data: bytes, layout: _Layout, at: int, *, beyond: bool = False) -> Iterator[_Entry]:
    """Those whose values lie inside the file, or ``beyond`` it too, in the file's order."""
    directory = layout.directory_at(data, at)
    if directory is None:
        return
    count, start, _ = directory
    size, form = (20, "HHQ") if layout.big else (12, "HHI")
    inline = 8 if layout.big else 4
    for number in range(min(count, _MOST_ENTRIES)):
        entry = start + number * size
        if entry + size > len(data):
            return
        tag, kind, values = struct.unpack_from(layout.order + form, data, entry)
        value_bytes = values * (_BYTES_OF_TYPE[kind] if kind < len(_BYTES_OF_TYPE) else 0)
        value_at = entry + size - inline
        if value_bytes > inline:
            (value_at,) = struct.unpack_from(layout.order + ("Q" if layout.big else "I"), data, value_at)
        if value_bytes > 0 and (beyond or value_at + value_bytes <= len(data)):
            yield _Entry(tag, kind, values, value_at, data[entry : entry + size])


def _numbers(data: bytes, layout: _Layout, entry: _Entry, most: int) -> list[int]:
    form = _WHOLE_NUMBERS.get(entry.type)
    return list(struct.unpack_from(f"{layout.order}{min(entry.count, most)}{form}", data, entry.at)) if form else []


def _as_single(data: bytes, layout: _Layout, entry: _Entry) -> bytes:
    """Some writers give one value per channel where one is meant."""
    form = _WHOLE_NUMBERS.get(entry.type)
    if entry.count == 1 or form is None:
        return entry.raw
    (value,) = struct.unpack_from(layout.order + form, data, entry.at)
    inline = struct.pack(layout.order + form, value)
    if layout.big:
        return struct.pack(layout.order + "HHQ", entry.tag, entry.type, 1) + inline.ljust(8, b"\0")
    return struct.pack(layout.order + "HHI", entry.tag, entry.type, 1) + inline.ljust(4, b"\0")


def _pages(data: bytes, layout: _Layout, at: int) -> int:
    pages, seen = 0, set()
    while at not in seen and (directory := layout.directory_at(data, at)) is not None:
        seen.add(at)
        count, start, following = directory
        kind = 0
        # Tags ascend, so that both that tell are among the first; a directory costs the same however long it is.
        size, form, width = (20, "HHQ", 12) if layout.big else (12, "HHI", 8)
        for entry in range(start, start + size * min(count, 3), size):
            if entry + size > len(data):
                break
            tag, type_, _ = struct.unpack_from(layout.order + form, data, entry)
            if tag in (254, 255):
                (value,) = struct.unpack_from(layout.order + ("H" if type_ == 3 else "I"), data, entry + width)
                kind |= value if tag == 254 else _PREVIEW * (value == 2)
        pages += not kind & (_PREVIEW | _MASK)
        if following + (8 if layout.big else 4) > len(data):
            break
        (at,) = struct.unpack_from(layout.order + ("Q" if layout.big else "I"), data, following)
    return max(1, pages)


def _damage(data: bytes, pieces: list[tuple[int, int]], expected: int, compression: int, what: str) -> str | None:
    if len(pieces) < expected:
        return f"{expected - len(pieces):,} of its {expected:,} {what} are missing"
    behind = sum(offset + count > len(data) for offset, count in pieces)
    if behind:
        return f"{behind:,} of its {expected:,} {what} lie behind its end: it was cut off"
    if compression != _FAX:
        return None
    left = 2 * len(data)  # forged strips may all name the same bytes
    for offset, count in pieces:
        left -= count
        if left < 0:
            return None
        if data.find(_ZEROS, offset, offset + count) >= 0:
            return f"some of its compressed {what} hold zeros instead of pixels"
    return None


def _complaint(data: bytes, pieces: list[tuple[int, int]], tables: bytes, samples: int) -> str | None:
    left = 2 * len(data) + len(tables)
    for offset, count in pieces:
        left -= count + len(tables)
        if left < 0:
            break
        piece = data[offset : offset + count]
        whole = tables[:-2] + piece[2:] if tables else piece
        if count and (damage := complaint(whole, four_colours=samples == 4)) is not None:
            return damage
    return None
