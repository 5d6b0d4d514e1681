"""Keys, rows and damage for the tests of the store; a module of its own name, so that started processes can import it too."""

from hashlib import blake2b
from pathlib import Path

import numpy as np

from warmstart.store.key import row_key

MIB = 2**20
RECIPE = {"prefix": "test", "format": "float16"}


def digest(i: int) -> bytes:
    return blake2b(str(i).encode(), digest_size=16).digest()


def keys_of(n: int, view: str = "plain") -> list[bytes]:
    return [row_key(digest(i), view) for i in range(n)]


def drawn_rows(n: int, *shape: int, dtype: str = "float16") -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, *(shape or (700,)))).astype(dtype)


def flip_byte(file: Path, content: bytes, offset: int = 0) -> None:
    """Change one byte wherever ``content`` lies in ``file``, behind LMDB's back (old pages hold copies that nobody reads)."""
    whole = file.read_bytes()
    assert content in whole
    at = whole.find(content)
    with file.open("r+b") as opened:
        while at >= 0:
            opened.seek(at + offset)
            opened.write(bytes([whole[at + offset] ^ 0x10]))
            at = whole.find(content, at + 1)
