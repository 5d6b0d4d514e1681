"""Names of what is stored: a recipe key per way of computing rows, a row key per picture and view. Pure: no files, no clock.

The view is part of the row key and not of the recipe key. A run without augmentation and a run with flipped views ask for
the same plain rows under the same recipe, so the second computes only the flipped ones.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from warmstart.errors import UsageError

DIGEST_BYTES = 16  # BLAKE2b-128 of a picture's bytes

# Hashed along with every recipe. A new number makes every stored row unreachable: raise it when the layout of a row changes.
_STORE_FORMAT = 1

_VIEW_NAME = re.compile(r"[a-z0-9-]{1,16}")


def recipe_key(recipe: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the recipe as canonical JSON: sorted keys, no spaces, ASCII.

    Recipes that differ only in the order of their entries, or in list against tuple, have one key. Finite floats are written
    with the fewest digits that read back to the same float, which is the same text on every machine; 1 and 1.0 differ.

    Raises UsageError for anything that is not plain JSON: names that are not strings, NaN and infinities, other objects.
    """
    _check_plain(recipe, "recipe")
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(f"warmstart-recipe-{_STORE_FORMAT}\n{text}".encode("ascii")).hexdigest()


def row_key(digest: bytes, view: str) -> bytes:
    """The key of one picture (``digest``, 16 bytes) in one view ('plain', 'flip', …), the same in every recipe."""
    if len(digest) != DIGEST_BYTES:
        raise UsageError(f"a picture's digest has {len(digest)} bytes; expected {DIGEST_BYTES} (BLAKE2b-128)")
    if not _VIEW_NAME.fullmatch(view):
        raise UsageError(f"view name {view!r}; expected 1 to 16 of a-z, 0-9 and '-', such as 'plain' or 'flip'")
    return digest + view.encode("ascii")


def digest_of(key: bytes) -> bytes:
    """The picture's digest in a row key: what is known about the picture whatever the view."""
    return key[:DIGEST_BYTES]


def _check_plain(value: Any, where: str) -> None:
    """Raise UsageError unless JSON can hold ``value`` without changing it (json.dumps alone would turn the name 1 into '1')."""
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{where} is {value}; a recipe holds finite numbers only")
    elif isinstance(value, dict):
        for name, entry in value.items():
            if not isinstance(name, str):
                raise UsageError(f"{where} has the name {name!r} of type {type(name).__name__}; names are strings")
            _check_plain(entry, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            _check_plain(entry, f"{where}[{i}]")
    else:
        raise UsageError(
            f"{where} is a {type(value).__name__}; a recipe holds plain JSON: str, int, float, bool, None, list, dict"
        )
