"""Put a model together from a backbone and what a task has fitted on its taps."""

from collections.abc import Mapping
from typing import Any

from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import feature_tensors
from warmstart.model.predictor import Model
from warmstart.records import Preprocessing
from warmstart.task_protocol import Fitted, Task


def assemble(
    backbone: Backbone,
    task: Task,
    fitted: Fitted,
    *,
    preprocessing: Preprocessing,
    engine: str,
    precision: str,
    about: Mapping[str, Any] | None = None,
) -> Model:
    """The model that reads the backbone's taps and answers by ``fitted``. It holds copies of the backbone's tensors."""
    model: Model = task.model(
        task=task.name,
        fitted=fitted,
        backbone=backbone.spec.name,
        layout=backbone.tap_layout(preprocessing.size_px),
        preprocessing=preprocessing,
        engine=engine,
        precision=precision,
        tensors=feature_tensors(backbone),
        about=about or {},
    )
    return model
