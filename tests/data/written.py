"""Files that Pillow cannot write: PNG and TIFF of more bits and other tags, from their specifications."""

import struct
import zlib
from typing import Any

import numpy as np


def png(values: np.ndarray, *, extra: bytes = b"", interlace: int = 0) -> bytes:
    """A PNG of uint8 or uint16 (H, W) or (H, W, 2 | 3 | 4); ``extra``: chunks before the pixels."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    bits = 8 * values.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(values.dtype.newbyteorder(">")).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour_type, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(
    values: np.ndarray,
    *,
    order: str = "<",
    photometric: int | None = None,
    sample_format: int | None = None,
    tags: dict[int, tuple[int, Any]] | None = None,
    compressed: bool = False,
) -> bytes:
    """A TIFF of one strip from (H, W) or (H, W, 3 | 4). ``tags``: number → (type 2, 3, 4, value)."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind] if sample_format is None else sample_format
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    pixels = zlib.compress(pixels) if compressed else pixels
    entries: dict[int, tuple[int, Any]] = {
        256: (4, values.shape[1]),
        257: (4, values.shape[0]),
        258: (3, (8 * values.dtype.itemsize,) * channels),
        259: (3, 8 if compressed else 1),
        262: (3, (2 if channels > 1 else 1) if photometric is None else photometric),
        277: (3, channels),
        278: (4, values.shape[0]),
        279: (4, len(pixels)),
        339: (3, (kind,) * channels),
        **({338: (3, 2)} if channels == 4 else {}),
        **(tags or {}),
    }
    at = 8 + 2 + 12 * (len(entries) + 1) + 4
    body, beyond = b"", b""
    for tag, (type_, value) in sorted((entries | {273: (4, 0)}).items()):
        if tag == 273:
            body += struct.pack(order + "HHI", tag, type_, 1) + b"STRP"
            continue
        if type_ == 2:
            content, count = value.encode("ascii") + b"\0", len(value) + 1
        else:
            items = value if isinstance(value, tuple) else (value,)
            content, count = struct.pack(order + {3: "H", 4: "I"}[type_] * len(items), *items), len(items)
        if len(content) <= 4:
            field = content.ljust(4, b"\0")
        else:
            field = struct.pack(order + "I", at + len(beyond))
            beyond += content + b"\0" * (len(content) % 2)
        body += struct.pack(order + "HHI", tag, type_, count) + field
    body = body.replace(b"STRP", struct.pack(order + "I", at + len(beyond)))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(entries) + 1) + body + struct.pack(order + "I", 0) + beyond + pixels
