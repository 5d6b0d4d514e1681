"""The sanity check of J. Adebayo et al., NeurIPS 2018: a map that does not depend on the weights explains no network.

Randomise the network, leave the head: the map has to become another one. Likeness is the rank correlation (Spearman) of the signed
maps, mean over pictures and seeds. One pair alone says little: a map of 7 × 7 positions is smooth, and a random network tells
figure from ground too, with a random sign (measured: -0.85 … 0.77, mean -0.34 for occlusion, -0.31 for Grad-CAM).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image

from warmstart.backbones.build import build_network, to_backbone
from warmstart.extraction.rendering import render
from warmstart.records import Preprocessing
from warmstart.tasks.classify.explain import occlusion
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, ForwardPass, look
from warmstart.tasks.classify.explain.explanation import subject_of
from warmstart.tasks.classify.explain.grad_cam import grad_cam
from warmstart.tasks.classify.explain.heat_map import HeatMap
from warmstart.tasks.classify.source import source_model

LIMIT = 0.5
SEEDS = (1, 2, 3)
LAYER = "stage8"

Method = Callable[[AttributionModel, ForwardPass, int, str], HeatMap]


@pytest.fixture(scope="module")
def pretrained() -> AttributionModel:
    return subject_of(source_model("efficientnet_lite0"))


@pytest.fixture(scope="module")
def randomised(pretrained: AttributionModel) -> list[AttributionModel]:
    spec = pretrained.backbone.spec
    return [replace(pretrained, backbone=to_backbone(spec, build_network(spec, seed=seed))) for seed in SEEDS]


@pytest.fixture(scope="module", params=["china.jpg", "flower.jpg"])
def pixels(request: pytest.FixtureRequest) -> np.ndarray:
    return render(load_sample_image(request.param), Preprocessing(size_px=224))


def edges(subject: AttributionModel, seen: ForwardPass, label: int, layer: str) -> HeatMap:
    """A mutant: where the picture has edges, as pretty as any heat-map, and blind to the weights."""
    grey = seen.maps["pixels"][0].detach().numpy().mean(axis=0)
    steep = np.abs(np.gradient(grey)).sum(axis=0).reshape(7, 32, 7, 32).mean(axis=(1, 3))
    return HeatMap(method="edges", layer=layer, label=label, values=steep, against=np.zeros_like(steep))


def likenesses(
    method: Method, subject: AttributionModel, others: list[AttributionModel], pixels: np.ndarray
) -> Iterator[float]:
    seen = look(subject, pixels, gradients=True)
    label = int(np.argmax(subject.head.logits(seen.rows.detach().numpy()[:, -2560:-1280])))

    def signed(of: AttributionModel, seen: ForwardPass) -> np.ndarray:
        heat = method(of, seen, label, LAYER)
        return (heat.values - heat.against).ravel()

    expected = signed(subject, seen)
    for other in others:
        yield float(spearmanr(expected, signed(other, look(other, pixels, gradients=True))).statistic)


@pytest.mark.parametrize("method", [occlusion.occlusion, grad_cam])
def test_a_randomised_network_has_another_map(
    method: Method, pretrained: AttributionModel, randomised: list[AttributionModel], pixels: np.ndarray
) -> None:
    assert np.mean(list(likenesses(method, pretrained, randomised, pixels))) < LIMIT
    assert list(likenesses(method, pretrained, [pretrained], pixels)) == [pytest.approx(1)]


def test_a_map_that_ignores_the_weights_does_not_pass(
    pretrained: AttributionModel, randomised: list[AttributionModel], pixels: np.ndarray
) -> None:
    assert np.mean(list(likenesses(edges, pretrained, randomised, pixels))) > LIMIT
