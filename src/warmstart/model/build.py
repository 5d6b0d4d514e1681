"""Put a model together: from a backbone and a fitted head, or from a backbone and the classifier that it came with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import feature_tensors, load_backbone
from warmstart.data.views import VIEW_POLICIES
from warmstart.heads.linear import LinearHead
from warmstart.heads.protocol import Head
from warmstart.model.predictor import Model
from warmstart.records import Preprocessing


def assemble(
    backbone: Backbone,
    *,
    head: Head,
    head_name: str,
    taps: Sequence[str],
    temperature: float,
    preprocessing: Preprocessing,
    engine: str,
    precision: str,
    class_names: Sequence[str],
    positive: str | None = None,
    threshold: float | None = None,
    about: Mapping[str, Any] | None = None,
) -> Model:
    """The model that reads ``taps`` of ``backbone`` and decides with ``head``. It holds copies of the backbone's tensors."""
    return Model(
        class_names=tuple(class_names),
        backbone=backbone.spec.name,
        layout=backbone.tap_layout(preprocessing.size_px),
        taps=tuple(taps),
        preprocessing=preprocessing,
        head=head,
        head_name=head_name,
        temperature=temperature,
        engine=engine,
        precision=precision,
        tensors=feature_tensors(backbone),
        positive=positive,
        threshold=threshold,
        about=about or {},
    )


def source_model(name: str, *, download: bool = False) -> Model:
    """The pretrained network as it is, with its own 1,000-class ImageNet head: `imagenet:NAME`.

    Raises BackboneError when its weights are not on this machine.
    """
    from warmstart.backbones.imagenet import imagenet_class_names

    backbone = load_backbone(name, download=download)
    classifier = backbone.classifier.module
    weight, bias = (tensor.detach().numpy() for tensor in (classifier.weight, classifier.bias))
    head = LinearHead.from_arrays(LinearHead().settings(), {"coef": np.ascontiguousarray(weight.T), "intercept": bias.copy()})
    return assemble(
        backbone,
        head=head,
        head_name="linear",
        taps=("pooled",),
        temperature=1.0,
        preprocessing=Preprocessing(size_px=backbone.spec.input_size_px, views=VIEW_POLICIES["none"]),
        engine="openvino",
        precision="f32",
        class_names=imagenet_class_names(),
        about={"licence": backbone.spec.licence, "source": "ImageNet-1k"},
    )
