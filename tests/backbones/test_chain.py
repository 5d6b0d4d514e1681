import pytest
import torch

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone, Link, split
from warmstart.backbones.proof import is_proven, randomise, unequal_cuts
from warmstart.errors import BackboneError, UnknownNameError


@pytest.fixture(scope="module")
def resnet18() -> Backbone:
    network = build_network(find("resnet18"))
    randomise(network)
    return to_backbone(find("resnet18"), network)


def test_a_cut_answers_to_its_canonical_name_and_to_the_librarys_path(resnet18: Backbone) -> None:
    assert resnet18.cuts == ("pixels", "stem", "stage1", "stage2", "stage3", "stage4", "pooled")
    assert [resnet18.resolve_cut(name) for name in ("stage4", "layer4", "maxpool")] == ["stage4", "stage4", "stem"]


def test_an_unknown_cut_is_answered_with_the_cuts_and_the_nearest_name(resnet18: Backbone) -> None:
    with pytest.raises(UnknownNameError) as caught:
        split(resnet18, "layer5")
    assert str(caught.value).startswith(
        "backbone 'resnet18' has no cut 'layer5'. Its cuts are pixels, stem, stage1 … stage4, pooled. Did you mean 'layer"
    )
    assert str(caught.value).endswith("List them with shapes: warmstart backbones resnet18")


def test_shapes_are_those_of_a_real_pass(resnet18: Backbone) -> None:
    x = torch.zeros(1, 3, 96, 96)
    with torch.inference_mode():
        passed = {cut: tuple(split(resnet18, cut)[0](x).shape[1:]) for cut in resnet18.cuts}
    assert resnet18.shapes(96) == passed


def test_a_size_at_which_the_network_fails_is_named_with_the_link_that_fails() -> None:
    spec = find("inception_v3")
    backbone = to_backbone(spec, build_network(spec))
    with pytest.raises(
        BackboneError, match=r"does not work on pictures of 32×32 px: link '\w+' says .* Its own size is 299 px"
    ):
        backbone.shapes(32)


def test_training_a_suffix_trains_the_network_itself(resnet18: Backbone) -> None:
    network = build_network(find("resnet18"))
    randomise(network)  # timm starts the last norm of each block at zero, which stops the gradient
    _, suffix = split(to_backbone(find("resnet18"), network), "stage3")
    before = network.layer4[0].conv1.weight.clone()
    optimizer = torch.optim.SGD(suffix.parameters(), lr=0.1)
    suffix(torch.randn(2, 256, 4, 4)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(network.layer4[0].conv1.weight, before)
    assert network.conv1.weight.grad is None


def test_a_chain_in_the_wrong_order_or_writing_into_a_cut_is_not_proven(resnet18: Backbone) -> None:
    """The proof's own mutants: what it must not believe."""
    from dataclasses import replace

    x = torch.randn(2, 3, 64, 64)
    names = [link.name for link in resnet18.links]
    bn, act = names.index("bn1"), names.index("act1")
    swapped = list(resnet18.links)
    swapped[bn], swapped[act] = swapped[act], swapped[bn]
    assert not is_proven(replace(resnet18, links=tuple(swapped)), x)

    # A cut before the in-place activation: right output, but the suffix overwrites what it was given.
    stem, *rest = resnet18.stages
    early = (replace(stem, stop=act), replace(rest[0], start=act), *rest[1:])
    assert unequal_cuts(replace(resnet18, stages=early), x, training=False) == ["stem"]

    extra = replace(resnet18, links=(*resnet18.links, Link("dropout", torch.nn.Dropout(0.5))))
    longer = replace(extra, stages=(*resnet18.stages[:-1], replace(resnet18.stages[-1], stop=len(extra.links))))
    assert unequal_cuts(longer, x, training=False) == []
    assert unequal_cuts(longer, x, training=True) == list(longer.cuts)
    assert is_proven(resnet18, x)
