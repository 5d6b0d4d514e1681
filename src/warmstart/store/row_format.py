"""How one row lies in the store: ``CRC-32 (4 bytes, little-endian) | row (C order, little-endian)``. Pure.

The checksum covers key and row, because LMDB does not notice bytes that were overwritten behind its back. CRC-32 and not a
cryptographic hash: the enemy is a bad disk, not a person, and a warm run reads everything (measured on one core: zlib's CRC-32
4.2 GB/s, BLAKE2b 1.1). It overlooks 1 damaged row in 4·10⁹.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from warmstart.errors import StoreError, UsageError

RowFormat = Literal["float16", "float32"]

CHECKSUM_BYTES = 4

_DTYPES: Mapping[str, np.dtype[Any]] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}


class UnstorableRowError(StoreError):
    """Rows with inf or NaN after conversion to the recipe's format; nothing of their batch was stored.

    ``positions`` in the batch. Where ``overflow`` is true all values were finite before, and float32 can hold them.
    """

    def __init__(self, positions: Sequence[int], row_format: str, largest: float) -> None:
        self.positions = tuple(positions)
        self.overflow = math.isfinite(largest)
        found = f"values up to ±{largest:g}" if self.overflow else "inf or NaN"
        cure = (
            "Store this recipe as float32."
            if self.overflow and row_format == "float16"
            else "The network computed them: check its weights, or run it in float32."
        )
        super().__init__(
            f"{len(positions)} rows (positions {few(positions)}) hold {found}; a {row_format} row holds finite values up to "
            f"±{float(np.finfo(row_format).max):g}. Nothing of their batch was stored. {cure}"
        )


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Format and shape that all rows of a recipe have."""

    row_format: RowFormat
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Little-endian, so that a store means the same on every machine."""
        return _DTYPES[self.row_format]

    @property
    def value_bytes(self) -> int:
        """Length of a stored value, checksum included."""
        return CHECKSUM_BYTES + self.dtype.itemsize * math.prod(self.shape)

    def to_json(self) -> bytes:
        """As recorded beside the rows."""
        return json.dumps({"row_format": self.row_format, "shape": self.shape}).encode("ascii")

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The inverse of `to_json`."""
        values = json.loads(text)
        return cls(values["row_format"], tuple(values["shape"]))


def encode_rows(rows: Sequence[tuple[bytes, np.ndarray]], layout: RowLayout) -> list[bytes]:
    """One sealed value for each ``(key, row)``. Raises UnstorableRowError for inf or NaN, UsageError for another shape."""
    arrays = []
    for i, (_, row) in enumerate(rows):
        if np.shape(row) != layout.shape:
            raise UsageError(f"row {i} has shape {np.shape(row)}; all rows of a recipe have one shape, here {layout.shape}")
        with np.errstate(over="ignore"):  # overflow is looked for in the result
            arrays.append(np.ascontiguousarray(row, dtype=layout.dtype))
    unstorable = [i for i, array in enumerate(arrays) if not np.isfinite(array).all()]
    if unstorable:
        largest = max(float(np.abs(np.asarray(rows[i][1], dtype=np.float64)).max()) for i in unstorable)
        raise UnstorableRowError(unstorable, layout.row_format, largest)
    return [seal(key, array.tobytes()) for (key, _), array in zip(rows, arrays, strict=True)]


def seal(key: bytes, content: bytes) -> bytes:
    """``content`` with its checksum in front."""
    return zlib.crc32(content, zlib.crc32(key)).to_bytes(CHECKSUM_BYTES, "little") + content


def is_sound(key: bytes, value: memoryview) -> bool:
    """True if ``value`` is what `seal` made for ``key``."""
    return zlib.crc32(value[CHECKSUM_BYTES:], zlib.crc32(key)) == int.from_bytes(value[:CHECKSUM_BYTES], "little")


def unseal(key: bytes, value: memoryview | None) -> bytes | None:
    """The content, or None where there is none or it is damaged."""
    return bytes(value[CHECKSUM_BYTES:]) if value is not None and is_sound(key, value) else None


def few(positions: Sequence[int]) -> str:
    """The first five, for a message."""
    return ", ".join(map(str, positions[:5])) + (" …" if len(positions) > 5 else "")
