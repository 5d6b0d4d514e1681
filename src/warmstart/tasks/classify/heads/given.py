"""A head that was handed over: what a scikit-learn classifier has learnt, as arrays. Needs numpy only; `from_sklearn` makes them.

    x → front: (x - shift) · scale, or (x - shift) M → by kind → logits

    linear      z W + b
    kernel      Σₘ aₘₚ k(z, sₘ) + bₚ for each pair of classes, then votes, and confidences where these are equal, as scikit-learn's SVC has
                them with break_ties=True
    neighbours  log of the smoothed vote shares of the k nearest
    trees       log of the smoothed mean of the leaves' shares

N examples, D features, P of them behind the front, M support vectors or examples, K classes, Q pairs of classes, T trees, L nodes.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array, blocks
from warmstart.tasks.classify.heads.protocol import Settings, checked_arrays

NAME = "given"
KINDS: Mapping[str, Mapping[str, str]] = {  # kind → its arrays, a letter for each axis
    "linear": {"coef": "PK", "intercept": "K"},
    "kernel": {"support": "MP", "coef": "MQ", "intercept": "Q"},
    "neighbours": {"examples": "MP", "votes": "MK"},
    "trees": {"feature": "TL", "threshold": "TL", "left": "TL", "right": "TL", "shares": "TLK"},
}
KERNELS = ("rbf", "linear", "poly", "sigmoid")
SMOOTHING = 1e-3  # of a share that is 0; what the temperature then makes of it is fitted on held-out pictures


class GivenHead:
    """See the top. ``values``: the kind, and its numbers."""

    name: ClassVar[str] = NAME

    def __init__(self, *, kind: str = "linear", **values: Any) -> None:
        self.kind, self.values = kind, values
        self.arrays_: dict[str, Array] = {}

    def logits(self, X: Array) -> Array:
        """See `Head.logits`."""
        how = {"linear": self._linear, "kernel": self._kernel, "neighbours": self._neighbours, "trees": self._trees}[self.kind]
        out = np.empty((len(X), self.n_classes), np.float32)
        for rows in blocks(len(X)):
            out[rows] = how(self._front(X[rows]))
        return out

    @property
    def n_classes(self) -> int:
        """K."""
        if self.kind == "kernel":
            pairs = self.arrays_["intercept"].shape[0]
            return round((1 + float(np.sqrt(1 + 8 * pairs))) / 2)
        return int(self.arrays_[{"linear": "intercept", "neighbours": "votes", "trees": "shares"}[self.kind]].shape[-1])

    def settings(self) -> dict[str, Any]:
        """See `Head.settings`."""
        return {"kind": self.kind, **self.values}

    def arrays(self) -> dict[str, Array]:
        """See `Head.arrays`."""
        return dict(self.arrays_)

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """See `Head.from_arrays`."""
        kind = str(settings.get("kind"))
        if kind not in KINDS:
            raise ValueError(f"'head.settings.kind' = {kind!r:.80}, expected one of {', '.join(KINDS)}")
        own = {name: value for name, value in settings.items() if name != "kind"}
        _check_values(kind, own)
        front = {"shift": "D", "front": "DP"} if "front" in arrays else {"shift": "P", "scale": "P"}
        shapes = {**front, **KINDS[kind]}
        found = checked_arrays(arrays, shapes)
        head = cls(kind=kind, **own)
        head.arrays_ = dict(zip(shapes, found, strict=True))
        head._check_arrays()
        return head

    @classmethod
    def of(cls, kind: str, values: Mapping[str, Any], front: Mapping[str, Array], arrays: Mapping[str, Array]) -> Self:
        """What was learnt. Raises ValueError where it does not fit together."""
        every = {name: np.ascontiguousarray(array, np.float32) for name, array in {**front, **arrays}.items()}
        return cls.from_arrays({"kind": kind, **values}, every)

    def _check_arrays(self) -> None:
        a = self.arrays_
        if self.kind == "kernel":
            pairs = a["intercept"].shape[0]
            k = self.n_classes
            if k * (k - 1) // 2 != pairs:
                raise ValueError(f"'head.intercept' of {pairs} pairs, which no number of classes has")
        if self.kind == "trees":
            nodes, width = a["feature"].shape[1], len(a["shift"]) if "front" not in a else a["front"].shape[1]
            for name, most in (("feature", width), ("left", nodes), ("right", nodes)):
                if (a[name] != np.round(a[name])).any() or a[name].min() < 0 or a[name].max() >= most:
                    raise ValueError(f"'head.{name}', expected whole numbers below {most}")
            if (a["shares"] < 0).any():
                raise ValueError("'head.shares', expected no number below 0")
        if self.kind == "neighbours" and (a["votes"] < 0).any():
            raise ValueError("'head.votes', expected no number below 0")

    def _front(self, X: Array) -> Array:
        centred = X - self.arrays_["shift"]
        return np.asarray(centred @ self.arrays_["front"] if "front" in self.arrays_ else centred * self.arrays_["scale"])

    def _linear(self, Z: Array) -> Array:
        return np.asarray(Z @ self.arrays_["coef"] + self.arrays_["intercept"], np.float32)

    def _kernel(self, Z: Array) -> Array:
        support, values = self.arrays_["support"].astype(np.float64), self.values
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
        decisions = kernel @ self.arrays_["coef"] + self.arrays_["intercept"]
        return by_pairs(decisions, self.n_classes).astype(np.float32)

    def _neighbours(self, Z: Array) -> Array:
        examples = self.arrays_["examples"].astype(np.float64)
        squares = (Z.astype(np.float64) ** 2).sum(axis=1)[:, None] + (examples**2).sum(axis=1) - 2 * (Z @ examples.T)
        k = min(self.values["k"], len(examples))
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
        votes = self.arrays_["votes"][nearest]
        if self.values["by_distance"]:
            distances = np.sqrt(np.maximum(np.take_along_axis(squares, nearest, axis=1), 1e-12))
            votes = votes / distances[:, :, None]
        return log_shares(votes.sum(axis=1))

    def _trees(self, Z: Array) -> Array:
        a = self.arrays_
        total = np.zeros((len(Z), self.n_classes))
        for tree in range(len(a["feature"])):
            feature, left, right = (a[name][tree].astype(np.int64) for name in ("feature", "left", "right"))
            node = np.zeros(len(Z), np.int64)
            for _ in range(self.values["depth"]):
                goes_left = Z[np.arange(len(Z)), feature[node]] <= a["threshold"][tree][node]
                node = np.where(goes_left, left[node], right[node])
            total += a["shares"][tree][node]
        return log_shares(total)


def by_pairs(decisions: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """(N, K) from (N, Q), pair (i, j) > 0 for class i: votes, and within them confidences below a third, as scikit-learn's 'ovr' has it.

    Of two classes the one number d is for the second: (-d / 2, d / 2).
    """
    if k == 2:
        return np.concatenate([-decisions, decisions], axis=1) / 2
    votes, confidences = np.zeros((len(decisions), k)), np.zeros((len(decisions), k))
    for number, (i, j) in enumerate(combinations(range(k), 2)):
        d = decisions[:, number]
        confidences[:, i] += d
        confidences[:, j] -= d
        votes[:, i] += d >= 0
        votes[:, j] += d < 0
    counted: NDArray[np.float64] = votes + confidences / (3 * (np.abs(confidences) + 1))
    return counted


def log_shares(votes: NDArray[Any]) -> Array:
    """(N, K): logarithm of shares, none of them 0."""
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-30)
    logarithms: Array = np.log((shares + SMOOTHING) / (1 + SMOOTHING * votes.shape[1])).astype(np.float32)
    return logarithms


def _check_values(kind: str, values: Mapping[str, Any]) -> None:
    of_kinds: dict[str, dict[str, type | tuple[type, ...]]] = {
        "linear": {},
        "kernel": {"kernel": str, "gamma": (int, float), "coef0": (int, float), "degree": int},
        "neighbours": {"k": int, "by_distance": bool},
        "trees": {"depth": int},
    }
    expected = of_kinds[kind]
    if set(values) != set(expected):
        raise ValueError(f"the settings of head {NAME!r} {sorted(values)}, expected {sorted(expected)}")
    for name, value in values.items():
        if not isinstance(value, expected[name]) or (isinstance(value, bool) and expected[name] is not bool):
            raise ValueError(f"{name!r} = {value!r:.80} of head {NAME!r}")
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"{name!r} = {value!r} of head {NAME!r}, expected a finite number")
    if kind == "kernel" and (values["kernel"] not in KERNELS or not 0 <= values["degree"] <= 20):
        raise ValueError(
            f"kernel {values['kernel']!r:.80} of degree {values['degree']!r}, expected one of {', '.join(KERNELS)}"
        )
    if kind == "neighbours" and values["k"] < 1:
        raise ValueError(f"'k' = {values['k']}, expected at least 1")
    if kind == "trees" and not 0 <= values["depth"] <= 1000:
        raise ValueError(f"'depth' = {values['depth']}, expected 0 … 1000")
