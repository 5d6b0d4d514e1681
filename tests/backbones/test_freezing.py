from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.freezing import freeze, freeze_up_to, frozen_table, is_frozen, replace_classifier, unfreeze
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
    freeze_up_to(backbone, "stage2")
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
    freeze_up_to(backbone, "pooled")
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
    freeze_up_to(backbone, "pooled")
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
    with pytest.raises(UnknownNameError, match=r"unknown layer 'layer9'.*Did you mean 'layer"):
        freeze(backbone, ["layer1", "layer9"])
    assert all(parameter.requires_grad for parameter in backbone.network.parameters()), "nothing is done by halves"


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
