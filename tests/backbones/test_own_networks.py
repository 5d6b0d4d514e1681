"""A module of one's own as a backbone: cut where that is proven, refused where it cannot be, named by what it computes."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from warmstart.backbones.chain import Backbone, split
from warmstart.backbones.freezing import freeze
from warmstart.backbones.own import frozen_by_hand, given_backbone, with_tensors
from warmstart.backbones.weights import feature_tensors, load_backbone
from warmstart.errors import BackboneError, UnknownNameError, UsageError
from warmstart.plan import Plan


def chain(width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU()
    )


class Scores(nn.Module):
    """Classes by a linear layer over the mean of a map."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.body, self.fc, self.factor = chain(), nn.Linear(16, 5), factor

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.factor * self.body(x).mean(dim=(2, 3)))
        return scores


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = chain()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.body(x).mean(dim=(2, 3)), self.body(x).amax(dim=(2, 3))], dim=1)


def test_maps_scores_and_features_become_backbones() -> None:
    maps = Backbone.from_module(chain(), size_px=32)
    assert maps.cuts == ("pixels", "stem", "stage1", "pooled")
    assert maps.shapes()["pooled"] == (16,)
    scores = Backbone.from_module(Scores(), size_px=32)
    assert scores.classifier.module.out_features == 5
    features = Backbone.from_module(Features(), size_px=32)
    assert features.cuts == ("pixels", "pooled")
    assert features.shapes()["pooled"] == (32,)


def test_what_it_computes_is_the_modules_own_and_the_module_stays_as_it_is() -> None:
    network = Scores().train()
    before = deepcopy(network.state_dict())
    backbone = Backbone.from_module(network, size_px=32)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = network.eval()(x)
        assert torch.equal(backbone(x), expected)
        for cut in backbone.cuts:
            prefix, suffix = split(backbone, cut)
            assert torch.equal(suffix(prefix(x)), expected)
        pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (backbone.spec.mean, backbone.spec.std))
        assert torch.equal(backbone(pixels), expected_of(network, (pixels.float() / 255 - mean) / std))
    with torch.no_grad():
        network.fc.weight.add_(1)
    assert torch.equal(backbone.classifier.module.weight, before["fc.weight"])


def expected_of(network: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = network(x)
    return found


def test_the_name_is_by_what_is_computed_and_not_by_weights() -> None:
    first, second = Scores(), Scores()
    nn.init.normal_(second.fc.weight)
    names = {Backbone.from_module(one, size_px=32).spec.name for one in (first, second)}
    assert len(names) == 1
    (name,) = names
    assert name.startswith("own:Scores-")
    assert Backbone.from_module(Scores(factor=2.0), size_px=32).spec.name not in names  # the same tensors
    assert Backbone.from_module(Scores(), size_px=64, name="mine").spec.name.startswith("own:mine-")


def test_weights_come_back_by_name() -> None:
    backbone = Backbone.from_module(Scores(), size_px=32)
    tensors = {name: torch.from_numpy(array + 1) for name, array in feature_tensors(backbone).items()}
    other = with_tensors(backbone, tensors)
    assert all((array == tensors[name].numpy()).all() for name, array in feature_tensors(other).items())
    with pytest.raises(BackboneError, match="1 unknown"):
        with_tensors(backbone, tensors | {"more": torch.zeros(1)})
    with pytest.raises(BackboneError, match="1 are missing"):
        with_tensors(backbone, {name: tensor for name, tensor in tensors.items() if name != "body.0.bias"})


class Changes(nn.Module):
    """A network that does something that it must not."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.body = what, chain()

    def forward(self, x: Tensor) -> Any:
        match self.what:
            case "train":
                return self.body(x).mean(dim=(2, 3)) if not self.training else self.body(x)
            case "input":
                return self.body(x.add_(1)).mean(dim=(2, 3))
            case "several":
                return self.body(x), x
            case "branch":
                return self.body(x).mean(dim=(2, 3)) if x.sum() > 1 else self.body(x).amax(dim=(2, 3))
            case "flat":
                return self.body(x).mean(dim=(1, 2, 3))
            case _:
                raise ValueError("a fault in a layer")


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Changes("train"), "in eval mode and .* in train mode"),
        (Changes("input"), "changes its input in place"),
        (Changes("several"), "gives tuple"),
        (Changes("branch"), "cannot be followed by torch.export"),
        (Changes("flat"), r"gives \(2,\) for two pictures"),
        (Changes("fault"), "a fault in a layer"),
        (TwoInputs(), "fails in eval mode"),
    ],
)
def test_what_cannot_be_a_backbone_is_said(network: nn.Module, said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        Backbone.from_module(network, size_px=32)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="str is no network"):
        Backbone.from_module("resnet50", size_px=32)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="std is"):
        Backbone.from_module(chain(), size_px=32, std=(1.0, 0.0, 1.0))


def test_the_name_alone_builds_nothing() -> None:
    with pytest.raises(BackboneError, match="one of your own"):
        load_backbone("own:Scores-12345678")
    assert Plan(backbone="own:Scores-12345678").backbone == "own:Scores-12345678"
    with pytest.raises(UnknownNameError):
        Plan(backbone="owm:Scores-12345678")


def test_what_was_frozen_by_hand_is_read_off() -> None:
    backbone = Backbone.from_module(chain(), size_px=32)
    assert frozen_by_hand(backbone) == ()
    freeze(backbone, "stem")
    assert frozen_by_hand(backbone) == ("stem",)
    freeze(backbone, "*")
    assert set(frozen_by_hand(backbone)) == {"stem", "stage1"}
    copy = given_backbone(backbone)
    assert all(parameter.requires_grad for parameter in copy.network.parameters())
    features, _ = split(backbone, "pooled")
    assert not any(parameter.requires_grad for parameter in features.parameters())
