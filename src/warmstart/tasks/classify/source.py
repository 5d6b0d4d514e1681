"""The pretrained network as it is, with the classifier that it came with."""

import numpy as np

from warmstart.backbones.imagenet import imagenet_class_names
from warmstart.backbones.weights import load_backbone
from warmstart.data.views import VIEW_POLICIES
from warmstart.heads.linear_map import LinearMap
from warmstart.model.build import assemble
from warmstart.model.predictor import Model
from warmstart.records import Preprocessing
from warmstart.tasks.classify.classifier import Classifier
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.task import TASK


def source_model(name: str, *, download: bool = False) -> Model:
    """With its own 1,000-class ImageNet head: `imagenet:NAME`. Raises BackboneError when its weights are not on this machine."""
    backbone = load_backbone(name, download=download)
    classifier = backbone.classifier.module
    weight, bias = (tensor.detach().numpy() for tensor in (classifier.weight, classifier.bias))
    head = LinearHead.of_map(LinearMap(coef=np.ascontiguousarray(weight.T), intercept=bias.copy()))
    return assemble(
        backbone,
        TASK,
        Classifier(class_names=tuple(imagenet_class_names()), taps=("pooled",), head=head, head_name="linear"),
        preprocessing=Preprocessing(size_px=backbone.spec.input_size_px, views=VIEW_POLICIES["none"]),
        engine="openvino",
        precision="f32",
        about={"licence": backbone.spec.licence, "source": "ImageNet-1k"},
    )
