import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone, split
from warmstart.backbones.proof import randomise
from warmstart.backbones.taps import Normalise, tapped, tapped_up_to

SIZE_PX = 64


@pytest.fixture(scope="module", params=["efficientnet_lite0", "mobilenetv3_small", "convnext_atto"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    network = build_network(find(request.param))
    randomise(network)
    return to_backbone(find(request.param), network)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randint(0, 256, (3, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def by_name(backbone: Backbone, features: Tensor) -> dict[str, Tensor]:
    widths = dict(backbone.tap_layout(SIZE_PX))
    return dict(zip(widths, features.split(list(widths.values()), dim=1), strict=True))


def test_normalisation_is_torchvisions_to_the_bit(pixels: Tensor) -> None:
    from torchvision.transforms import functional

    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    scaled = torch.stack([functional.to_tensor(picture.permute(1, 2, 0).numpy()) for picture in pixels])
    expected = functional.normalize(scaled, mean, std)
    assert torch.equal(Normalise(mean, std)(pixels), expected)


def test_every_tap_is_mean_and_deviation_of_its_stages_output_or_the_pooled_features_or_the_last_maximum(
    backbone: Backbone, pixels: Tensor
) -> None:
    with torch.inference_mode():
        taps = by_name(backbone, tapped(backbone)(pixels))
        x = Normalise(backbone.spec.mean, backbone.spec.std)(pixels)
        maps = {cut: split(backbone, cut)[0](x) for cut in backbone.cuts}
    for name, features in taps.items():
        last = maps[backbone.stages[-2].name]
        expected = {"pooled": maps["pooled"], "max": last.amax((2, 3))}.get(name)
        if expected is None:
            deviation = maps[name].std((2, 3), correction=0)
            torch.testing.assert_close(features, torch.cat([maps[name].mean((2, 3)), deviation], 1), atol=2e-4, rtol=1e-4)
        else:
            assert torch.equal(features, expected), name


def test_the_last_stage_is_a_tap_unless_pooled_is_its_mean(backbone: Backbone, pixels: Tensor) -> None:
    with torch.inference_mode():
        x = Normalise(backbone.spec.mean, backbone.spec.std)(pixels)
        last = split(backbone, backbone.stages[-2].name)[0](x).mean((2, 3))
        pooled = split(backbone, "pooled")[0](x)
    same = last.shape == pooled.shape and torch.allclose(last, pooled, atol=1e-5)
    assert (backbone.stages[-2].name in backbone.tap_names) is not same


def test_mean_and_deviation_can_be_given(backbone: Backbone, pixels: Tensor) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    with torch.inference_mode():
        own = tapped(backbone)(pixels)
        given = tapped(backbone, mean=mean, std=std)(pixels)
        again = tapped(backbone, mean=backbone.spec.mean, std=backbone.spec.std)(pixels)
    assert torch.equal(own, again)
    assert not torch.allclose(own, given, rtol=1e-2)


def test_activations_from_pixels_continue_to_the_networks_logits_at_every_cut(backbone: Backbone, pixels: Tensor) -> None:
    with torch.inference_mode():
        x = Normalise(backbone.spec.mean, backbone.spec.std)(pixels)
        expected = backbone.network(x)
        for cut in backbone.cuts:
            prefix, suffix = split(backbone, cut)
            activations = prefix(
                x
            )  # as stored, flattened, they lose the layout in memory, and with it last bits of what follows
            assert torch.equal(tapped_up_to(backbone, cut, ())(pixels), activations.flatten(1)), cut
            assert torch.equal(suffix(activations), expected), cut


def test_the_tapped_prefix_converts_to_openvino_with_a_dynamic_batch(backbone: Backbone, pixels: Tensor) -> None:
    """Error of each tap as the engine proof measures it: ‖B − T‖ / ‖T − mean(T)‖."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter traces, which new PyTorch calls deprecated
        import openvino

        module = tapped(backbone)
        graph = openvino.convert_model(module, example_input=pixels[:2])
    graph.reshape([-1, 3, SIZE_PX, SIZE_PX])
    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.inference_mode():
        wanted = by_name(backbone, module(pixels))
    for rows in (slice(0, 1), slice(0, 3)):
        got = by_name(backbone, torch.from_numpy(np.array(compiled(pixels[rows].numpy())[0])))
        for name, tap in wanted.items():
            assert (got[name] - tap[rows]).norm() <= 1e-3 * (tap - tap.mean(0)).norm(), name
