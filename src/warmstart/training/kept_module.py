"""A module of the user's as what a model keeps: (x - shift) · scale → its operations, as plain data → outputs.

Loads torch when it is asked for something, and not before. N examples, D features, O outputs.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array, blocks
from warmstart.heads.stored_arrays import checked_arrays

if TYPE_CHECKING:
    from torch import nn

    from warmstart.backbones.operations import Document
    from warmstart.training.own_head import OwnHead


class KeptModule:
    """Of what was fitted, ``own``, to be trained on; or ``kept``: operations (see `backbones.operations`), and arrays shift and scale (D,),
    tensor0, tensor1 …
    """

    def __init__(self, *, own: "OwnHead | None" = None, kept: "tuple[Document, Mapping[str, Array]] | None" = None) -> None:
        self.own = own
        if kept is not None:
            self.kept = kept

    def __call__(self, X: Array) -> Array:
        """(N, D) → (N, O)."""
        from warmstart.training.own_head import outputs

        (shift, scale), out = self.front, np.empty((len(X), self.n_outputs), np.float32)
        for rows in blocks(len(X)):
            out[rows] = outputs(self.module, (X[rows] - shift) * scale)
        return out

    @cached_property
    def kept(self) -> "tuple[Document, Mapping[str, Array]]":
        """Written when it is wanted: of the many that are fitted to choose one, one is. Raises UsageError for what cannot be kept."""
        assert self.own is not None
        operations, tensors = self.own.written()
        return operations, {"shift": self.own.mean, "scale": self.own.scale, **tensors}

    @cached_property
    def module(self) -> "nn.Module":
        """Standardised features → outputs. Raises ValueError for what `kept` does not write."""
        if self.own is not None:
            return self.own.module
        import torch

        from warmstart.backbones.operations import Operations

        operations, arrays = self.kept
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items() if name.startswith("tensor")}
        return Operations.of(operations, tensors).eval()

    @property
    def front(self) -> tuple[Array, Array]:
        """shift and scale (D,)."""
        if self.own is not None:
            return self.own.mean, self.own.scale
        return self.kept[1]["shift"], self.kept[1]["scale"]

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.front[0])

    @cached_property
    def n_outputs(self) -> int:
        """O. Raises ValueError where the operations do not go with the arrays."""
        from warmstart.training.own_head import outputs

        try:
            found = outputs(self.module, np.zeros((2, self.n_features), np.float32))
        except (RuntimeError, TypeError, IndexError, AttributeError) as reason:
            raise ValueError(f"'head.settings.operations', which fail: {str(reason).splitlines()[0][:160]}") from reason
        if found.ndim != 2 or len(found) != 2:
            raise ValueError(f"'head.settings.operations', which give {found.shape} for two pictures")
        return int(found.shape[1])

    def settings(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"operations": self.kept[0]}

    def arrays(self) -> dict[str, Array]:
        """By name."""
        return dict(self.kept[1])

    @classmethod
    def from_arrays(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Back from `settings` and `arrays`: it says the same to the bit. Raises ValueError for what nothing of ours wrote."""
        shift, scale = checked_arrays(arrays, {"shift": "D", "scale": "D"})
        tensors = {name: array for name, array in arrays.items() if name.startswith("tensor")}
        for name, array in tensors.items():
            checked_arrays({name: array}, {name: "ABCDEFGH"[: array.ndim]})
        found = cls(kept=(settings.get("operations", []), {"shift": shift, "scale": scale, **tensors}))
        _ = found.n_outputs  # whether all of it goes together is seen by asking it
        return found
