"""What may be chosen of an order beside the plan."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from warmstart.errors import UsageError
from warmstart.options import NAMES, Option, Range, read_names, settle


def _check_order(order: Sequence[str]) -> None:
    twice = [name for name, times in Counter(order).items() if times > 1]
    if twice:
        raise UsageError(
            f"the order {','.join(order)} names {', '.join(map(repr, twice))} more than once: name each value once"
        )
    if len(order) == 1:
        raise UsageError(f"the order {order[0]} has one value; expected two or more, from lowest to highest: low,mid,high")


@dataclass(frozen=True, kw_only=True)
class OrderOptions:
    """Entries of `Plan.options`."""

    order: Annotated[
        tuple[str, ...],
        Option(
            "The values from lowest to highest, joined by ',': low,mid,high. Default: by size, where all of them are numbers.",
            metavar="VALUES",
            form=NAMES,
            check=_check_order,
            verbs=("train", "lr-find"),
        ),
    ] = ()
    coverage: Annotated[
        float,
        Option(
            "How often intervals of numbers, or sets of neighbouring values, are to hold the truth.",
            range=Range(above=0, below=1),
            metavar="SHARE",
        ),
    ] = 0.9

    def __post_init__(self) -> None:
        order: Any = self.order  # in Python also as one text, or as numbers
        order = read_names(order) if isinstance(order, str) else order
        if isinstance(order, tuple | list):
            object.__setattr__(self, "order", tuple(str(name) for name in order))
        settle(self, "option")
