"""JPEG: its markers, its scans, further pictures behind it. What libjpeg says of its coded pixels: `jpeg_decoding`.

Sources: ITU-T T.81 (1992), annexes B and G; CIPA DC-007 (2009) for several pictures in one file.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from warmstart.data.jpeg_decoding import complaint
from warmstart.data.structure import Structure, decode_bytes, too_much

# Inside a scan 0xFF is followed by 0 (it stands for itself), by 0xD0 … 0xD7 (restart), or by itself (filling).
_NEXT = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_DHT, _EOI, _SOS, _COM, _APP0, _APP1, _APP2, _APP14 = 0xC4, 0xD9, 0xDA, 0xFE, 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # with Huffman codes
_ALONE = frozenset({0x01, 0xD8})

_NEVER = 99  # more bits than there are: nothing of a coefficient was sent
_FORGED_SCANS = 1_000  # far above what is decoded: more need not be read
_PADDING = bytes(32)
_HOLE = bytes(64)


@dataclass(slots=True)
class _Found:
    marker: int = 0  # of the frame, 0xC0 … 0xCF
    width: int = 0
    height: int = 0
    samples: dict[int, int] = field(default_factory=dict)  # component → horizontal × vertical sampling factor
    unsent: dict[int, list[int]] = field(default_factory=dict)  # component → bits not sent yet of its 64 coefficients
    scans: int = 0
    ended: bool = False
    first_code: int = 0  # what the shortest code for a coefficient of brightness means; 0: the block ends
    coded_from: int = 0  # the coded pixels of all scans
    coded_to: int = 0
    further: int = 0


def examine_jpeg(data: bytes, *, deep: bool = True) -> Structure:
    """Damage is what libjpeg warns about, scans that are missing, and zeros where the end should be.

    Not damage: bytes behind the end (trailers of telephones, moving pictures), a missing end mark behind a whole picture, filling
    between segments. Pages are the picture itself and every further *whole* one in a multi-picture index: those of a panorama, a
    stereo or multi-angle set, and others of the same size; thumbnails, previews and gain maps (Ultra HDR, Apple) are none.
    """
    found = _walk(data)
    several = found.scans > 1 or found.marker in _PROGRESSIVE
    # Until its last scan is read, a picture of several is kept as 16-bit coefficients.
    shares = sum(found.samples.values()) / max(found.samples.values(), default=1)
    pixels = found.width * found.height
    structure = Structure(
        pages=1 + found.further,
        scans=max(1, found.scans),
        width=found.width,
        height=found.height,
        decode_bytes=decode_bytes(
            width=found.width,
            height=found.height,
            channels=1 if len(found.samples) == 1 else 3,
            depth_bits=8,
            extra=round(2 * pixels * shares) if several else 0,
        ),
    )
    if not pixels or not found.scans or too_much(structure):
        return structure
    damage = _cut(data, found)
    if damage is None and deep:
        damage = complaint(essential_jpeg(data), four_colours=len(found.samples) == 4, ended=found.ended)
    return replace(structure, damage=damage)


def essential_jpeg(data: bytes) -> bytes:
    """The file without notes that decide neither pixels nor orientation: profiles, previews, Photoshop's, comments.

    JFIF and Adobe say how colours are coded, EXIF and XMP which way is up. ``data`` itself if there is nothing to leave out.
    """
    kept, start = [], 0
    for marker, at, end in _segments(data):
        if marker == _SOS:
            break
        if not _decides(marker, data[at + 4 : end]):
            kept.append(data[start:at])
            start = end
    return b"".join([*kept, data[start:]]) if kept else data


def _decides(marker: int, body: bytes) -> bool:
    if marker == _APP0:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == _APP1:
        return body.startswith((b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"))
    if marker == _APP14:
        return body.startswith(b"Adobe") and len(body) >= 12
    return not (_APP0 <= marker <= 0xEF or marker == _COM)


def _segments(data: bytes, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """(marker, where it begins, where its parameters end), up to and with EOI; coded bytes between them are skipped."""
    while (match := _NEXT.search(data, at)) is not None:
        at, marker = match.start(), data[match.start() + 1]
        if marker == _EOI:
            yield marker, at, at + 2
            return
        if marker in _ALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if end > len(data) or end < at + 4:
            return
        yield marker, at, end
        at = end


def _walk(data: bytes) -> _Found:
    found = _Found()
    gain_map = False
    index: tuple[int, int] | None = None
    for marker, at, end in _segments(data):
        found.coded_to = at
        if marker == _EOI:
            found.ended = True
        elif marker in _FRAMES and not found.marker:
            _read_frame(found, marker, data[at + 4 : end])
        elif marker == _DHT and not found.scans:
            found.first_code = found.first_code or _first_code(data[at + 4 : end])
        elif marker == _SOS:
            found.scans += 1
            found.coded_from = found.coded_from or end
            if found.scans <= _FORGED_SCANS:
                _read_scan(found, data[at + 4 : end])
        elif marker == _APP2 and data.startswith(b"MPF\0", at + 4):
            index = (at + 8, end)
        elif marker in (_APP1, _APP2) and not found.scans:
            gain_map = gain_map or _names_a_gain_map(data[at + 4 : end])
    if index is not None:
        found.further = _further_pictures(data, *index, found, gain_map)
    return found


def _read_frame(found: _Found, marker: int, body: bytes) -> None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        return
    found.marker = marker
    found.height, found.width = struct.unpack_from(">HH", body, 1)
    for at in range(6, 6 + 3 * body[5], 3):
        found.samples[body[at]] = (body[at + 1] >> 4) * (body[at + 1] & 15) or 1
        found.unsent[body[at]] = [_NEVER] * 64


def _read_scan(found: _Found, body: bytes) -> None:
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count:
        return
    first, last, bits = body[1 + 2 * count], min(body[2 + 2 * count], 63), body[3 + 2 * count] & 15
    if found.marker not in _PROGRESSIVE:
        first, last, bits = 0, 63, 0
    for at in range(1, 1 + 2 * count, 2):
        unsent = found.unsent.get(body[at])
        if unsent is not None and first <= last:
            unsent[first : last + 1] = [bits] * (last + 1 - first)


def _first_code(tables: bytes) -> int:
    at = 0
    while at + 17 < len(tables):
        if tables[at] == 0x10:  # for coefficients, the first of them
            return tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])
    return 0


def _cut(data: bytes, found: _Found) -> str | None:
    if not found.ended and data.endswith(_PADDING):
        return "from some point on it holds only zeros"
    if any(any(bits) for bits in found.unsent.values()):
        return f"only the first {found.scans} of its scans are there" if found.scans > 1 else "only its first scan is there"
    # Zeros stand for the first code over and over. Where that is no "end of block", as it is in plain pictures coded with a table of
    # their own, it would be a picture that nobody has: the same coefficient, always −1, everywhere.
    coded_to = found.coded_to if found.ended else len(data)
    if found.first_code and found.marker in _SEQUENTIAL and data.find(_HOLE, found.coded_from, coded_to) >= 0:
        return "a part of it holds only zeros"
    return None


def _names_a_gain_map(body: bytes) -> bool:
    return any(sign in body for sign in (b"hdrgm:", b"HDRGainMap", b"urn:iso:std:iso:ts:21496"))


def _further_pictures(data: bytes, base: int, end: int, first: _Found, gain_map: bool) -> int:
    """Whole pictures named by the MP index that begins at ``base``, without the first (CIPA DC-007, section 5.2)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[base : base + 4])
    if order is None:
        return 0
    further = 0
    try:
        (directory,) = struct.unpack_from(order + "I", data, base + 4)
        (entries,) = struct.unpack_from(order + "H", data, base + directory)
        for entry in range(min(entries, 32)):
            tag, _, count, offset = struct.unpack_from(order + "HHII", data, base + directory + 2 + 12 * entry)
            if tag != 0xB002:
                continue
            for picture in range(1, min(count // 16, 256)):
                at = base + offset + 16 * picture
                if at + 16 > end:
                    break
                attributes, _, start = struct.unpack_from(order + "III", data, at)
                kind = attributes & 0xFFFFFF
                # 0x020000 …: panorama, disparity, multi-angle. 0: not defined, which may be anything.
                same = kind == 0 and not gain_map and _size_at(data, base + start) == (first.width, first.height)
                further += kind >> 16 == 2 or same
            break
    except struct.error:  # the index ends early
        pass
    return further


def _size_at(data: bytes, start: int) -> tuple[int, int] | None:
    piece = data[start : start + (1 << 18)]
    found = _Found()
    for marker, at, end in _segments(piece):
        if marker in (_APP1, _APP2) and _names_a_gain_map(piece[at + 4 : end]):
            return None
        if marker in _FRAMES:
            _read_frame(found, marker, piece[at + 4 : end])
            return found.width, found.height
    return None
