"""What a run needs beside its plan."""

import math
from dataclasses import dataclass
from pathlib import Path

from warmstart.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Where things are, what is allowed, how strict to be."""

    exclude: tuple[str, ...] = ()  # patterns of class folders or paths to leave out
    runs: Path = Path("runs")  # a run folder <time>-<name> is made in here
    strict: bool = False  # a picture that cannot be used is an error
    download: bool = False  # weights may be fetched from their hub
    store_bytes: int | None = None  # size budget of the store; None: its default
    fixes: Path | None = None  # a list of fixes, applied before anything else; see workflows.fixes
    group_duplicates: bool | None = None  # near copies share a split; None: where splits are not given and would divide some
    report: bool = True  # write report.html when the run is done
    budget_s: float | None = None  # wall-clock in which training is to end; the plan's epochs are cut down to what fits

    def __post_init__(self) -> None:
        if self.budget_s is not None and not 0 < self.budget_s < math.inf:
            raise UsageError(f"a budget of {self.budget_s} s is no time to train in; give a number above 0, such as 10m")
