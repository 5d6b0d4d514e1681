"""The frozen proof by name: ResNet-50 (batch norm) and VGG16 (none), random weights, pictures of 32 px, every byte compared.

`test_frozen.py` holds the same promise, and what threatens it, on toy backbones.
"""

import copy
import tempfile
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from three_classes import fine_tune, train_batches, val_batches
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone, split
from warmstart.backbones.freezing import freeze
from warmstart.backbones.proof import randomise
from warmstart.backbones.taps import tapped_up_to
from warmstart.model.build import assemble
from warmstart.model.predictor import load
from warmstart.records import Preprocessing
from warmstart.tasks.classify.classifier import Classifier
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.task import TASK
from warmstart.training.batches import Inputs
from warmstart.training.objective import ValScores
from warmstart.training.tuned import TunedSuffix, split_taps
from warmstart.training_settings import TrainingSettings

SIDE, CLASSES, PICTURES = 32, 3, 12
CUT = {"resnet50": "stage2", "vgg16": "stage3"}  # in the middle
TAPS = {"resnet50": ("stage1", "stage3", "pooled"), "vgg16": ("stage2", "stage5")}  # left and right of it

COUNT = "num_batches_tracked"  # the one buffer that no output depends on, and that a model folder leaves out


@pytest.fixture(scope="module", params=list(CUT))
def source(request: pytest.FixtureRequest) -> Backbone:
    """Every parameter and buffer drawn anew, counts not 0. Not to be changed: see `backbone`."""
    spec = find(request.param)
    with torch.device("meta"):  # what the library would draw is drawn anew anyhow
        network = build_network(spec)
    network.to_empty(device="cpu")
    randomise(network)
    for name, buffer in network.named_buffers():
        if name.endswith(COUNT):
            buffer.fill_(7)
    return to_backbone(spec, network)


@pytest.fixture
def backbone(source: Backbone) -> Backbone:
    """A copy to be trained."""
    return to_backbone(source.spec, copy.deepcopy(source.network))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Removed at once, where pytest would keep its own for three runs: VGG16 takes 550 MB."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def _the_last_epoch_counts_as_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to learn here, and an epoch that is not kept would prove nothing."""
    monkeypatch.setattr(ValScores, "better_than", lambda *_: True)


@pytest.mark.usefixtures("_the_last_epoch_counts_as_best")
@pytest.mark.parametrize(
    ("source", "batch_norm"), [("resnet50", "stored"), ("resnet50", "update"), ("vgg16", "update")], indirect=["source"]
)
def test_the_prefix_of_the_trained_saved_and_reloaded_model_is_the_sources_to_the_byte(
    source: Backbone, backbone: Backbone, batch_norm: Literal["stored", "update"], folder: Path
) -> None:
    name = source.spec.name
    expected, prefix = tensors_of(source), prefix_names(source, CUT[name])
    head = fine_tuned_head(backbone, TrainingSettings(epochs=2, batch_norm=batch_norm))
    trained = tensors_of(backbone)
    assert changed(expected, trained, prefix) == []
    moved = changed(expected, trained, expected.keys() - prefix)
    assert any(tensor.endswith("weight") for tensor in moved)
    # The policy is seen to work in the suffix, where statistics may move; VGG16 has none.
    assert any("running_mean" in tensor for tensor in moved) == (batch_norm == "update" and has_batch_norm(backbone))

    model = assemble(
        backbone,
        TASK,
        Classifier(class_names=("a", "b", "c"), taps=TAPS[name], head=head, head_name="linear"),
        preprocessing=Preprocessing(size_px=SIDE),
        engine="pytorch",
        precision="f32",
    )
    model.save(folder / "model")
    saved = load(folder / "model").tensors
    stored = {tensor for tensor in prefix if not tensor.endswith(COUNT)}
    assert changed(expected, saved, stored) == []
    assert changed(trained, saved, saved.keys()) == []
    assert set(moved) & saved.keys(), "what was trained is what was saved"


def test_a_network_frozen_up_to_the_cut_keeps_every_byte_of_it_through_twenty_steps_in_train_mode(
    source: Backbone, backbone: Backbone
) -> None:
    cut = CUT[source.spec.name]
    expected, prefix = tensors_of(source), prefix_names(source, cut)
    freeze(backbone, backbone.cuts[1 : backbone.cuts.index(cut) + 1])
    train_whole(backbone, steps=20)
    after = tensors_of(backbone)
    assert changed(expected, after, prefix) == []
    assert changed(expected, after, expected.keys() - prefix)


