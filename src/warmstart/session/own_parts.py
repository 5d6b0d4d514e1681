"""Objects of the user's own that a run is made with: what a plan, plain data, can only say was given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmstart.extraction.own_views import OwnViews

if TYPE_CHECKING:
    from warmstart.backbones.chain import Backbone
    from warmstart.training.events import Event


@dataclass(frozen=True, kw_only=True)
class OwnParts:
    """None of them is needed."""

    backbone: "Backbone | None" = None  # in place of the one that the plan names
    head: Any = None  # what is fitted where the plan's head is 'given': a scikit-learn classifier
    augment: OwnViews | None = None  # what makes the views where the plan's augment is 'given'
    on_event: "Callable[[Event], object] | None" = (
        None  # is told what the training loop tells; True ends training, its best epoch is kept
    )


NONE = OwnParts()
