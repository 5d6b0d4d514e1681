"""Reading a file of weights, and whether it fits a network: which names are missing, unexpected, or of another shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from warmstart.errors import BackboneError

_NESTED_UNDER = ("state_dict", "model_state_dict", "model")  # where training scripts put the tensors among other things
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a set of tensors compares with the network that they are for. Names, the classifier's left out of the first three."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]  # 'name (file 64×3×7×7, network 64×3×3×3)'
    n_classes: int | None  # rows of the classifier in the file; None: it has none that fits the features' width

    def __str__(self) -> str:
        """The report: counts, and the first names of each kind."""
        parts = [
            f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
            for kind, names in (("missing", self.missing), ("unexpected", self.unexpected), ("misshapen", self.misshapen))
            if names
        ]
        return "; ".join(parts) or "everything fits"

    @property
    def exact(self) -> bool:
        """Nothing but the classifier differs."""
        return not (self.missing or self.unexpected or self.misshapen)


def read_weights_file(path: Path) -> dict[str, Tensor]:
    """Name → tensor from a .safetensors, .pth or .pt file; nesting and the 'module.' of parallel training are taken off.

    Nothing in a .pth is executed: it is read with ``weights_only=True``. Raises BackboneError for a file that is missing,
    damaged, of another type, or holds more than tensors.
    """
    if not path.is_file():
        raise BackboneError(f"no weights file at {str(path)!r}. Give the path of a .safetensors, .pth or .pt file.")
    content: Any
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            content = load_file(path)
        except SafetensorError as error:
            raise BackboneError(f"{path} is not a readable .safetensors file ({error}). Copy or download it again.") from error
    elif path.suffix in (".pth", ".pt"):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise BackboneError(
                f"{path} cannot be read as plain tensors ({reason(error)}). It is damaged, or holds Python "
                f"objects, which warmstart does not execute: save the state dict alone, best as .safetensors."
            ) from error
    else:
        raise BackboneError(f"{path} ends in {path.suffix or 'nothing'!r}; expected .safetensors, .pth or .pt.")
    return _tensors(content, path)


def compare(
    network: Mapping[str, Tensor], given: Mapping[str, Tensor], *, classifier: str, auxiliary: Sequence[str] = ()
) -> Fit:
    """Names and shapes of ``given`` against a network's state dict.

    ``classifier`` is the path of its final linear layer; ``auxiliary`` are heads that published files carry and that the
    network is built without.
    """
    own = (f"{classifier}.weight", f"{classifier}.bias")
    ignored = tuple(f"{head}." for head in auxiliary)
    misshapen = [
        f"{name} (file {_shape(given[name])}, network {_shape(tensor)})"
        for name, tensor in network.items()
        if name in given and name not in own and given[name].shape != tensor.shape
    ]
    weight, bias = (given.get(name) for name in own)
    fits = weight is not None and weight.dim() == 2 and weight.shape[1] == network[own[0]].shape[1]
    return Fit(
        # A count of batches seen influences nothing, and files older than PyTorch 0.4.1 have none.
        missing=tuple(n for n in network if n not in given and n not in own and not n.endswith("num_batches_tracked")),
        unexpected=tuple(n for n in given if n not in network and not n.startswith(ignored)),
        misshapen=tuple(misshapen),
        n_classes=len(weight) if weight is not None and fits and bias is not None and bias.shape == weight.shape[:1] else None,
    )


def reason(error: Exception) -> str:
    """The first line of a message that may run over pages, or be empty."""
    return str(error).partition("\n")[0] or type(error).__name__


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _NESTED_UNDER:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise BackboneError(
            f"{path} holds no mapping from names to tensors (nor one under {', '.join(map(repr, _NESTED_UNDER))}). "
            f"Save `model.state_dict()`."
        )
    tensors = {str(name): tensor for name, tensor in content.items()}
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"
