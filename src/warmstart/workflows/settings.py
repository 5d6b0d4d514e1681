"""What a run needs beside its plan: none of it changes the numbers."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Where things are, what is allowed, how strict to be."""

    exclude: tuple[str, ...] = ()  # patterns of class folders or paths to leave out
    runs: Path = Path("runs")  # a run folder <time>-<name> is made in here
    strict: bool = False  # a picture that cannot be used is an error
    download: bool = False  # weights may be fetched from their hub
    store_bytes: int | None = None  # size budget of the store; None: its default
