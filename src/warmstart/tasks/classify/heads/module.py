"""A module of the user's as head: the one that needs torch to predict. `from_torch` fits them. N examples, D features, K classes."""

from typing import ClassVar

from warmstart.heads.standardising import Array
from warmstart.plan import MODULE
from warmstart.training.kept_module import KeptModule


class ModuleHead(KeptModule):
    """See `KeptModule`; its outputs are logits."""

    name: ClassVar[str] = MODULE

    def logits(self, X: Array) -> Array:
        """See `Head.logits`."""
        return self(X)
