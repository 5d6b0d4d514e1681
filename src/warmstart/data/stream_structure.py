"""GIF and WebP: a chain of blocks, each with its length. Sources: GIF89a (CompuServe 1990), RFC 9649 (WebP), RFC 6386 (VP8)."""

import struct
from dataclasses import replace

from warmstart.data.structure import Structure, decode_bytes, too_much


def examine_gif(data: bytes) -> Structure:
    """Pages are frames. Damage is an end within the first, the one that is used; a missing end mark is none.

    Wrong codes are found by Pillow: it refuses a frame with too few pixels.
    """
    if len(data) < 13:
        return Structure()
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    frames, damage = 0, None
    while at < len(data):
        block = data[at]
        if block == 0x21:  # an extension
            at += 2
        elif block == 0x2C and at + 10 <= len(data):
            left, top, columns, rows, local = struct.unpack_from("<HHHHB", data, at + 1)
            if not frames:
                width, height = max(width, left + columns), max(height, top + rows)
            frames += 1
            at += 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        if at >= len(data) and frames == 1 and block == 0x2C:
            damage = "it was cut off"
        at += 1
    return Structure(
        pages=max(1, frames),
        width=width,
        height=height,
        # The first frame may be one of many that are put over each other: as indices, and with its transparency as RGBA.
        decode_bytes=decode_bytes(width=width, height=height, channels=4, depth_bits=8, extra=width * height),
        damage=damage,
    )


def examine_webp(data: bytes) -> Structure:
    """Pages are frames. Damage is a length that goes beyond the end, or zeros where a lossy picture's codes should be.

    A lossy picture has no checksums: other bytes than zeros written over its middle are seen by nobody.
    """
    if len(data) < 16:
        return Structure()
    said = 8 + int.from_bytes(data[4:8], "little")
    width = height = frames = 0
    alpha = False
    codes: tuple[int, int] | None = None
    at = 12
    while at + 8 <= min(len(data), said):
        kind, size = struct.unpack_from("<4sI", data, at)
        body, end = at + 8, at + 8 + size
        at = end + (size & 1)
        if kind == b"ANMF":
            frames += 1
            at = min(at, body + 16) if frames == 1 else at  # into the first
        elif kind == b"VP8X" and size >= 10:
            alpha = bool(data[body] & 0x10) if body < len(data) else False
            width, height = (1 + int.from_bytes(data[start : start + 3], "little") for start in (body + 4, body + 7))
        elif kind == b"VP8 " and codes is None:
            codes = (body, end)
            if not width:
                width, height = (int.from_bytes(data[start : start + 2], "little") & 0x3FFF for start in (body + 6, body + 8))
        elif kind == b"VP8L" and not width:
            bits = int.from_bytes(data[body + 1 : body + 5], "little")
            width, height, alpha = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
    structure = Structure(
        pages=max(1, frames),
        width=width,
        height=height,
        # libwebp's decoder of animations, which Pillow uses for all, keeps two more canvases.
        decode_bytes=decode_bytes(
            width=width, height=height, channels=4 if alpha else 3, depth_bits=8, extra=(10 if alpha else 8) * width * height
        ),
    )
    if too_much(structure):
        return structure
    if said > len(data):
        return replace(structure, damage="it was cut off")
    # Even areas are coded with next to no bits, and those are zeros: measured, up to 0.09 bytes a block of 16 × 16 pixels.
    legal = 64 + structure.pixels // 2048
    if codes is not None and data.find(bytes(legal), *codes) >= 0:
        return replace(structure, damage="a part of it holds only zeros")
    return structure
