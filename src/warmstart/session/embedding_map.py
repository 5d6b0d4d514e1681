"""What a run folder says about every picture and about the network, for the report to draw. N pictures, D features."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from warmstart.backbones.chain import Backbone
from warmstart.evaluation.projection import project
from warmstart.extraction.features import columns
from warmstart.model.predictor import Model
from warmstart.plan import Plan
from warmstart.records import Split
from warmstart.report.pictures import RunPictures
from warmstart.session.calibration import NOVELTY_TAPS
from warmstart.session.probe import Probe

MAPPED = 1000  # pictures on the map: more are a smear to the eye, and each has a thumbnail in the report


def see_pictures(seen: Probe, model: Model, shares: Mapping[Split, np.ndarray], rows: np.ndarray) -> RunPictures:
    """Every picture of the data set. ``shares``: probabilities by split; ``rows`` (N, D): the model's own, of val and test.

    The map shows the features before any training of the network: they are there for every picture.
    """
    dataset = seen.dataset
    positions = {split: dataset.positions(split) for split in shares}
    held_out = np.concatenate([positions[split] for split in shares])
    novelty = model.novelty(rows[held_out])
    mapped = np.sort(np.random.default_rng(seen.plan.seed).permutation(len(dataset.pictures))[:MAPPED])
    return RunPictures(
        class_names=dataset.targets.class_names,
        paths=tuple(picture.path for picture in dataset.pictures),
        labels=dataset.targets.labels,
        splits=dataset.splits,
        held_out=held_out,
        probabilities=np.concatenate([shares[split] for split in shares]),
        novelty=np.full(len(held_out), np.nan) if novelty is None else novelty,
        mapped=mapped,
        coordinates=project(columns(seen.rows[mapped], seen.layout, NOVELTY_TAPS), seed=seen.plan.seed),
    )


def count_parameters(backbone: Backbone, plan: Plan) -> dict[str, Any]:
    """How many parameters the network has, without its classifier, and how many of them were trained; a head is not counted."""
    from warmstart.backbones.describe import parameters_right
    from warmstart.backbones.freezing import frozen_parts

    right = parameters_right(backbone)
    held = frozen_parts(backbone, plan.freeze, right_of=plan.cut)
    stages = [cut for cut in backbone.cuts if cut not in ("pixels", "pooled")]
    frozen = [stage for stage in stages if stage in held.names or _left(stage, plan, backbone.cuts)]
    return {
        "network": right["pixels"],
        "trained": right[plan.cut] - held.count() if plan.trains_network else 0,
        "frozen_stages": frozen,
        "trained_stages": [stage for stage in stages if stage not in frozen],
    }


def _left(stage: str, plan: Plan, cuts: Sequence[str]) -> bool:
    return not plan.trains_network or cuts.index(stage) <= cuts.index(plan.cut)
