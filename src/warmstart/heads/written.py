"""What an estimator that was handed over has learnt, written as arrays: features in, numbers out. Needs numpy only; `from_sklearn` makes
them, and a task makes classes or numbers of what comes out.

    x → front: (x - shift) · scale, or (x - shift) M → z → by kind → (N, O)

    linear      z W + b
    kernel      Σₘ aₘₒ k(z, sₘ) + bₒ
    neighbours  mean of what the k nearest have, by equal weights or by one over the distance
    trees       mean of what the leaves hold

N examples, D features, P of them behind the front, M support vectors or examples, O outputs, T trees, L nodes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array, blocks
from warmstart.heads.stored_arrays import checked_arrays

KINDS: Mapping[str, Mapping[str, str]] = {  # kind → its arrays, a letter for each axis
    "linear": {"coef": "PO", "intercept": "O"},
    "kernel": {"support": "MP", "coef": "MO", "intercept": "O"},
    "neighbours": {"examples": "MP", "votes": "MO"},
    "trees": {"feature": "TL", "threshold": "TL", "left": "TL", "right": "TL", "shares": "TLO"},
}
KERNELS = ("rbf", "linear", "poly", "sigmoid")
_LAST = {"linear": "intercept", "kernel": "intercept", "neighbours": "votes", "trees": "shares"}  # whose last axis is O


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """See the top."""

    kind: str
    values: Mapping[str, Any]  # its numbers
    arrays: Mapping[str, Array]

    def __call__(self, X: Array) -> NDArray[np.float64]:
        """(N, D) → (N, O)."""
        said: Callable[[Array], NDArray[Any]] = {
            "linear": self._linear,
            "kernel": self._kernel,
            "neighbours": self._neighbours,
            "trees": self._trees,
        }[self.kind]
        out = np.empty((len(X), self.n_outputs))
        for rows in blocks(len(X)):
            out[rows] = said(self._front(X[rows]))
        return out

    @property
    def n_outputs(self) -> int:
        """O."""
        return int(self.arrays[_LAST[self.kind]].shape[-1])

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.arrays["shift"])

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for `from_arrays`."""
        return {"kind": self.kind, **self.values}

    @classmethod
    def from_arrays(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, of: str = "head") -> Self:
        """Back from what was saved. ``of``: what it is called in the file. Raises ValueError for what was never written."""
        kind = str(settings.get("kind"))
        if kind not in KINDS:
            raise ValueError(f"'{of}.settings.kind' = {kind!r:.80}, expected one of {', '.join(KINDS)}")
        own = {name: value for name, value in settings.items() if name != "kind"}
        _check_values(kind, own)
        front = {"shift": "D", "front": "DP"} if "front" in arrays else {"shift": "P", "scale": "P"}
        shapes = {**front, **KINDS[kind]}
        found = dict(zip(shapes, checked_arrays(arrays, shapes, of=of), strict=True))
        if kind == "trees":
            _check_trees(found, of)
        return cls(kind=kind, values=own, arrays=found)

    @classmethod
    def of(cls, kind: str, values: Mapping[str, Any], front: Mapping[str, Array], arrays: Mapping[str, Array]) -> Self:
        """What was learnt. Raises ValueError where it does not fit together."""
        every = {name: np.ascontiguousarray(array, np.float32) for name, array in {**front, **arrays}.items()}
        return cls.from_arrays({"kind": kind, **values}, every)

    def _front(self, X: Array) -> Array:
        centred = X - self.arrays["shift"]
        return np.asarray(centred @ self.arrays["front"] if "front" in self.arrays else centred * self.arrays["scale"])

    def _linear(self, Z: Array) -> NDArray[Any]:
        return np.asarray(Z @ self.arrays["coef"] + self.arrays["intercept"])

    def _kernel(self, Z: Array) -> NDArray[np.float64]:
        support, values = self.arrays["support"].astype(np.float64), self.values
        Z64 = Z.astype(np.float64)
        products = Z64 @ support.T
        match values["kernel"]:
            case "rbf":
                squares = (Z64**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * products
                kernel = np.exp(-values["gamma"] * np.maximum(squares, 0))
            case "poly":
                kernel = (values["gamma"] * products + values["coef0"]) ** values["degree"]
            case "sigmoid":
                kernel = np.tanh(values["gamma"] * products + values["coef0"])
            case _:
                kernel = products
        return np.asarray(kernel @ self.arrays["coef"] + self.arrays["intercept"])

    def _neighbours(self, Z: Array) -> NDArray[np.float64]:
        examples = self.arrays["examples"].astype(np.float64)
        squares = (Z.astype(np.float64) ** 2).sum(axis=1)[:, None] + (examples**2).sum(axis=1) - 2 * (Z @ examples.T)
        k = min(self.values["k"], len(examples))
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
        votes = self.arrays["votes"][nearest]
        if not self.values["by_distance"]:
            return np.asarray(votes.mean(axis=1, dtype=np.float64))
        weights = 1 / np.sqrt(np.maximum(np.take_along_axis(squares, nearest, axis=1), 1e-12))
        return np.asarray((votes * weights[:, :, None]).sum(axis=1) / weights.sum(axis=1, keepdims=True))

    def _trees(self, Z: Array) -> NDArray[np.float64]:
        a = self.arrays
        total = np.zeros((len(Z), self.n_outputs))
        for tree in range(len(a["feature"])):
            feature, left, right = (a[name][tree].astype(np.int64) for name in ("feature", "left", "right"))
            node = np.zeros(len(Z), np.int64)
            for _ in range(self.values["depth"]):
                goes_left = Z[np.arange(len(Z)), feature[node]] <= a["threshold"][tree][node]
                node = np.where(goes_left, left[node], right[node])
            total += a["shares"][tree][node]
        return total / len(a["feature"])


def _check_trees(arrays: Mapping[str, Array], of: str) -> None:
    nodes = arrays["feature"].shape[1]
    width = len(arrays["shift"]) if "front" not in arrays else arrays["front"].shape[1]
    for name, most in (("feature", width), ("left", nodes), ("right", nodes)):
        whole = arrays[name]
        if (whole != np.round(whole)).any() or whole.min() < 0 or whole.max() >= most:
            raise ValueError(f"'{of}.{name}', expected whole numbers below {most}")


def _check_values(kind: str, values: Mapping[str, Any]) -> None:
    of_kinds: dict[str, dict[str, type | tuple[type, ...]]] = {
        "linear": {},
        "kernel": {"kernel": str, "gamma": (int, float), "coef0": (int, float), "degree": int},
        "neighbours": {"k": int, "by_distance": bool},
        "trees": {"depth": int},
    }
    expected = of_kinds[kind]
    if set(values) != set(expected):
        raise ValueError(f"the settings of a head that was handed over {sorted(values)}, expected {sorted(expected)}")
    for name, value in values.items():
        if not isinstance(value, expected[name]) or (isinstance(value, bool) and expected[name] is not bool):
            raise ValueError(f"{name!r} = {value!r:.80} of a head that was handed over")
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"{name!r} = {value!r} of a head that was handed over, expected a finite number")
    if kind == "kernel" and (values["kernel"] not in KERNELS or not 0 <= values["degree"] <= 20):
        raise ValueError(
            f"kernel {values['kernel']!r:.80} of degree {values['degree']!r}, expected one of {', '.join(KERNELS)}"
        )
    if kind == "neighbours" and values["k"] < 1:
        raise ValueError(f"'k' = {values['k']}, expected at least 1")
    if kind == "trees" and not 0 <= values["depth"] <= 1000:
        raise ValueError(f"'depth' = {values['depth']}, expected 0 … 1000")
