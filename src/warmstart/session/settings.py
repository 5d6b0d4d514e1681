"""What a run needs beside its plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from warmstart.errors import UnknownNameError, UsageError
from warmstart.options import GIGABYTES, NAMES, SECONDS, Option, settle, tagged, thawed

MOST_BUDGET_S = 365 * 86_400.0  # more than that is a slip, such as milliseconds

LOGGERS = ("csv", "tensorboard", "mlflow")  # `training.loggers` has them
KEPT = "kept"  # tag of what an interrupted run must be gone on with
EVERY = ("train", "compare", "lr-find", "advise", "doctor")  # commands that read data and load a backbone


def _check_budget(seconds: float) -> None:
    if not 0 < seconds <= MOST_BUDGET_S:
        raise UsageError(
            f"a budget of {seconds:g} s is no time to train in; give more than 0 s and at most 365 days, such as 10m"
        )


def _check_loggers(names: Sequence[str]) -> None:
    for name in names:
        if name not in LOGGERS:
            raise UnknownNameError("logger", name, LOGGERS)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Where things are, what is allowed, how strict to be."""

    budget_s: Annotated[
        float | None,
        Option(
            "Wall-clock in which training is to end (90s, 10m, 1h): fewer epochs if need be. With --cut auto 2m if not given.",
            flag="--budget",
            metavar="TIME",
            form=SECONDS,
            check=_check_budget,
            verbs=("train", "compare", "advise"),
            tags=(KEPT,),
        ),
    ] = None
    exclude: Annotated[
        tuple[str, ...],
        Option("Leave out class folders or paths; repeatable.", metavar="PATTERN", verbs=EVERY, tags=(KEPT,)),
    ] = ()
    runs: Annotated[Path, Option("Folder in which the run folder is made.", verbs=("train", "compare", "lr-find"))] = Path(
        "runs"
    )
    strict: Annotated[bool, Option("A picture that cannot be used is an error.", verbs=("train", "compare"), tags=(KEPT,))] = (
        False
    )
    download: Annotated[bool, Option("Allow fetching weights from their hub; size and licence are shown.", verbs=EVERY)] = False
    store_bytes: Annotated[
        int | None,
        Option(
            "Size budget of the store; default: a share of the free disk.",
            flag="--cache-gb",
            metavar="GB",
            form=GIGABYTES,
        ),
    ] = None
    fixes: Annotated[
        Path | None,
        Option(
            "A list of fixes (doctor --fix-list) to apply first: keep, drop or relabel. No file is touched.",
            metavar="CSV",
            verbs=("train", "compare", "lr-find", "advise"),
            tags=(KEPT,),
        ),
    ] = None  # see workflows.fixes
    group_duplicates: Annotated[
        bool | None,
        Option(
            "Near copies of a picture stay on one side of the split. Default: where the data brings no split and some would not.",
            verbs=("train", "compare", "lr-find", "advise"),
            tags=(KEPT,),
        ),
    ] = None
    report: Annotated[bool, Option("Write report.html when the run is done.", verbs=())] = True
    heat_maps: Annotated[
        bool,
        Option(
            "Show in the report where the model looked, on a few test pictures: some 2 s.",
            verbs=("train", "compare"),
            tags=(KEPT,),
        ),
    ] = True
    findings: Annotated[
        bool,
        Option(
            "Look for copies, doubtful labels and outliers when the run is done, for the report: at most some 10 s.",
            verbs=("train", "compare"),
            tags=(KEPT,),
        ),
    ] = True

    logger: Annotated[
        tuple[str, ...],
        Option(
            "What else training is written down for, joined by ',': csv (steps.csv in the run folder), tensorboard, mlflow.",
            form=NAMES,
            metavar="NAMES",
            check=_check_loggers,
            verbs=("train", "compare"),
            tags=(KEPT,),
        ),
    ] = ()

    def __post_init__(self) -> None:
        settle(self, "setting")

    def kept(self) -> dict[str, Any]:
        """JSON-ready: what an interrupted run must be gone on with."""
        kept = {field.name: thawed(getattr(self, field.name)) for field in tagged(type(self), KEPT)}
        return kept | {"fixes": None if self.fixes is None else str(self.fixes.resolve())}

    @classmethod
    def from_kept(cls, document: Mapping[str, Any], *, runs: Path, download: bool = False) -> Self:
        """The inverse of `kept`; other keys of the document are none of its business."""
        values = {field.name: document[field.name] for field in tagged(cls, KEPT) if field.name in document}
        return cls(**values, runs=runs, download=download)
