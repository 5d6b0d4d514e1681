"""What is computed of a picture, and by which engine: the whole backbone with its taps, or the part left of a cut."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from warmstart.backbones.catalog import BackboneSpec
from warmstart.engines.build import Prefix, ProofPictures, Proven, resolve
from warmstart.engines.proof import PROOF_PICTURES
from warmstart.errors import PictureError, UnknownNameError
from warmstart.extraction.rendering import PICTURES, Renderer
from warmstart.records import Picture, Preprocessing
from warmstart.store.key import recipe_key

if TYPE_CHECKING:
    import torch

    from warmstart.backbones.chain import Backbone


def tapped_prefix(backbone: "Backbone", size_px: int) -> Prefix:
    """The whole backbone with every tap as output: what feature extraction runs."""
    from warmstart.backbones.taps import tapped
    from warmstart.backbones.weights import weights_digest

    key = prefix_key(backbone.spec, weights_digest(backbone), size_px)
    return Prefix(
        name=backbone.spec.name, key=key, size_px=size_px, layout=backbone.tap_layout(size_px), module=partial(tapped, backbone)
    )


def cut_prefix(backbone: "Backbone", cut: str, tap_names: tuple[str, ...], size_px: int) -> Prefix:
    """The part left of a cut, with these taps of it and the activations at the cut as output: what a suffix is trained on."""
    from warmstart.backbones.taps import tapped_up_to
    from warmstart.backbones.weights import weights_digest

    widths = dict(backbone.tap_layout(size_px))
    activations = math.prod(backbone.shapes(size_px)[cut])
    whole = prefix_key(backbone.spec, weights_digest(backbone), size_px)
    return Prefix(
        name=f"{backbone.spec.name} up to {cut}",
        key=recipe_key({"backbone": whole, "cut": cut, "taps": list(tap_names)}),
        size_px=size_px,
        layout=(*((tap, widths[tap]) for tap in tap_names), ("activations", activations)),
        module=partial(tapped_up_to, backbone, cut, tap_names),
    )


def maps_prefix(backbone: "Backbone", taps: tuple[str, ...], maps: tuple[str, ...], size_px: int) -> Prefix:
    """The part that some taps and the maps of some stages are read from. Raises UnknownNameError for what is no stage with a map."""
    from warmstart.backbones.weights import weights_digest

    shapes = backbone.shapes(size_px)
    known = [name for name, shape in shapes.items() if len(shape) == 3 and name != "pixels"]
    for name in maps:
        if name not in known:
            raise UnknownNameError("stage with a map", name, known)
    whole = prefix_key(backbone.spec, weights_digest(backbone), size_px)
    widths = dict(backbone.tap_layout(size_px))
    return maps_prefix_of(backbone.spec.name, whole, taps, maps, size_px, widths, shapes, lambda: backbone)


def maps_prefix_of(
    name: str,
    whole: str,
    taps: tuple[str, ...],
    maps: tuple[str, ...],
    size_px: int,
    widths: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
    network: "Callable[[], Backbone]",
) -> Prefix:
    """The same, where the key of the whole backbone is known and the network may not be needed."""

    def module() -> "torch.nn.Module":
        from warmstart.backbones.taps import with_maps

        return with_maps(network(), taps, maps)

    return Prefix(
        name=f"{name} with maps",
        key=recipe_key({"backbone": whole, "taps": list(taps), "maps": list(maps)}),
        size_px=size_px,
        layout=(*((tap, widths[tap]) for tap in taps), *((map_name(stage), math.prod(shapes[stage])) for stage in maps)),
        module=module,
    )


def map_name(stage: str) -> str:
    """What a stage's map is called in a row; the stage's own name is that of its tap."""
    return f"map of {stage}"


def prefix_key(spec: BackboneSpec, weights: str, size_px: int) -> str:
    """The identity of `tapped_prefix`'s numbers, known without building a network: `weights` is the digest of its tensors."""
    normalisation = [repr(value) for value in (*spec.mean, *spec.std)]
    identity = {"architecture": spec.name, "weights": weights, "size_px": size_px, "normalisation": normalisation}
    return recipe_key(identity | {"outputs": "mean and deviation of stages, pooled, max"})


def choose_engine(
    pictures: Sequence[Picture],
    prefix: Prefix,
    preprocessing: Preprocessing,
    *,
    engine: str,
    precision: str,
    graphs: Path,
    renderer: Renderer = PICTURES,
) -> Proven:
    """The fastest engine that proves itself on 16 of these pictures: those with the smallest digests that can be decoded."""
    first = sorted({p.digest: p for p in pictures}.values(), key=lambda p: p.digest)[: 2 * PROOF_PICTURES]
    out_of_reach = []

    def load() -> np.ndarray:
        rendered = []
        for picture in first:
            try:
                rendered += renderer.render(picture, ("plain",), preprocessing)[0]
            except PictureError:
                if picture.content is None and not os.access(picture.path, os.R_OK):  # the next time it may be there
                    out_of_reach.append(picture.path)
                continue
            if len(rendered) == PROOF_PICTURES:
                break
        if not rendered:  # everything broken: prove on noise; the caller will say that no picture is left
            rendered = list(np.random.default_rng(0).integers(0, 256, (4, 3, prefix.size_px, prefix.size_px), dtype=np.uint8))
        return np.stack(rendered)

    key = recipe_key(
        {
            "pictures": [p.digest.hex() for p in first],
            "size_px": preprocessing.size_px,
            "resize": preprocessing.resize,
            "values": asdict(preprocessing.values),
            "decoder": renderer.id,
        }
    )
    proof = ProofPictures(key=key, load=load, lasting=lambda: not out_of_reach)
    return resolve(prefix, proof, engine=engine, precision=precision, folder=graphs)
