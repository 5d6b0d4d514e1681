import pytest

from warmstart.backbones.catalog import ALIASES, CATALOG, BackboneSpec, find
from warmstart.backbones.declarations import DECLARATIONS
from warmstart.errors import UnknownNameError


@pytest.mark.parametrize("spec", [s for s in CATALOG.values() if s.library == "timm"], ids=lambda s: s.name)
def test_what_the_catalogue_says_of_a_timm_network_is_what_timm_says(spec: BackboneSpec) -> None:
    import timm

    settings = timm.get_pretrained_cfg(f"{spec.builder}.{spec.weights_tag}")
    assert (spec.mean, spec.std) == (tuple(settings.mean), tuple(settings.std))
    assert spec.input_size_px == settings.input_size[-1]
    assert spec.licence == settings.license


@pytest.mark.parametrize("spec", [s for s in CATALOG.values() if s.library == "torchvision"], ids=lambda s: s.name)
def test_what_the_catalogue_says_of_a_torchvision_network_is_what_torchvision_says(spec: BackboneSpec) -> None:
    from torchvision.models import get_model_weights

    preset = get_model_weights(spec.builder)[spec.weights_tag].transforms()
    assert (spec.mean, spec.std) == (tuple(preset.mean), tuple(preset.std))
    assert [spec.input_size_px] == preset.crop_size


def test_every_entry_has_a_declaration_and_every_alias_a_target() -> None:
    assert {spec.declaration for spec in CATALOG.values()} == set(DECLARATIONS)
    assert set(ALIASES.values()) <= set(CATALOG)
    assert not set(ALIASES) & set(CATALOG)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("VGG 16", "vgg16"),
        ("lite0", "efficientnet_lite0"),
        ("Inception-v3", "inception_v3"),
    ],
)
def test_a_name_is_found_however_people_spell_it(spelled: str, name: str) -> None:
    assert find(spelled) is CATALOG[name]


def test_a_library_name_of_a_listed_network_is_the_listed_network() -> None:
    assert find("timm:resnet18") is CATALOG["resnet18"]
    assert find("timm:tf_efficientnet_lite0.in1k") is CATALOG["efficientnet_lite0"]
    assert find("torchvision:vgg16") is CATALOG["vgg16"]


def test_other_weights_of_a_listed_network_keep_its_declaration() -> None:
    spec = find("timm:resnet18.tv_in1k")
    assert (spec.declaration, spec.weights_tag, spec.licence) == ("resnet", "tv_in1k", "bsd-3-clause")


@pytest.mark.parametrize("name", ["resnet5", "timm:resnet5", "torchvision:resnet5", "timm:resnet18.a9_in1k"])
def test_an_unknown_name_is_answered_with_the_three_nearest(name: str) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet") as caught:
        find(name)
    assert len(caught.value.nearest) == 3


def test_the_historical_networks_show_their_competition_result() -> None:
    """Golden: top-5 test errors of the ILSVRC entries, sources in `warmstart.backbones.history`."""
    errors = {spec.name: spec.history.top5_error_percent for spec in CATALOG.values() if spec.history}
    assert errors == {
        "alexnet": 15.3,
        "zfnet": 11.7,
        "vgg16": 7.3,
        "vgg19": 7.3,
        "googlenet": 6.67,
        "resnet50": 3.57,
        "inception_v3": 3.58,
    }
