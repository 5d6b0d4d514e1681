"""What may be chosen of labels beside the plan."""

from dataclasses import dataclass
from typing import Annotated, Literal

from warmstart.options import Option, Range, settle


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Entries of `Plan.options`."""

    recall: Annotated[
        float | None,
        Option(
            "Which share of a picture's labels is to be found, on average over pictures: fewer are missed, more are said wrongly. "
            "Default: what gives the best F1.",
            range=Range(above=0, below=1),
            metavar="SHARE",
        ),
    ] = None
    loss: Annotated[
        Literal["bce", "asymmetric"],
        Option(
            "What training right of a cut minimises towards labels: bce, or asymmetric, in which labels that are surely not there hardly "
            "count."
        ),
    ] = "bce"

    def __post_init__(self) -> None:
        settle(self, "option")
