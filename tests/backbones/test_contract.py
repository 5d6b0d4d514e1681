"""The contract that every backbone of the catalogue keeps: its links, in order, are the network, to the bit.

Pictures are small: the smallest at which every layer still sees more than one position where it matters.
"""

import pytest
import torch
from torch import Tensor

from warmstart.backbones import cut_names, functional_layers
from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import CATALOG, find
from warmstart.backbones.chain import Backbone, Link, sequence
from warmstart.backbones.cut_names import declared_cuts
from warmstart.backbones.proof import randomise, unequal_cuts

NAMED = (
    "alexnet",
    "zfnet",
    "vgg16",
    "vgg19",
    "googlenet",
    "inception_v3",
    "resnet50",
    "xception",
    "mobilenetv3_large",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "densenet121",
    "convnext_tiny",
)
SIZE_PX = {"alexnet": 96, "zfnet": 96, "inception_v3": 96}


@pytest.fixture(scope="module", params=CATALOG)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """With every parameter and buffer drawn anew. One network at a time is in memory."""
    spec = find(request.param)
    network = build_network(spec)
    randomise(network, seed=1)
    return to_backbone(spec, network)


@pytest.fixture(scope="module")
def pictures(backbone: Backbone) -> Tensor:
    """Two pictures that differ: noise, and a soft gradient with less contrast."""
    size_px = SIZE_PX.get(backbone.spec.name, 64)
    noise = torch.randn(1, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(-1, 1, size_px)
    return torch.cat([noise, (ramp[:, None] * ramp).expand(1, 3, -1, -1)])


def run(links: tuple[Link, ...], backbone: Backbone, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return backbone.classifier.module(sequence((*links, *backbone.dropout)).eval()(x))


def test_the_cuts_that_are_known_without_the_network_are_those_it_has(backbone: Backbone) -> None:
    """And an undeclared one has no such cuts."""
    has = {"pixels": "pixels", **{stage.name: stage.alias for stage in backbone.stages}}
    assert declared_cuts(backbone.spec.name) == (has if backbone.spec.declaration else None)


def test_the_steps_that_name_no_cut_are_all_the_steps_there_are() -> None:
    assert set(functional_layers.STEPS) == cut_names.STEPS


def test_the_catalogue_has_every_backbone_that_was_asked_for() -> None:
    assert set(NAMED) <= set(CATALOG)


def test_two_pictures_give_logits_that_differ_by_more_than_one_percent(backbone: Backbone, pictures: Tensor) -> None:
    first, second = run(backbone.links, backbone, pictures)
    assert (first - second).norm() > 0.01 * first.norm()


def test_the_links_in_order_are_the_network_to_the_bit(backbone: Backbone, pictures: Tensor) -> None:
    with torch.inference_mode():
        assert torch.equal(backbone.network.eval()(pictures), run(backbone.links, backbone, pictures))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_prefix_and_suffix_are_the_network_at_every_cut(backbone: Backbone, pictures: Tensor, training: bool) -> None:
    """In train mode under one seed, so that dropout has to be drawn in the same order."""
    try:
        assert unequal_cuts(backbone, pictures, training=training) == []
    finally:
        backbone.network.eval()


def test_a_chain_without_any_one_of_its_links_is_not_the_network(backbone: Backbone, pictures: Tensor) -> None:
    """Every link counts, except those that hand their input on unchanged in eval mode: dropout, identities."""
    with torch.inference_mode():
        expected = backbone.network.eval()(pictures)
        x, unnoticed = pictures, []
        for position, link in enumerate(backbone.links):
            output = link.module(x.clone())  # a copy, because an activation may work in place
            if output.shape != x.shape or not torch.equal(output, x):
                try:
                    same = torch.equal(run(backbone.links[position + 1 :], backbone, x.clone()), expected)
                except RuntimeError:
                    same = False  # shapes no longer fit
                if same:
                    unnoticed.append(link.name)
            else:
                assert not list(link.module.parameters()), f"{link.name} has weights and changes nothing"
            x = output
    assert unnoticed == []


def test_the_catalogue_states_the_number_of_parameters(backbone: Backbone) -> None:
    assert sum(p.numel() for p in backbone.network.parameters()) / 1e6 == pytest.approx(
        backbone.spec.params_millions, abs=0.051
    )


def test_no_part_of_the_network_is_left_out_of_the_chain(backbone: Backbone) -> None:
    linked = {id(p) for part in (*backbone.links, backbone.classifier) for p in part.module.parameters()}
    assert [name for name, p in backbone.network.named_parameters() if id(p) not in linked] == []
