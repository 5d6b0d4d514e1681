"""What a run needs beside its plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from warmstart.errors import UsageError

MOST_BUDGET_S = 365 * 86_400.0  # more than that is a slip, such as milliseconds


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
    heat_maps: bool = True  # of a few test pictures, in the report
    findings: bool = True  # doctor.json, for the report: what is wrong with the data, as far as the run's rows tell
    budget_s: float | None = None  # wall-clock in which training is to end; the plan's epochs are cut down to what fits

    def __post_init__(self) -> None:
        if self.budget_s is not None and not 0 < self.budget_s <= MOST_BUDGET_S:
            raise UsageError(
                f"a budget of {self.budget_s:g} s is no time to train in; give more than 0 s and at most 365 days, such as 10m"
            )

    def kept(self) -> dict[str, Any]:
        """JSON-ready: what an interrupted run must be gone on with."""
        return {
            "exclude": list(self.exclude),
            "strict": self.strict,
            "budget_s": self.budget_s,
            "fixes": None if self.fixes is None else str(self.fixes.resolve()),
            "group_duplicates": self.group_duplicates,
            "heat_maps": self.heat_maps,
            "findings": self.findings,
        }

    @classmethod
    def from_kept(cls, document: Mapping[str, Any], *, runs: Path, download: bool = False) -> Self:
        """The inverse of `kept`; other keys of the document are none of its business."""
        fixes = document.get("fixes")
        return cls(
            exclude=tuple(document["exclude"]),
            strict=document["strict"],
            budget_s=document["budget_s"],
            fixes=None if fixes is None else Path(fixes),
            group_duplicates=document.get("group_duplicates"),
            heat_maps=document.get("heat_maps", True),
            findings=document.get("findings", True),
            runs=runs,
            download=download,
        )
