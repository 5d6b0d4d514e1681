from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.freezing import (
    cut_by_freezing,
    freeze,
    frozen_parts,
    frozen_table,
    held,
    is_frozen,
    replace_classifier,
    unfreeze,
)
from warmstart.errors import UnknownNameError


@pytest.fixture
def backbone() -> Backbone:
    return fresh("resnet18")


def fresh(name: str) -> Backbone:
    return to_backbone(find(name), build_network(find(name)))


def train(network: nn.Module, steps: int = 20) -> None:
    """As a careless caller would: everything to train mode, every parameter to the optimizer, with weight decay."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32, generator=generator)).square().mean().backward()
        optimizer.step()


def state_of(backbone: Backbone, upto: int) -> dict[str, Tensor]:
    return {
        f"{link.name}.{name}": tensor.detach().clone()
        for link in backbone.links[:upto]
        for name, tensor in (*link.module.named_parameters(), *link.module.named_buffers())
    }


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    return [name for name in before if before[name].numpy().tobytes() != after[name].numpy().tobytes()]


@pytest.mark.parametrize("copied", [False, True], ids=["original", "deepcopy"])
def test_frozen_prefix_keeps_every_bit_including_batch_norm_statistics(backbone: Backbone, copied: bool) -> None:
    freeze(backbone, ["stem", "stage[12]"])
    backbone = deepcopy(backbone) if copied else backbone
    stop = next(stage.stop for stage in backbone.stages if stage.name == "stage2")
    left, right = state_of(backbone, stop), state_of(backbone, len(backbone.links))
    train(backbone.network)
    assert changed(left, state_of(backbone, stop)) == []
    trained = changed(right, state_of(backbone, len(backbone.links)))
    assert len(trained) == len(right) - len(left), "everything behind the cut learns"


def test_without_the_hold_on_eval_mode_the_same_training_moves_batch_norm_statistics(backbone: Backbone) -> None:
    """The mutant that the test above has to catch: gradients off, but norms left in train mode."""
    for parameter in backbone.network.parameters():
        parameter.requires_grad_(False)
    backbone.network.fc.requires_grad_(True)
    before = state_of(backbone, len(backbone.links))
    train(backbone.network, steps=1)
    moved = changed(before, state_of(backbone, len(backbone.links)))
    assert moved
    assert all("running" in name or "num_batches" in name for name in moved)


def test_a_frozen_network_draws_no_dropout_in_train_mode() -> None:
    backbone = fresh("timm:test_vit")  # no stage is proven, so the whole network is one link
    assert backbone.cuts == ("pixels", "pooled")
    freeze(backbone, "*")
    assert [name for name, p in backbone.network.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]
    googlenet = fresh("googlenet")
    freeze(googlenet.network, ["dropout"])
    googlenet.network.train()
    x = torch.ones(2, 1024)
    assert torch.equal(googlenet.network.dropout(x), x)


@pytest.mark.parametrize("pattern", ["layer1", "layer1.*", "layer[1]*", "stage1"])
def test_a_layer_is_frozen_by_path_by_pattern_or_by_stage(backbone: Backbone, pattern: str) -> None:
    freeze(backbone, pattern)
    rows = {row.name: row for row in frozen_table(backbone)}
    assert {name for name, row in rows.items() if row.frozen} == {name for name in rows if name.startswith("layer1.")}


def test_a_single_parameter_can_be_frozen(backbone: Backbone) -> None:
    freeze(backbone.network, "fc.bias")
    (row,) = [row for row in frozen_table(backbone.network) if row.name == "fc"]
    assert (row.params, row.trainable, row.frozen) == (513_000, 512_000, False)


def test_the_table_counts_every_parameter_and_buffer_once(backbone: Backbone) -> None:
    freeze(backbone, "*")
    rows = frozen_table(backbone)
    assert sum(row.params for row in rows) == sum(p.numel() for p in backbone.network.parameters())
    assert sum(row.buffers for row in rows) == sum(b.numel() for b in backbone.network.buffers())
    assert [row.name for row in rows if not row.frozen] == ["fc"]


def test_unfreezing_undoes_freezing_and_freezing_twice_is_freezing_once(backbone: Backbone) -> None:
    freeze(backbone, ["stem", "layer*"])
    freeze(backbone, ["stem", "layer*"])
    unfreeze(backbone, ["stem", "layer*"])
    assert not any(is_frozen(module) for module in backbone.network.modules())
    assert all(parameter.requires_grad for parameter in backbone.network.parameters())
    before = state_of(backbone, len(backbone.links))
    train(backbone.network, steps=2)
    assert len(changed(before, state_of(backbone, len(backbone.links)))) == len(before)


def test_a_pattern_that_matches_nothing_is_answered_with_the_nearest_layer(backbone: Backbone) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown layer 'layer9'.*stem, stage1, .*Did you mean 'layer.*warmstart backbones resnet18"
    ):
        freeze(backbone, ["layer1", "layer9"])
    with pytest.raises(UnknownNameError, match=r"unknown layer 'layer9'.*Did you mean 'layer"):
        freeze(backbone.network, "layer9")
    assert all(parameter.requires_grad for parameter in backbone.network.parameters()), "nothing is done by halves"


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["stage[1-3]"], ("stage1", "stage2", "stage3")),
        (["stage2", "layer4"], ("stage2", "stage4")),
        (["layer2.*", "stem"], ("stem", "stage2")),
        (["stage4.1.bn*"], ("layer4.1.bn1", "layer4.1.bn2")),
        (["layer4.1.bn1.weight", "layer4.1.bn1.bias"], ("layer4.1.bn1",)),
        (["layer4.1.bn1.weight", "stage4.0"], ("layer4.0", "layer4.1.bn1.weight")),
        (["*"], ("stem", "stage1", "stage2", "stage3", "stage4")),
        (["*.weight", "*.bias"], ("stem", "stage1", "stage2", "stage3", "stage4")),
    ],
)
def test_patterns_cover_stages_modules_and_parameters_and_are_named_in_few_words(
    backbone: Backbone, patterns: list[str], names: tuple[str, ...]
) -> None:
    parts = frozen_parts(backbone, patterns)
    assert parts.names == names
    own = dict(backbone.network.named_parameters())
    expected = {
        path
        for path in own
        if any(path == name or path.startswith(f"{name.replace('stage', 'layer')}.") for name in names)
        or ("stem" in names and path.startswith(("conv1.", "bn1.")))
    }
    assert set(parts.parameters) == expected
    assert all(parts.parameters[path] is own[path] for path in expected)


def test_a_norm_whose_weights_are_frozen_keeps_its_statistics_too(backbone: Backbone) -> None:
    parts = frozen_parts(backbone, ["layer4.1.bn1.*", "layer4.0.bn1.weight"])
    statistics = {name for name in parts.tensors() if "running" in name}
    assert statistics == {"layer4.1.bn1.running_mean", "layer4.1.bn1.running_var"}
    assert parts.count() == 3 * 512
    assert parts.in_words() == "layer4.0.bn1.weight, layer4.1.bn1"


@pytest.mark.parametrize(
    ("name", "patterns", "cut"),
    [
        ("resnet18", ["stem", "stage1", "stage3"], "stage1"),
        ("resnet18", ["stage*"], "pixels"),  # the stem learns
        ("resnet18", ["stem", "stage[1-3]"], "stage3"),
        ("resnet18", ["stem", "stage*"], "pooled"),  # behind which there is nothing but an average
        ("resnet18", ["layer1", "conv1"], "pixels"),
        ("resnet18", ["layer1", "conv1", "bn1"], "stage1"),
        ("resnet18", ["*.bn*"], "pixels"),
        ("resnet18", ["*"], "pooled"),
        ("alexnet", ["stem", "stage*"], "stage4"),  # its pooling holds two linear layers
        ("alexnet", ["features.*"], "stage4"),
        ("densenet121", ["stem", "features.denseblock1"], "stem"),  # and not the transition, whose name the cut has
        ("densenet121", ["stem", "stage1"], "stage1"),
        ("timm:test_vit", ["blocks.0"], "pixels"),
        ("timm:test_vit", ["*"], "pooled"),
    ],
)
def test_the_cut_stands_before_the_first_layer_that_learns(name: str, patterns: list[str], cut: str) -> None:
    assert cut_by_freezing(fresh(name), patterns) == cut


def test_right_of_a_cut_only_what_lies_there_is_covered(backbone: Backbone) -> None:
    parts = frozen_parts(backbone, ["stem", "stage1", "stage3"], right_of="stage1")
    assert parts.names == ("stage3",)
    assert {name.split(".")[0] for name in parts.tensors()} == {"layer3"}
    assert frozen_parts(backbone, ["stem"], right_of="stage1").names == ()


def test_what_is_held_is_afterwards_as_it_was(backbone: Backbone) -> None:
    backbone.network.layer1[0].conv1.weight.requires_grad_(False)
    freeze(backbone, "layer2.0.bn1")
    before = [(p.requires_grad, is_frozen(m)) for m in backbone.network.modules() for p in m.parameters()]
    with held(frozen_parts(backbone, ["stage[12]"])):
        assert not any(parameter.requires_grad for parameter in backbone.network.layer2.parameters())
        assert is_frozen(backbone.network.layer1[0].bn1)
    assert [(p.requires_grad, is_frozen(m)) for m in backbone.network.modules() for p in m.parameters()] == before


def test_the_old_classifier_is_no_layer_to_freeze_because_a_new_head_takes_its_place(backbone: Backbone) -> None:
    with pytest.raises(UnknownNameError, match="'fc' is the old classifier of 'resnet18', whose place a new head takes"):
        frozen_parts(backbone, ["fc"])
    freeze(backbone, "fc")
    assert not backbone.network.fc.weight.requires_grad


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "timm:test_vit"])
def test_a_new_classifier_takes_the_old_ones_place_and_leaves_the_given_backbone_alone(name: str) -> None:
    old = fresh(name)
    new = replace_classifier(old, 7, seed=3)
    size_px = old.spec.input_size_px
    x = torch.randn(2, 3, size_px, size_px)
    with torch.inference_mode():
        assert new.network(x).shape == (2, 7)
        assert old.network(x).shape == (2, 1000)
    assert torch.equal(replace_classifier(old, 7, seed=3).classifier.module.weight, new.classifier.module.weight)
    shared = {id(p) for p in old.network.parameters()}
    assert [n for n, p in new.network.named_parameters() if id(p) not in shared] == [
        f"{new.classifier.name}.weight",
        f"{new.classifier.name}.bias",
    ]