@pytest.mark.parametrize("source", ["resnet50"], indirect=True)
def test_the_same_check_fails_for_a_network_that_is_only_kept_from_gradients(source: Backbone, backbone: Backbone) -> None:
    """The mutant, and the usual mistake: no parameter left of the cut learns, and batch norm's statistics move all the same."""
    cut = CUT["resnet50"]
    split(backbone, cut)[0].requires_grad_(False)
    train_whole(backbone, steps=1)
    moved = changed(tensors_of(source), tensors_of(backbone), prefix_names(source, cut))
    assert "layer1.0.bn1.running_mean" in moved
    assert {tensor.rpartition(".")[2] for tensor in moved} == {"running_mean", "running_var", COUNT}


def tensors_of(backbone: Backbone) -> dict[str, np.ndarray]:
    """Every parameter and buffer by the network's names, as they are now: views, not copies."""
    return {name: tensor.detach().numpy() for name, tensor in backbone.network.state_dict().items()}


def prefix_names(backbone: Backbone, cut: str) -> set[str]:
    """The network's names of everything left of the cut."""
    prefix, _ = split(backbone, cut)
    inside = {id(tensor) for tensor in (*prefix.parameters(), *prefix.buffers())}
    names = {name for name, tensor in backbone.network.state_dict(keep_vars=True).items() if id(tensor) in inside}
    assert len(names) == len(inside)
    return names


def changed(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], names: Set[str]) -> list[str]:
    """The check: which of these tensors are not there any more or differ in a byte. (NaN and −0 would deceive ``==``.)"""

    def content(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    return [
        name for name in sorted(names) if name not in after or not np.array_equal(content(before[name]), content(after[name]))
    ]


def has_batch_norm(backbone: Backbone) -> bool:
    return any(isinstance(module, _BatchNorm) for module in backbone.network.modules())


def fine_tuned_head(backbone: Backbone, settings: TrainingSettings) -> LinearHead:
    """Train right of the cut by the real loop, on activations as the store holds them. Returns the head."""
    cut, taps = CUT[backbone.spec.name], TAPS[backbone.spec.name]
    stored, live = split_taps(backbone, cut, taps)
    assert stored and live  # noqa: PT018
    widths = dict(backbone.tap_layout(SIDE))
    width, shape = sum(widths[tap] for tap in stored), backbone.shapes(SIDE)[cut]
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (PICTURES, 3, SIDE, SIDE), dtype=np.uint8))
    labels = np.arange(PICTURES) % CLASSES
    with torch.inference_mode():
        rows = tapped_up_to(backbone, cut, stored)(pixels).numpy()

    def read(chosen: np.ndarray, views: np.ndarray) -> Inputs:
        block = torch.from_numpy(rows[chosen])
        return block[:, width:].reshape(-1, *shape), block[:, :width]

    D = sum(widths[tap] for tap in taps)
    arrays = {"coef": random.normal(0, 0.01, (D, CLASSES)).astype(np.float32), "intercept": np.zeros(CLASSES, np.float32)}
    head = LinearHead.from_arrays(LinearHead().settings(), arrays)
    module = TunedSuffix(backbone, cut, taps, head.map, np.zeros(D, np.float32), np.ones(D, np.float32))
    batches = train_batches(labels, read=read, batch_size=6, seed=0)
    list(fine_tune(module, batches, val_batches(labels, read=read, batch_size=6), settings))
    return LinearHead.of_map(module.learnt_head())


def train_whole(backbone: Backbone, *, steps: int) -> None:
    """As a careless caller does: the whole network in train mode, every parameter in the optimizer."""
    if not has_batch_norm(backbone):
        freeze(backbone, "pooled")  # VGG16's wide layers: learning 120 million weights would take 15 s and show nothing
    network = backbone.network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = network(torch.randn(4, 3, SIDE, SIDE, generator=generator))
        nn.functional.cross_entropy(logits, torch.arange(4) % CLASSES).backward()
        optimizer.step()
