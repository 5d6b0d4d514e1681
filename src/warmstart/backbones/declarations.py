"""How each family of networks is cut into links: plain data, one entry a family.

A declaration lists the paths of a network's modules in the order in which its forward pass runs them. The grammar:

    conv1 bn1            the modules at these paths, one after the other
    features.3-5         the children features.3, features.4, features.5
    blocks.*             as a whole stage entry: every child of `blocks` is a stage of its own
    +flatten             a step that the library writes as a function call, made a module by `warmstart.backbones.functional_layers`

Stages end behind activation and pooling, never before them: an activation that works in place would overwrite what was
read at the cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The links of a family of networks, in order, grouped by cut."""

    stem: str
    stages: tuple[str, ...]
    pooling: str  # from the last stage to the values that the classifier layer multiplies
    dropout: str = ""  # between `pooled` and the classifier, so that a head trained on `pooled` keeps it
    classifier: str  # path of the final linear layer
    auxiliary: tuple[str, ...] = ()  # heads of the original training, in published files but not in the network we build


DECLARATIONS: Mapping[str, Declaration] = {
    "alexnet": Declaration(  # torchvision
        stem="features.0-2",
        stages=("features.3-5", "features.6-7", "features.8-9", "features.10-12"),
        pooling="avgpool +flatten classifier.0-5",
        classifier="classifier.6",
    ),
    "zfnet": Declaration(
        stem="features.0-3",
        stages=("features.4-7", "features.8-9", "features.10-11", "features.12-14"),
        pooling="avgpool +flatten classifier.0-5",
        classifier="classifier.6",
    ),
    "vgg16": Declaration(  # torchvision; stage K is the paper's block K, its first convolution the stem
        stem="features.0-1",
        stages=("features.2-4", "features.5-9", "features.10-16", "features.17-23", "features.24-30"),
        pooling="avgpool +flatten classifier.0-4",
        dropout="classifier.5",
        classifier="classifier.6",
    ),
    "vgg19": Declaration(
        stem="features.0-1",
        stages=("features.2-4", "features.5-9", "features.10-18", "features.19-27", "features.28-36"),
        pooling="avgpool +flatten classifier.0-4",
        dropout="classifier.5",
        classifier="classifier.6",
    ),
    "googlenet": Declaration(  # torchvision, auxiliary heads left out
        stem="+transform_input conv1 maxpool1 conv2 conv3 maxpool2",
        stages=(
            "inception3a inception3b maxpool3",
            "inception4a inception4b inception4c inception4d inception4e maxpool4",
            "inception5a inception5b",
        ),
        pooling="avgpool +flatten",
        dropout="dropout",
        classifier="fc",
        auxiliary=("aux1", "aux2"),
    ),
    "inception_v3": Declaration(  # torchvision, auxiliary head left out
        stem="+transform_input Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2",
        stages=(
            "Mixed_5b Mixed_5c Mixed_5d",
            "Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e",
            "Mixed_7a Mixed_7b Mixed_7c",
        ),
        pooling="avgpool +flatten",  # torchvision drops out before it flattens; elementwise, so the order changes no value
        dropout="dropout",
        classifier="fc",
        auxiliary=("AuxLogits",),
    ),
    "resnet": Declaration(  # timm: ResNet, ResNeXt, Wide ResNet, SE-ResNet
        stem="conv1 bn1 act1 maxpool",
        stages=("layer1", "layer2", "layer3", "layer4"),
        pooling="global_pool",
        classifier="fc",
    ),
    "xception": Declaration(  # timm's legacy_xception: entry flow, middle flow in two halves, exit flow
        stem="conv1 bn1 act1 conv2 bn2 act2",
        stages=(
            "block1",
            "block2",
            "block3",
            "block4 block5 block6 block7",
            "block8 block9 block10 block11",
            "block12",
            "conv3 bn3 act3 conv4 bn4 act4",
        ),
        pooling="global_pool",
        classifier="fc",
    ),
    "efficientnet": Declaration(  # timm: EfficientNet, EfficientNet-Lite, MobileNetV2, MnasNet
        stem="conv_stem bn1",
        stages=("blocks.*", "conv_head bn2"),
        pooling="global_pool",
        classifier="classifier",
    ),
    "mobilenetv3": Declaration(  # timm; the last convolution comes after the pooling
        stem="conv_stem bn1",
        stages=("blocks.*",),
        pooling="global_pool conv_head norm_head act2 flatten",
        classifier="classifier",
    ),
    "densenet": Declaration(  # timm
        stem="features.conv0 features.norm0 features.pool0",
        stages=(
            "features.denseblock1 features.transition1",
            "features.denseblock2 features.transition2",
            "features.denseblock3 features.transition3",
            "features.denseblock4 features.norm5",
        ),
        pooling="global_pool",
        dropout="head_drop",
        classifier="classifier",
    ),
    "convnext": Declaration(  # timm
        stem="stem",
        stages=("stages.0", "stages.1", "stages.2", "stages.3 norm_pre"),
        pooling="head.global_pool head.norm head.flatten head.pre_logits",
        dropout="head.drop",
        classifier="head.fc",
    ),
    "regnet": Declaration(  # timm
        stem="stem",
        stages=("s1", "s2", "s3", "s4 final_conv"),
        pooling="head.global_pool",
        dropout="head.drop",
        classifier="head.fc",
    ),
}
