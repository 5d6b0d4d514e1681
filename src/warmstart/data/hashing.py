"""The identity of a picture: a digest of its file's bytes. Same bytes, same picture, whatever it is called.

Draws that hang on what a picture is, not on where it stands in a list: adding pictures moves few of the others.
"""

import hashlib
from pathlib import Path

import numpy as np

from warmstart.data.files import open_file

DIGEST_BYTES = 16  # 128 bits: for ten million pictures the chance of any collision is below 1e-24


def digest(content: bytes) -> bytes:
    """BLAKE2b-128 (RFC 7693, 16 bytes) of a whole file's bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def digest_file(path: Path | str) -> bytes:
    """`digest` of a file, read in pieces. Raises PictureError as `open_file` does."""
    with open_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).digest()


def digest_pixels(pixels: np.ndarray) -> bytes:
    """`digest` of a picture in memory: of its shape, type and values, channels last, as `data.memory` makes it of whatever was given.

    A view, a transposed or a Fortran-ordered array has the digest of its copy in C order.
    """
    # The shape alone stands before the values of a plain picture: so the rows that are stored of such pictures are found.
    plain = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    name = str(pixels.shape) if plain else f"{pixels.dtype.str} {pixels.shape}\n"
    return digest(name.encode("ascii") + pixels.tobytes())


def keyed_hash(name: bytes, seed: int) -> bytes:
    """16 bytes to rank by: of the name and the seed alone, and as good as random (keyed BLAKE2b)."""
    return hashlib.blake2b(name, digest_size=DIGEST_BYTES, key=seed.to_bytes(16, "little", signed=True)).digest()
