"""Turn a folder of images into a tested, saved classifier by reusing a pretrained convolutional network.

    import warmstart as ws
    run = ws.train("photos/")
    run.scores.test.accuracy
    run.model.predict("x.jpg")
    model = ws.load(run.folder)

Names are loaded when they are first used: importing warmstart imports neither torch nor an engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmstart.api import evaluate, inspect, train
    from warmstart.backbones.chain import Backbone, split
    from warmstart.backbones.freezing import freeze, frozen_table, replace_classifier, unfreeze
    from warmstart.backbones.weights import load_backbone
    from warmstart.errors import WarmstartError
    from warmstart.model.features import FeatureExtractor
    from warmstart.model.predictor import Model, Prediction, load
    from warmstart.records import Plan

_HOME = {
    "Backbone": "backbones.chain",
    "FeatureExtractor": "model.features",
    "Model": "model.predictor",
    "Plan": "records",
    "Prediction": "model.predictor",
    "WarmstartError": "errors",
    "evaluate": "api",
    "freeze": "backbones.freezing",
    "frozen_table": "backbones.freezing",
    "inspect": "api",
    "load": "model.predictor",
    "load_backbone": "backbones.weights",
    "replace_classifier": "backbones.freezing",
    "split": "backbones.chain",
    "train": "api",
    "unfreeze": "backbones.freezing",
}

__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'warmstart' has no attribute {name!r}")
    return getattr(import_module(f"warmstart.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
