"""What network these tensors are: computed from the tensors themselves, never taken from what a file says of itself. Needs no torch."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def tensors_digest(tensors: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """SHA-256 (hex) over name, type, shape and bytes of the tensors, in the order of their names."""
    sha = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
