"""When a run began, and how long it may take: one clock for all of its parts."""

import time
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Starts when it is made."""

    begin: float = field(default_factory=time.perf_counter)  # by `time.perf_counter`
    budget_s: float | None = None  # for the whole run; None: nothing limits it
    earlier_s: float = 0.0  # that the run took before it was interrupted

    def here(self) -> float:
        """Seconds since this process began the run."""
        return time.perf_counter() - self.begin

    def elapsed(self) -> float:
        """Seconds that the run has taken, a pause between a kill and --resume not counted."""
        return self.earlier_s + self.here()

    def left(self) -> float | None:
        """Seconds of the budget, below 0 when it is over; None where nothing limits the run."""
        return None if self.budget_s is None else self.budget_s - self.elapsed()

    def sparing(self, seconds: float) -> Self:
        """The same, with so much of the budget left for what comes afterwards."""
        return self if self.budget_s is None else replace(self, budget_s=self.budget_s - seconds)
