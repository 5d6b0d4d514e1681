"""Objects of the user's own that a run is made with: what a plan, plain data, can only say was given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmstart.extraction.own_views import OwnViews
from warmstart.plan import GIVEN, MODULE

if TYPE_CHECKING:
    from warmstart.backbones.chain import Backbone
    from warmstart.training.events import Event


@dataclass(frozen=True, kw_only=True)
class OwnParts:
    """None of them is needed."""

    backbone: "Backbone | None" = None  # in place of the one that the plan names
    head: Any = (
        None  # what is fitted where the plan's head is 'given', something of scikit-learn's, or 'module', a module of torch's
    )
    augment: OwnViews | None = None  # what makes the views where the plan's augment is 'given'
    on_event: "Callable[[Event], object] | None" = (
        None  # is told what the training loop tells; True ends training, its best epoch is kept
    )


NONE = OwnParts()


def handed_over(
    *, backbone: Any = None, head: Any = None, augment: Any = None, on_event: "Callable[[Event], object] | None" = None
) -> tuple[dict[str, Any], OwnParts]:
    """Each a name, an object or None: what a plan says of them, by field, and the objects. What of a backbone was frozen stays frozen.

    Raises UsageError and BackboneError for objects that cannot be what they are to be.
    """
    plan: dict[str, Any] = {}
    own: dict[str, Any] = {"on_event": on_event}
    if isinstance(backbone, str):
        plan["backbone"] = backbone
    elif backbone is not None:
        from warmstart.backbones.own import frozen_by_hand, given_backbone

        own["backbone"] = given_backbone(backbone)
        plan["backbone"] = own["backbone"].spec.name
        plan |= {"freeze": fixed} if (fixed := frozen_by_hand(backbone)) else {}
    if head is not None:
        plan["head"] = head if isinstance(head, str) else MODULE if _is_module(head) else GIVEN
        own["head"] = None if isinstance(head, str) else head
    if augment is not None:
        plan["augment"] = augment if isinstance(augment, str) else GIVEN
        own["augment"] = None if isinstance(augment, str) else OwnViews.of(augment)
    return plan, OwnParts(**own)


def _is_module(head: Any) -> bool:
    """Whether it is torch's. Who has none has not loaded torch, and need not."""
    return any(base.__module__ == "torch.nn.modules.module" for base in type(head).__mro__)
