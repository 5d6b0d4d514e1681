"""What a run folder says about every picture, for the report to draw. N pictures, D features."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from warmstart.evaluation.projection import project
from warmstart.records import Split
from warmstart.session.forecasting import MAPPED
from warmstart.session.run_state import Probe
from warmstart.tasks.classify.answers import ClassOutputs
from warmstart.tasks.classify.report.pictures import RunPictures, write_pictures
from warmstart.tasks.classify.trusted import NOVELTY_TAPS


def write(folder: Path, seen: Probe, found: Mapping[Split, ClassOutputs]) -> None:
    """Of every picture of the data set. ``found``: by the model, of val and test.

    The map shows the features before any training of the network: they are there for every picture.
    """
    dataset = seen.dataset
    positions = {split: dataset.positions(split) for split in found}
    held_out = np.concatenate([positions[split] for split in found])
    told = [one.novelty for one in found.values()]
    mapped = np.sort(np.random.default_rng(seen.plan.seed).permutation(len(dataset.pictures))[:MAPPED])
    pictures = RunPictures(
        class_names=dataset.targets.class_names,
        paths=tuple(picture.path for picture in dataset.pictures),
        labels=dataset.targets.labels,
        splits=dataset.splits,
        held_out=held_out,
        probabilities=np.concatenate([one.probabilities for one in found.values()]),
        novelty=np.concatenate(
            [np.full(len(p), np.nan) if n is None else n for n, p in zip(told, positions.values(), strict=True)]
        ),
        mapped=mapped,
        coordinates=project(seen.rows_at(mapped).features(NOVELTY_TAPS), seed=seen.plan.seed),
    )
    write_pictures(folder, pictures)
