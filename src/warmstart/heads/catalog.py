"""The heads by name, each with the settings that are tried when one is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from warmstart.errors import UnknownNameError
from warmstart.heads.affine import lbfgs_memory
from warmstart.heads.knn import KnnHead
from warmstart.heads.linear import LinearHead, LinearSvmHead
from warmstart.heads.mlp import MlpHead
from warmstart.heads.protocol import Head, Settings
from warmstart.heads.ridge import RidgeHead
from warmstart.heads.standardising import ROWS_AT_ONCE
from warmstart.heads.svm_rbf import RbfSvmHead


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A head and its grid, ordered from most to least regularised."""

    head: type[Head]
    grid: tuple[Settings, ...]


# Steps of about √10: the held-out loss is flat to within its own noise over half such a step.
_PENALTIES = tuple({"penalty": p} for p in (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001))

HEADS: Mapping[str, HeadSpec] = {
    "linear": HeadSpec(LinearHead, _PENALTIES),
    "svm": HeadSpec(LinearSvmHead, tuple({"penalty": p} for p in (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01))),
    "svm-rbf": HeadSpec(RbfSvmHead, tuple({"cost": c} for c in (0.3, 1.0, 3.0, 10.0, 30.0))),
    "ridge": HeadSpec(RidgeHead, tuple({"penalty": p} for p in (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01))),
    "knn": HeadSpec(KnnHead, tuple({"neighbours": k} for k in (50, 20, 10, 5, 3, 1))),
    "mlp": HeadSpec(MlpHead, tuple({"penalty": p} for p in (0.1, 0.03, 0.01, 0.003, 0.001))),
}


def head_spec(name: str) -> HeadSpec:
    """The catalogue's entry. Raises UnknownNameError with the nearest names."""
    if name not in HEADS:
        raise UnknownNameError("head", name, HEADS)
    return HEADS[name]


def fitting_bytes(name: str, *, examples: int, features: int, classes: int) -> int:
    """About the most memory that choosing this head by folds takes besides the stored rows, to be said beforehand when large.

    For the linear heads it stays below 1.5 times the rows' own size as long as there are 150 or more examples per class.
    """
    head_spec(name)
    n, d, k = examples, features, classes
    rows = n * d  # those of train, read into one block
    # 5 folds; blocks of parameters: the optimiser's pairs and about a dozen while a step is made; 8 blocks of logits
    parameters = 5 * k * d * (2 * lbfgs_memory(n, 5 * k) + 12) + 5 * k * n * 8
    numbers = {
        "linear": rows + parameters,
        "svm": rows + parameters,
        "svm-rbf": 4 * rows + 4 * n * n,  # a fold's copy, it standardised, support vectors; kernels in float32 and float64
        "ridge": rows + min(n, d) ** 2 + 12 * 5 * k * d + 3 * ROWS_AT_ONCE * d,
        "knn": 4 * rows,  # a fold's copy, its directions and those being made, the last head's
        "mlp": rows + 5 * 32 * d * (2 * 8 + 9) + 5 * 32 * n * 8,
    }
    return 4 * numbers[name]


def make_head(name: str, **settings: Any) -> Head:
    """A head that is not fitted yet, with its own defaults where no setting is given."""
    return head_spec(name).head(**settings)
