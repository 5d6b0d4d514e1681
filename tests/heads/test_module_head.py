"""Modules of the user's as heads: what they learn, as plain data, and what is no head."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from warmstart.backbones.operations import KNOWN, Operations
from warmstart.errors import UsageError
from warmstart.tasks.classify.heads.from_torch import module_spec
from warmstart.tasks.classify.heads.module import ModuleHead
from warmstart.tasks.classify.heads_in_torch import head_module
from warmstart.training.own_head import fitting_taps, made

D, K = 12, 3


class Gated(nn.Module):
    """Layers that run side by side, whose products are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(D, 4), nn.ModuleList(nn.Linear(D, K) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        shares = self.gate(x).softmax(dim=1).unsqueeze(2)
        return (shares * torch.stack([expert(x) for expert in self.experts], dim=1)).sum(dim=1)


def layers(*first: nn.Module) -> nn.Sequential:
    return nn.Sequential(*first, nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(16, K))


MADE: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(D, K),
    "layers": lambda: layers(nn.Linear(D, 16)),
    "of any width": lambda: layers(nn.LazyLinear(16)),
    "gated": Gated,
    "convolved": lambda: nn.Sequential(nn.Unflatten(1, (1, D)), nn.Conv1d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.LazyLinear(K)),
}


def drawn(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    y = np.arange(n) % K
    return (chance.normal(size=(K, D))[y] * 2 + chance.normal(size=(n, D)) + 5).astype(np.float32), y


@pytest.fixture(params=MADE)
def fitted(request: pytest.FixtureRequest) -> ModuleHead:
    """Of 600 steps."""
    torch.manual_seed(0)
    X, y = drawn()
    head: Any = module_spec(MADE[request.param](), seed=0).head(steps=600).fit(X, y, n_classes=K)
    assert isinstance(head, ModuleHead)
    return head


def test_it_learns_and_comes_back_from_plain_data(fitted: ModuleHead) -> None:
    X, y = drawn(200)
    logits = fitted.logits(X[120:])
    assert (logits.argmax(axis=1) == y[120:]).mean() > 0.9
    again = ModuleHead.from_arrays(fitted.settings(), fitted.arrays())
    assert np.array_equal(again.logits(X[120:]), logits)
    with torch.inference_mode():
        in_torch = head_module(again)(torch.from_numpy(X[120:])).numpy()  # type: ignore[arg-type]
    np.testing.assert_allclose(in_torch, logits, rtol=1e-5, atol=1e-5)


def test_the_same_seed_gives_the_same_numbers_and_the_module_of_the_user_stays() -> None:
    X, y = drawn()
    module = layers(nn.Linear(D, 16))
    before = deepcopy(module.state_dict())
    first, second = (module_spec(module, seed=3).head(steps=5).fit(X, y, n_classes=K).logits(X) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(module_spec(module, seed=4).head(steps=5).fit(X, y, n_classes=K).logits(X), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_picture_of_weight_2_counts_as_two() -> None:
    X, y = drawn(30)
    weights = np.where(y == 0, 2, 1).astype(np.float32)
    linear = made(nn.Linear(D, K), D)
    weighted = module_spec(linear, 0).head(steps=600).fit(X, y, n_classes=K, sample_weight=weights)
    twice = np.concatenate([np.arange(30), np.flatnonzero(y == 0)])
    doubled = module_spec(linear, 0).head(steps=600).fit(X[twice], y[twice], n_classes=K)
    assert np.allclose(*(head.front[0] for head in (weighted, doubled)), rtol=1e-5)  # type: ignore[attr-defined]
    shares = [np.exp(head.logits(X)) for head in (weighted, doubled)]
    assert np.abs(np.subtract(*(s / s.sum(axis=1, keepdims=True) for s in shares))).max() < 0.05


def test_it_reads_the_taps_that_it_takes() -> None:
    widths = {"all": 40, "pooled": 20, "last": D}
    assert fitting_taps(nn.Linear(D, K), widths, K) == "last"
    assert fitting_taps(nn.LazyLinear(K), widths, K) == "pooled"
    with pytest.raises(UsageError, match=r"takes none of the features there are: pooled \(20\).*last \(12\).*LazyLinear"):
        fitting_taps(nn.Linear(5, K), widths, K)


class Broken(nn.Module):
    def __init__(self, forward: Callable[[nn.Linear, Tensor], Any]) -> None:
        super().__init__()
        self.linear, self.does = nn.Linear(D, K), forward

    def forward(self, x: Tensor) -> Any:
        return self.does(self.linear, x)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "of another number of classes": (lambda: nn.Linear(D, 10), r"gives \(5, 10\).*\(B, 3\)"),
    "ends in a softmax": (lambda: nn.Sequential(nn.Linear(D, K), nn.Softmax(dim=1)), "gives probabilities.*softmax"),
    "nothing to learn": (lambda: nn.Linear(D, K).requires_grad_(False), "nothing to learn"),
    "changes its input": (lambda: Broken(lambda linear, x: linear(x.mul_(2))), "changes its input in place"),
    "looks at others": (lambda: Broken(lambda linear, x: linear(x - x.mean(dim=0))), "when others are asked for"),
    "gives a tuple": (lambda: Broken(lambda linear, x: (linear(x), x)), "gives tuple"),
    "branches by values": (lambda: Broken(lambda linear, x: linear(x) if x.abs().max() < 100 else -linear(x)), "torch.export"),
    "draws in eval mode": (
        lambda: Broken(lambda linear, x: nn.functional.dropout(linear(x), 0.5, True)),
        "draw|others are asked",
    ),
    "an unknown operation": (lambda: Broken(lambda linear, x: torch.cumsum(linear(x), dim=1)), "does cumsum"),
    "another type": (lambda: Broken(lambda linear, x: linear(x).double()), "float64"),
    "fails in train mode": (
        lambda: Broken(lambda linear, x: linear(x) if not linear.training else linear(x[:, :2])),
        "fails in train mode",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_head_is_said_before_anything_is_computed(name: str) -> None:
    module, said = REFUSED[name]
    with pytest.raises(UsageError, match=said):
        fitting_taps(module(), {"pooled": D}, K)


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([{"op": "aten.from_file.default", "args": ["/etc/passwd"]}], "none that a head may have"),
        ([{"op": "os.system", "args": ["true"]}], "none that a head may have"),
        ([{"op": "aten.linear.default", "args": [{"value": 1}, {"tensor": 0}]}], "names nothing before it"),
        ([{"op": "aten.linear.default", "args": [{"value": 0}, {"tensor": 7}]}], "names nothing before it"),
        ([{"op": "aten.linear.default", "args": [{"value": 0}, [{"value": True}]]}], "names nothing before it"),
        ([{"op": "aten.linear.default", "args": [{"value": 0}]}], "operations', which fail"),
        ([{"op": "aten.relu.default"}], "expected 'op', 'args'"),
        ("import os", "expected a list"),
        ([], "expected a list"),
        ([{"op": "aten.sum.default", "args": [{"value": 0}]}], r"give \(\) for two"),
    ],
)
def test_a_file_that_no_head_wrote_is_refused(operations: Any, said: str) -> None:
    arrays = {name: np.ones(D, np.float32) for name in ("shift", "scale")} | {"tensor0": np.ones((K, D), np.float32)}
    with pytest.raises(ValueError, match=said):
        ModuleHead.from_arrays({"operations": operations}, arrays)


def test_every_known_operation_is_one_of_torch() -> None:
    for name in KNOWN:
        Operations([{"op": name, "args": []}], {})
