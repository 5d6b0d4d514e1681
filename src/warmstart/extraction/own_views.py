"""Views made by a callable of the user's: for training alone, beside the plain one, which is as ever.

S image side.
"""

import hashlib
import random
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from warmstart.data.one_colour import Loss
from warmstart.errors import UsageError
from warmstart.extraction.rendering import PictureRenderer, views_and_loss
from warmstart.records import Picture, Preprocessing

_TURN = threading.Lock()  # the callable draws from generators that all threads share


@dataclass(frozen=True, kw_only=True)
class OwnViews(PictureRenderer):
    """Renders 'plain', and '<key>-1', '<key>-2' … by the callable, each drawn under the content of the picture and the view's name."""

    made: Callable[[Any], Any] = field(compare=False)
    key: str  # 8 hex digits, of the callable's ``id``
    lasting: bool  # whether it has one: otherwise its rows are of use to this run alone

    @classmethod
    def of(cls, made: Any) -> Self:
        """Of a callable that takes uint8 (3, S, S), a tensor, and gives the same. Raises UsageError for what is none."""
        if not callable(made):
            raise UsageError(
                f"augment is {made!r:.80}; expected a name, or something that is called with a picture, uint8 (3, S, S)"
            )
        own = getattr(made, "id", None)
        if own is None:
            return cls(made=made, key=secrets.token_hex(4), lasting=False)
        return cls(made=made, key=hashlib.sha256(str(own).encode()).hexdigest()[:8], lasting=True)

    def names(self, count: int) -> tuple[str, ...]:
        """'plain', and ``count`` - 1 others."""
        return ("plain", *(self.name(k) for k in range(1, count)))

    def name(self, k: int) -> str:
        """Of view ``k``; 0 is the plain one."""
        return f"{self.key}-{k}" if k else "plain"

    def render(
        self, picture: Picture, views: Sequence[str], preprocessing: Preprocessing
    ) -> tuple[list[np.ndarray], Loss | None]:
        """See `Renderer`."""
        others = [view for view in views if not view.startswith(self.key)]
        rendered, loss = views_and_loss(picture, ["plain", *others], preprocessing)
        by_name = dict(zip(others, rendered[1:], strict=True))
        plain = rendered[0]
        return [by_name[view] if view in by_name else self._view(plain, picture, view) for view in views], loss

    def _view(self, plain: np.ndarray, picture: Picture, view: str) -> np.ndarray:
        import torch

        seed = int.from_bytes(hashlib.blake2b(picture.digest + view.encode(), digest_size=4).digest(), "little")
        with _TURN:
            before, numbers = random.getstate(), np.random.get_state()
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed)
                try:
                    found = self.made(torch.from_numpy(plain.copy()))
                except Exception as reason:  # it is the user's code
                    why = (str(reason).splitlines() or [""])[0][:200]
                    raise UsageError(f"augment fails on {picture.path} ({type(reason).__name__}: {why})") from reason
                finally:
                    random.setstate(before)
                    np.random.set_state(numbers)
        made = np.asarray(found)
        if made.shape != plain.shape or made.dtype != np.uint8:
            raise UsageError(
                f"augment gives {made.dtype} {made.shape} for uint8 {plain.shape}, and every view of a picture must have the same: end "
                "it with a resize to the network's input, and leave out what makes floats of it"
            )
        return np.ascontiguousarray(made)
