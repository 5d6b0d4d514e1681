"""What a picture is known by: the digest of its content, and the facts of its bytes."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from warmstart.data.depth import grey_values, is_deep, white_is_zero
from warmstart.data.facts import facts_of
from warmstart.data.files import read_bytes
from warmstart.data.hashing import digest, digest_pixels
from warmstart.data.memory import in_memory, understood
from warmstart.data.orientation import orientation_of
from warmstart.errors import PictureError
from warmstart.records import Facts


def identified(source: Any) -> tuple[bytes, Facts | None, bytes | Image.Image]:
    """(digest, facts, the picture as encoded bytes or pixels) of what `data.memory` takes. Raises PictureError."""
    given = understood(source)
    if isinstance(given, Path):
        given = read_bytes(given)
    if isinstance(given, bytes):
        return *look_at(given), given
    if not is_deep(given):
        upright = in_memory(given)
        facts = Facts(format="memory", width=upright.width, height=upright.height, mode=given.mode)
        return digest_pixels(np.asarray(upright)), facts, given
    # Its levels hang on the range of a data set, so it is the values themselves that are digested, and what turns them.
    turned = (orientation_of(given), white_is_zero(given), given.info.get("transparency"))
    identity = digest(digest_pixels(np.asarray(given)) + repr(turned).encode("utf-8"))
    facts = Facts(format="memory", width=given.width, height=given.height, mode=given.mode, depth=grey_values(given)[1])
    return identity, facts, given


def look_at(content: bytes) -> tuple[bytes, Facts | None]:
    """Digest and facts of encoded bytes; no facts where they are no picture. Raises PictureError where memory does not suffice."""
    try:
        return digest(content), facts_of(content)
    except PictureError as reason:
        if reason.transient:
            raise
        return digest(content), None
