"""Every error that warmstart raises on purpose, in one tree.

    WarmstartError                 exit 3: a fault of ours that we noticed
    ├── UsageError                 exit 2: the command or the call was put together wrongly
    │   └── UnknownNameError       a name that is not in a list; carries the nearest ones
    └── InputError                 exit 1: what the user gave us cannot be used
        ├── DataError              a folder, manifest or label
        ├── PictureError           one picture; ``kind`` says in which way
        ├── BackboneError          a backbone, its weights or a cut
        ├── ModelFileError         a saved model or exported file: damaged, foreign, or too new
        ├── ParityError            an export that does not say what the model says
        ├── PlugInError            a task of another package that fails, or does not keep what it says
        ├── StoreError             the cache on disk: full, damaged, on a network drive
        └── MachineError           what the machine refused: a full disk, a permission, a broken device; ``errno`` says what

A message says what was found, what was expected and how to put it right. The edges (`cli`, `serve`) turn the class into an
exit code or an HTTP status, each in one place; nothing else looks at the class to decide.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WarmstartError(Exception):
    """Base of the tree; raised itself only when warmstart finds a fault of its own."""


class UsageError(WarmstartError):
    """Options that contradict each other, or an argument outside its range."""


class UnknownNameError(UsageError):
    """A name that is not in a list, with the nearest names that are."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = list(known)
        # 0.4 rather than difflib's 0.6: 'layer5' for 'stage5' and 'resnet' for 'resnet50' should still find something.
        near = get_close_matches(name, names, n=3, cutoff=0.4)
        listed = ", ".join(names) if len(names) <= 20 else f"{len(names)} names"
        guess = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        super().__init__(f"unknown {what} {name!r}; known: {listed}.{guess}{' ' + hint if hint else ''}")
        self.nearest = near


class InputError(WarmstartError):
    """What the user gave cannot be used as it is."""


class PlugInError(InputError):
    """A task of another package that fails, or gives something else than it said."""


class DataError(InputError):
    """A folder, manifest or label that cannot be used."""


OF_THE_BYTES = frozenset({"not-a-picture", "truncated", "damaged", "too-large", "unsupported"})


class PictureError(InputError):
    """One picture that cannot be used.

    ``kind`` is a member of `OF_THE_BYTES`, whose cause lies in the bytes and holds wherever and whenever they are met; or one of
    'missing', 'permission', 'empty', 'not-a-file' (a folder, pipe or device), 'unreadable' (the disk, or too many open files), 'memory'
    and 'changed' (while it was read), which are this moment's alone and are never remembered.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def transient(self) -> bool:
        """Whether the same bytes may be fine the next time."""
        return self.kind not in OF_THE_BYTES


class BackboneError(InputError):
    """A backbone that cannot be built, weights that do not fit it, or a cut that it does not have."""


class ModelFileError(InputError):
    """A model folder that is damaged, not ours, or of a newer format."""


class ParityError(InputError):
    """An exported file that does not say what the model says, or that no picture could be shown on."""


class MachineError(InputError):
    """The machine refused: no room, no permission, a broken disk. Made by `warmstart.refusals`, which tells them apart.

    ``errno`` is the system's number, None where it is not known.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class StoreError(InputError):
    """The cache on disk is full, damaged beyond a row, or in a place where it cannot work."""
