"""Two toy backbones, one with batch norm and one without, and drawn pictures of three classes frozen features separate badly.

N examples, S image side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from three_classes import CLASSES, train_batches, val_batches
from torch import Tensor, nn

from warmstart.backbones.assembly import assemble
from warmstart.backbones.catalog import BackboneSpec
from warmstart.backbones.chain import Backbone
from warmstart.backbones.declarations import Declaration
from warmstart.backbones.taps import tapped, tapped_up_to
from warmstart.extraction.features import columns
from warmstart.heads.standardising import mean_and_scale
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.training.batches import Read, TrainBatches, ValBatches
from warmstart.training.tuned import TunedSuffix, split_taps

SIDE = 16


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Residual(nn.Module):
    """A bottleneck as in ResNet-50, with ReLU in place."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, 4, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, stride, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.body(x) + self.shortcut(x))


class ToyResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.act1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.layer1, self.layer2, self.layer3 = Residual(8, 8, 2), Residual(8, 12, 2), Residual(12, 16, 2)
        self.global_pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.act1(self.bn1(self.conv1(x))))))
        return self.fc(self.global_pool(x).flatten(1))


class ToyVgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(8 * 16, 16), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


_DECLARATIONS = {
    "resnet": (
        ToyResNet,
        Declaration(
            stem="conv1 bn1 act1",
            stages=("layer1", "layer2", "layer3"),
            pooling="global_pool +flatten",
            classifier="fc",
        ),
    ),
    "vgg": (
        ToyVgg,
        Declaration(
            stem="features.0-1",
            stages=("features.2-5",),
            pooling="+flatten classifier.0-2",  # dropout among what trains, so that random numbers matter
            classifier="classifier.3",
        ),
    ),
}


def toy(kind: str) -> Backbone:
    """'resnet' or 'vgg', 16 px, with seeded weights and batch-norm statistics that are not those of a fresh layer."""
    network_class, declaration = _DECLARATIONS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = network_class()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    spec = BackboneSpec(
        name=f"toy_{kind}",
        library="warmstart",
        builder="toy",
        declaration=None,
        input_size_px=SIDE,
        weights_tag=None,
        params_millions=0.01,
    )
    return assemble(spec, network.eval(), declaration)


def draw(n: int, seed: int) -> tuple[Tensor, np.ndarray]:
    """uint8 (N, 3, S, S) and labels (N,): stripes that lie, stand or lean, of any phase, under noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(CLASSES, size=n)
    y, x = np.mgrid[:SIDE, :SIDE]
    along = np.stack([x, y, (x + y) / 1.4])[labels]
    waves = np.sin(along * 1.6 + random.uniform(0, 6.3, size=(n, 1, 1)))
    pixels = 128 + 20 * waves[:, None] + random.normal(0, 45, size=(n, 3, SIDE, SIDE))
    return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)), labels


@dataclass
class Problem:
    """A backbone, its frozen solution, and what training needs to start from it."""

    backbone: Backbone
    head: LinearHead
    mean: np.ndarray
    scale: np.ndarray
    taps: tuple[str, ...]
    pixels: Tensor  # train, uint8
    labels: np.ndarray
    val_pixels: Tensor
    val_labels: np.ndarray

    def features(self, pixels: Tensor) -> np.ndarray:
        """What the frozen head reads, from the network as it is now."""
        return taps_of(self.backbone, pixels, self.taps)

    def module(self, cut: str) -> TunedSuffix:
        return TunedSuffix(self.backbone, cut, self.taps, self.head.map, self.mean, self.scale)

    def inputs(self, cut: str, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(activations, prefix taps) of the network as it is now: what the store would hold."""
        stored, _ = split_taps(self.backbone, cut, self.taps)
        with torch.inference_mode():
            activations = tapped_up_to(self.backbone, cut, ())(pixels).reshape(-1, *self.backbone.shapes(SIDE)[cut])
        prefix = torch.from_numpy(taps_of(self.backbone, pixels, stored))
        return activations.clone(), prefix

    def train(self, cut: str, *, batch_size: int = 16, seed: int = 0, balanced: bool = False) -> TrainBatches:
        read = rows(*self.inputs(cut, self.pixels))
        return train_batches(self.labels, read=read, batch_size=batch_size, seed=seed, balanced=balanced)

    def val(self, cut: str) -> ValBatches:
        return val_batches(self.val_labels, read=rows(*self.inputs(cut, self.val_pixels)), batch_size=20)


def taps_of(backbone: Backbone, pixels: Tensor, taps: tuple[str, ...]) -> np.ndarray:
    with torch.inference_mode():
        features = tapped(backbone)(pixels).numpy()
    return columns(features, backbone.tap_layout(), taps)


def rows(*tensors: Tensor) -> Read:
    return lambda indices, views: tuple(tensor[torch.from_numpy(indices)] for tensor in tensors)


def make_problem(
    kind: str = "resnet", *, taps: tuple[str, ...] | None = None, n: int = 72, blank_head: bool = False
) -> Problem:
    """A fresh one at every call; equal arguments give equal ones.

    ``blank_head``: it starts from a head of zeros instead of the frozen solution, so that training surely makes it better.
    """
    backbone = toy(kind)
    taps = taps or backbone.tap_names
    pixels, labels = draw(n, seed=1)
    val_pixels, val_labels = draw(60, seed=2)
    X = taps_of(backbone, pixels, taps)
    head = LinearHead(penalty=0.1).fit(X, labels, n_classes=CLASSES)
    if blank_head:
        head.coef_[:], head.intercept_[:] = 0, 0
    mean, scale = (values[0] for values in mean_and_scale(X, np.ones((1, n), np.float32)))
    return Problem(backbone, head, mean, scale, tuple(taps), pixels, labels, val_pixels, val_labels)


@pytest.fixture
def problem() -> Callable[..., Problem]:
    return make_problem
