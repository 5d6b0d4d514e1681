"""Turn a folder of images into a tested, saved classifier by reusing a pretrained convolutional network.

    import warmstart as ws
    run = ws.train("photos/")
    run.scores.test.accuracy
    run.model.predict("x.jpg")
    model = ws.load(run.folder)

Names are loaded when they are first used: importing warmstart imports neither torch nor an engine. Modules of the same name (`explain`,
`export`, `report`) are reached by `from warmstart.explain import …`; `warmstart.explain` is always the function.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmstart.api import advise as advise
    from warmstart.api import backbones as backbones
    from warmstart.api import cache as cache
    from warmstart.api import compare as compare
    from warmstart.api import doctor as doctor
    from warmstart.api import evaluate as evaluate
    from warmstart.api import explain as explain
    from warmstart.api import export as export
    from warmstart.api import features as features
    from warmstart.api import filters as filters
    from warmstart.api import inspect as inspect
    from warmstart.api import lr_find as lr_find
    from warmstart.api import predict as predict
    from warmstart.api import report as report
    from warmstart.api import resume as resume
    from warmstart.api import show as show
    from warmstart.api import train as train
    from warmstart.backbones.chain import Backbone as Backbone
    from warmstart.backbones.chain import split as split
    from warmstart.backbones.freezing import freeze as freeze
    from warmstart.backbones.freezing import frozen_table as frozen_table
    from warmstart.backbones.freezing import replace_classifier as replace_classifier
    from warmstart.backbones.freezing import unfreeze as unfreeze
    from warmstart.backbones.weights import load_backbone as load_backbone
    from warmstart.errors import WarmstartError as WarmstartError
    from warmstart.estimators import Classifier as Classifier
    from warmstart.estimators import MultiLabelClassifier as MultiLabelClassifier
    from warmstart.estimators import Regressor as Regressor
    from warmstart.model.features import FeatureExtractor as FeatureExtractor
    from warmstart.model.predictor import Model as Model
    from warmstart.plan import Plan as Plan
    from warmstart.records import Prediction as Prediction
    from warmstart.workflows.predict import load as load

_HOME = {
    "Backbone": "backbones.chain",
    "Classifier": "estimators",
    "FeatureExtractor": "model.features",
    "Model": "model.predictor",
    "MultiLabelClassifier": "estimators",
    "Plan": "plan",
    "Prediction": "records",
    "Regressor": "estimators",
    "WarmstartError": "errors",
    "advise": "api",
    "backbones": "api",
    "cache": "api",
    "compare": "api",
    "doctor": "api",
    "evaluate": "api",
    "explain": "api",
    "export": "api",
    "features": "api",
    "filters": "api",
    "freeze": "backbones.freezing",
    "frozen_table": "backbones.freezing",
    "inspect": "api",
    "load": "workflows.predict",
    "load_backbone": "backbones.weights",
    "lr_find": "api",
    "predict": "api",
    "replace_classifier": "backbones.freezing",
    "report": "api",
    "resume": "api",
    "show": "api",
    "split": "backbones.chain",
    "train": "api",
    "unfreeze": "backbones.freezing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'warmstart' has no attribute {name!r}")
    return getattr(import_module(f"warmstart.{_HOME[name]}"), name)


class _Face(ModuleType):
    """Importing a folder sets it as an attribute of its parent. A public name of ours stays what it is."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __dir__() -> list[str]:
    return sorted(_HOME)
