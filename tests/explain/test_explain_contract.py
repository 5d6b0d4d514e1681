"""What every head, every stage and every kind of network must allow: a map of the stage's size, finite, not empty on both sides."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from warmstart.backbones.assembly import assemble_whole
from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone, split
from warmstart.backbones.taps import tapped
from warmstart.backbones.weights import load_backbone
from warmstart.errors import BackboneError, UsageError
from warmstart.explain.filters import first_filters
from warmstart.extraction.features import columns
from warmstart.tasks.classify import heads_in_torch
from warmstart.tasks.classify.explain import occlusion
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, look
from warmstart.tasks.classify.explain.feature_maps import feature_maps
from warmstart.tasks.classify.explain.grad_cam import grad_cam, last_layer_read
from warmstart.tasks.classify.heads.catalog import HEADS, make_head

SIZES_PX: Mapping[str, int] = {"efficientnet_lite0": 64, "resnet18": 64, "mobilenetv3_small": 64, "alexnet": 96}
K = 3


@pytest.fixture(scope="module", params=SIZES_PX)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    if request.param == "efficientnet_lite0":
        return load_backbone(request.param)
    spec = find(request.param)
    return to_backbone(spec, build_network(spec, n_classes=K, seed=1))


@pytest.fixture(autouse=True)
def _few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occlusion, "STEPS", 4)


def picture(size_px: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, size_px, size_px), dtype=np.uint8)


def subject_with(
    backbone: Backbone, head_name: str, taps: tuple[str, ...], views: tuple[str, ...] = ("plain",)
) -> AttributionModel:
    """A head that was fitted on features around those of the picture, so that it does not say the same of everything."""
    size_px = SIZES_PX[backbone.spec.name]
    layout = backbone.tap_layout(size_px)
    with torch.inference_mode():
        rows = tapped(backbone)(torch.from_numpy(picture(size_px)[None])).numpy()
    near = np.abs(np.random.default_rng(2).normal(1, 0.3, (24, rows.shape[1]))).astype(np.float32) * rows
    head = make_head(head_name).fit(columns(near, layout, taps), np.arange(24) % K, n_classes=K)
    return AttributionModel(backbone=backbone, head=head, layout=layout, taps=taps, temperature=1.3, views=views)


def test_both_methods_map_every_stage_of_every_network(backbone: Backbone) -> None:
    size_px = SIZES_PX[backbone.spec.name]
    subject = subject_with(backbone, "linear", backbone.tap_names, ("plain", "flip"))
    seen = look(subject, picture(size_px), gradients=True)
    layers = subject.layers(seen.maps)
    shapes = backbone.shapes(size_px)
    assert layers == tuple(name for name, shape in shapes.items() if len(shape) == 3 and shape[1] * shape[2] > 1)
    assert last_layer_read(subject, seen) == layers[-1]
    for layer in layers:
        heat = occlusion.occlusion(subject, seen, 1, layer)
        assert heat.values.shape == heat.against.shape == shapes[layer][1:]
        assert np.isfinite(heat.values).all()
        assert (heat.values + heat.against).any()
        assert not (heat.values * heat.against).any()
        if layer != "pixels":
            heat = grad_cam(subject, seen, 1, layer)
            assert heat.values.shape == shapes[layer][1:]
            assert np.isfinite(heat.values).all()
            assert (heat.values + heat.against).any()


def test_nothing_left_out_leaves_the_rows_as_they_are(backbone: Backbone) -> None:
    """The taps are pooled once more here than in `backbones.taps`: this says that both mean the same."""
    size_px = SIZES_PX[backbone.spec.name]
    subject = subject_with(backbone, "linear", backbone.tap_names, ("plain", "flip"))
    seen = look(subject, picture(size_px))
    with torch.inference_mode():
        expected = seen.rows.mean(dim=0).numpy()
    for layer in subject.layers(seen.maps):
        nothing = np.zeros((1, *seen.maps[layer].shape[2:]), bool)
        (row,) = occlusion.rows_without(subject, seen, layer, nothing)
        assert row == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))


def test_feature_maps_are_the_activations_at_the_cut_to_the_bit(backbone: Backbone) -> None:
    size_px = SIZES_PX[backbone.spec.name]
    subject = subject_with(backbone, "linear", ("pooled",))
    pixels = picture(size_px)
    seen = look(subject, pixels)
    for layer in subject.layers(seen.maps):
        maps = feature_maps(subject, seen, layer)
        with torch.inference_mode():
            normalised = subject.network.normalise(torch.from_numpy(pixels[None]))
            expected = split(backbone, layer)[0](normalised)[0].numpy()
        assert np.array_equal(maps.activations, expected)
        strengths = np.abs(expected).mean(axis=(1, 2))
        assert (np.diff(strengths[maps.strongest]) <= 0).all()
        assert sorted(maps.strongest) == list(range(len(expected)))
        assert np.array_equal(maps.top(2), expected[maps.strongest[:2]])


def test_filters_are_the_weights_of_the_first_convolution(backbone: Backbone) -> None:
    filters = first_filters(backbone)
    weights = backbone.network.get_parameter(f"{filters.path}.weight").detach().numpy()
    assert np.array_equal(filters.weights, weights)
    tiles = filters.tiles()
    assert tiles.shape == (len(weights), *weights.shape[2:], 3)
    assert (np.maximum(tiles.max(axis=(1, 2, 3)), 255 - tiles.min(axis=(1, 2, 3))) == 255).all()
    assert ((tiles > 127) == (weights.transpose(0, 2, 3, 1) >= 0)).all()


def test_a_network_without_colours_has_no_filters_to_show(backbone: Backbone) -> None:
    from dataclasses import replace

    with pytest.raises(BackboneError, match="no convolution of red, green and blue"):
        first_filters(replace(backbone, links=backbone.links[-1:]))


def test_a_network_whose_stages_are_not_known_is_explained_at_its_pixels() -> None:
    spec = find("resnet18")
    backbone = assemble_whole(spec, build_network(spec, n_classes=K, seed=1), "fc")
    subject = subject_with(backbone, "linear", ("pooled",))
    seen = look(subject, picture(64), gradients=True)
    assert occlusion.default_layer(subject, seen) == "pixels"
    heat = occlusion.occlusion(subject, seen, 0, "pixels")
    assert heat.values.shape == (64, 64)
    assert (heat.values + heat.against).any()
    with pytest.raises(UsageError, match="--method occlusion --layer pixels"):
        last_layer_read(subject, seen)


@pytest.fixture(scope="module")
def lite() -> Backbone:
    return load_backbone("efficientnet_lite0")


@pytest.mark.parametrize("head_name", HEADS)
@pytest.mark.parametrize("taps", [("pooled",), ("pooled", "max"), ("stage3", "stage6", "stage7"), ("stem", "pooled")])
def test_every_head_is_explained_by_occlusion_and_all_but_knn_by_grad_cam(
    lite: Backbone, head_name: str, taps: tuple[str, ...]
) -> None:
    subject = subject_with(lite, head_name, taps)
    seen = look(subject, picture(64), gradients=True)
    heat = occlusion.occlusion(subject, seen, 2, occlusion.default_layer(subject, seen))
    assert np.isfinite(heat.values).all()
    assert (heat.values + heat.against).any()
    if head_name == "knn":
        assert subject.quantity.startswith("cosine to the 10 nearest")
        with pytest.raises(UsageError, match=r"head 'knn' has no gradient.*--method occlusion"):
            grad_cam(subject, seen, 2, "stage7")
        return
    assert subject.quantity == "log-odds of the class"
    layer = last_layer_read(subject, seen)
    assert layer == ("stage7" if taps[-1] == "stage7" else "stage8")
    mapped = grad_cam(subject, seen, 2, layer)
    assert np.isfinite(mapped.values).all()
    assert (mapped.values + mapped.against).any()


@pytest.mark.parametrize("head_name", [name for name in HEADS if name != "knn"])
def test_heads_in_torch_give_the_logits_of_heads_in_numpy(lite: Backbone, head_name: str) -> None:
    head = subject_with(lite, head_name, ("pooled",)).head
    X = np.random.default_rng(3).normal(0.4, 0.4, (5, 1280)).astype(np.float32)
    assert heads_in_torch.logits(head, torch.from_numpy(X)).numpy() == pytest.approx(head.logits(X), rel=1e-4, abs=1e-4)


def test_log_odds_are_those_of_the_models_probability(lite: Backbone) -> None:
    from warmstart.tasks.classify.temperature import softmax

    subject = subject_with(lite, "linear", ("pooled",))
    rows = look(subject, picture(64)).rows.detach().numpy()
    start = sum(width for tap, width in subject.layout[: [t for t, _ in subject.layout].index("pooled")])
    p = softmax(subject.head.logits(rows[:, start : start + 1280]), subject.temperature)[0]
    for label in range(K):
        assert subject.evidence(rows, label)[0] == pytest.approx(np.log(p[label] / (1 - p[label])), abs=1e-5)
