"""What may be chosen of numbers beside the plan."""

from dataclasses import dataclass
from typing import Annotated

from warmstart.options import Option, Range, settle


@dataclass(frozen=True, kw_only=True)
class NumberOptions:
    """Entries of `Plan.options`."""

    robust: Annotated[
        bool, Option("Pictures whose numbers are far off weigh less (Huber's loss): for labels with slips in them.")
    ] = False
    coverage: Annotated[
        float,
        Option(
            "How often intervals of numbers, or sets of neighbouring values, are to hold the truth.",
            range=Range(above=0, below=1),
            metavar="SHARE",
        ),
    ] = 0.9

    def __post_init__(self) -> None:
        settle(self, "option")
