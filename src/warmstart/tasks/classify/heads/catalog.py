"""The heads by name, each with the settings that are tried when one is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from warmstart.errors import UnknownNameError
from warmstart.tasks.classify.heads.given import GivenHead
from warmstart.tasks.classify.heads.knn import KnnHead
from warmstart.tasks.classify.heads.linear import LinearHead, LinearSvmHead
from warmstart.tasks.classify.heads.mlp import MlpHead
from warmstart.tasks.classify.heads.module import ModuleHead
from warmstart.tasks.classify.heads.protocol import Head, Settings
from warmstart.tasks.classify.heads.ridge import RidgeHead
from warmstart.tasks.classify.heads.svm_rbf import RbfSvmHead


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


def head_class(name: str) -> type[Head]:
    """Of a model folder: of the catalogue, or what was handed over. Raises UnknownNameError with the nearest names."""
    own = {GivenHead.name: GivenHead, ModuleHead.name: ModuleHead}
    return cast(type[Head], own[name]) if name in own else head_spec(name).head


def head_spec(name: str) -> HeadSpec:
    """The catalogue's entry. Raises UnknownNameError with the nearest names."""
    if name not in HEADS:
        raise UnknownNameError("head", name, HEADS)
    return HEADS[name]


def make_head(name: str, **settings: Any) -> Head:
    """A head that is not fitted yet, with its own defaults where no setting is given."""
    return head_spec(name).head(**settings)
