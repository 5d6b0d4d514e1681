"""The distance to the source's statistics, on networks whose statistics are known."""

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.taps import tapped
from warmstart.tasks.classify.evidence.shift import shift

SIZE = 64


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    return coarse.repeat(SIZE // 8, axis=2).repeat(SIZE // 8, axis=3)


@pytest.fixture(scope="module")
def at_home(pictures: np.ndarray) -> Backbone:
    """A random network whose batch norms have seen just these pictures."""
    backbone = to_backbone(find("resnet18"), build_network(find("resnet18")))
    network = tapped(backbone)
    for layer in network.modules():  # one after the other, because each changes what the next sees
        if isinstance(layer, _BatchNorm):
            layer.momentum = 1.0
            layer.train()
            with torch.inference_mode():
                network(torch.from_numpy(pictures))
            layer.eval()
    return backbone


def test_the_sources_own_pictures_are_no_distance_away(at_home: Backbone, pictures: np.ndarray) -> None:
    found = shift(at_home, pictures)
    assert found is not None
    assert found.mean < 0.05  # running variance divides by n - 1, and at the end n is 16
    assert set(found.stages) <= {stage.name for stage in at_home.stages}


def test_blank_pictures_are_about_one_away_and_others_between(at_home: Backbone, pictures: np.ndarray) -> None:
    def distance(pixels: np.ndarray) -> float:
        found = shift(at_home, pixels)
        assert found is not None
        return found.mean

    faint = (pictures // 4 + 96).astype(np.uint8)
    assert 0.05 < distance(faint) < distance(np.full_like(pictures, 128)) < 3
    assert distance(np.full_like(pictures, 128)) > 0.5


def test_the_network_is_left_as_it_was(at_home: Backbone, pictures: np.ndarray) -> None:
    before = {name: tensor.clone() for name, tensor in at_home.network.state_dict().items()}
    shift(at_home, pictures)
    after = at_home.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not any(layer._forward_pre_hooks for layer in at_home.network.modules())


def test_a_network_without_batch_norms_has_no_distance(pictures: np.ndarray) -> None:
    spec = find("convnext_atto")
    assert shift(to_backbone(spec, build_network(spec)), pictures[:1]) is None
