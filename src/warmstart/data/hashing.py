"""The identity of a picture: a digest of its file's bytes. Same bytes, same picture, whatever it is called."""

import hashlib
from pathlib import Path

from warmstart.data.files import open_file

DIGEST_BYTES = 16  # 128 bits: for ten million pictures the chance of any collision is below 1e-24


def digest(content: bytes) -> bytes:
    """BLAKE2b-128 (RFC 7693, 16 bytes) of a whole file's bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def digest_file(path: Path | str) -> bytes:
    """`digest` of a file, read in pieces. Raises PictureError as `open_file` does."""
    with open_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).digest()
