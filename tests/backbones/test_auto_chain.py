import pytest
import torch

from warmstart.backbones.proof import unequal_cuts
from warmstart.backbones.weights import load_backbone
from warmstart.errors import BackboneError


@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:shufflenet_v2_x0_5"])
def test_an_undeclared_network_gets_the_stages_that_are_proven(name: str) -> None:
    """shufflenet pools inside its forward, so a step has to be found for that."""
    backbone = load_backbone(name, weights="random")
    assert backbone.cuts == ("pixels", "stem", "stage1", "stage2", "stage3", "stage4", "pooled")
    sides = [shape[-1] for cut, shape in backbone.shapes().items() if cut not in ("pixels", "pooled")]
    assert sides == sorted(set(sides), reverse=True), "a stage ends where the resolution drops"
    assert unequal_cuts(backbone, torch.randn(2, 3, 64, 64), training=False) == []


@pytest.mark.parametrize("name", ["timm:regnetx_002", "torchvision:mnasnet0_5", "timm:test_vit"])
def test_a_network_in_which_no_chain_is_proven_has_only_pixels_and_pooled(name: str) -> None:
    """regnetx keeps its pooling and classifier in one module, mnasnet pools in forward by `mean`, vit has tokens."""
    backbone = load_backbone(name, weights="random")
    assert backbone.cuts == ("pixels", "pooled")
    assert backbone.tap_names == ("pooled",)
    size_px = backbone.spec.input_size_px
    assert backbone.tap_layout() == (("pooled", backbone.classifier.module.in_features),)
    assert unequal_cuts(backbone, torch.randn(2, 3, size_px, size_px), training=False) == []


def test_finding_the_chain_leaves_the_weights_and_the_mode_alone() -> None:
    from warmstart.backbones.auto_chain import discover
    from warmstart.backbones.build import build_network
    from warmstart.backbones.catalog import find

    spec = find("timm:test_resnet")
    network = build_network(spec)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    discover(spec, network)
    assert not network.training
    assert [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])] == []


def test_a_network_that_ends_in_a_convolution_is_refused_with_a_way_out() -> None:
    with pytest.raises(BackboneError, match=r"does not end in one linear layer .* Backbones that do: warmstart backbones"):
        load_backbone("torchvision:squeezenet1_1", weights="random")
