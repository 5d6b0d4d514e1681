"""What the historical networks scored in the ILSVRC classification task, with the source of each number.

The number is the competition entry's top-5 error on the test set in percent. Entries were ensembles evaluated on many crops;
one network with one crop, which is what this library runs, does worse. The numbers and tables were written down from memory of the
papers and have not been checked against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class IlsvrcEntry:
    """One competition entry."""

    year: int
    entry: str  # team or model as it entered
    top5_error_percent: float
    what: str  # which number this is
    source: str


ILSVRC: Mapping[str, IlsvrcEntry] = {
    "alexnet": IlsvrcEntry(
        year=2012,
        entry="SuperVision",
        top5_error_percent=15.3,
        what="winner; seven networks averaged, two of them pretrained on the ImageNet 2011 release",
        source="Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep CNNs, NIPS 2012, table 2",
    ),
    "zfnet": IlsvrcEntry(
        year=2013,
        entry="Clarifai",
        top5_error_percent=11.7,
        what="winner, the first author's company; the paper on ZFNet reports 14.8 for an average of six networks",
        source="Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge, IJCV 2015; "
        "Zeiler & Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014, table 2",
    ),
    "vgg16": IlsvrcEntry(
        year=2014,
        entry="VGG",
        top5_error_percent=7.3,
        what="second place; seven networks averaged, VGG-16 and VGG-19 among them",
        source="Simonyan & Zisserman: Very Deep Convolutional Networks …, ICLR 2015, section 4.5",
    ),
    "vgg19": IlsvrcEntry(
        year=2014,
        entry="VGG",
        top5_error_percent=7.3,
        what="second place; seven networks averaged, VGG-16 and VGG-19 among them",
        source="Simonyan & Zisserman: Very Deep Convolutional Networks …, ICLR 2015, section 4.5",
    ),
    "googlenet": IlsvrcEntry(
        year=2014,
        entry="GoogLeNet",
        top5_error_percent=6.67,
        what="winner; seven networks, 144 crops",
        source="Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, table 2",
    ),
    "resnet50": IlsvrcEntry(
        year=2015,
        entry="MSRA",
        top5_error_percent=3.57,
        what="winner; six residual networks of different depths averaged",
        source="He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, table 5",
    ),
    "inception_v3": IlsvrcEntry(
        year=2015,
        entry="ReCeption (Google)",
        top5_error_percent=3.58,
        what="second place; four networks, 144 crops",
        source="Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, CVPR 2016, table 5",
    ),
}
