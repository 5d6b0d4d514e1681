import pytest

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.describe import describe


def backbone(name: str) -> Backbone:
    return to_backbone(find(name), build_network(find(name)))


@pytest.mark.parametrize(
    ("name", "gflops"), [("resnet50", 4.09), ("densenet121", 2.83), ("googlenet", 1.50), ("inception_v3", 5.71)]
)
def test_the_multiply_adds_are_those_that_torchvision_publishes(name: str, gflops: float) -> None:
    """Golden: "GFLOPS" in torchvision's table of weights (0.29), of the same architectures at the same sizes; heads differ by 0.002."""
    assert describe(backbone(name))[-1].gflops_left == pytest.approx(gflops, abs=0.01)


def test_parameters_left_and_right_of_every_cut_add_up_and_grow() -> None:
    network = backbone("efficientnet_lite0")
    rows = describe(network, 96)
    total = sum(p.numel() for p in network.network.parameters()) - sum(
        p.numel() for p in network.classifier.module.parameters()
    )
    assert {row.params_left + row.params_right for row in rows} == {total}
    assert [row.params_left for row in rows] == sorted(row.params_left for row in rows)
    assert [row.gflops_left for row in rows] == sorted(row.gflops_left for row in rows)
    assert (rows[0].cut, rows[0].params_left, rows[-1].cut, rows[-1].params_right) == ("pixels", 0, "pooled", 0)
    assert [row.alias for row in rows][:3] == ["", "bn1", "blocks.0"]
    assert {row.cut: row.shape for row in rows} == network.shapes(96)
