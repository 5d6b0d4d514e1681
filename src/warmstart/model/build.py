"""Put a model together from a backbone and what a task has fitted on its taps."""

import math
from collections.abc import Mapping
from typing import Any

from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import feature_tensors
from warmstart.extraction.prefixes import map_name
from warmstart.model.predictor import Model
from warmstart.records import Preprocessing
from warmstart.task_protocol import Fitted, Inputs, Task


def assemble(
    backbone: Backbone,
    task: Task,
    fitted: Fitted,
    *,
    inputs: Inputs | None = None,
    preprocessing: Preprocessing,
    engine: str,
    precision: str,
    about: Mapping[str, Any] | None = None,
) -> Model:
    """The model that reads the backbone's taps, or the maps of ``inputs``, and answers by ``fitted``.

    It holds copies of the backbone's tensors.
    """
    inputs = inputs or Inputs()
    shapes = {stage: backbone.shapes(preprocessing.size_px)[stage] for stage in inputs.maps}
    maps = tuple((map_name(stage), math.prod(shape)) for stage, shape in shapes.items())
    model: Model = task.model(
        task=task.name,
        fitted=fitted,
        backbone=backbone.spec.name,
        layout=maps or backbone.tap_layout(preprocessing.size_px),
        shapes=shapes,
        places=inputs.places,
        preprocessing=preprocessing,
        engine=engine,
        precision=precision,
        tensors=feature_tensors(backbone),
        own=backbone if backbone.spec.library == "own" else None,
        about=about or {},
    )
    return model
