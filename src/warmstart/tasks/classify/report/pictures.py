"""What a report needs of each picture and run.json does not hold: `pictures.json` (names) and `pictures.safetensors` (numbers).

In a run folder, beside run.json; together some hundred bytes a picture. N pictures, M of them held out (val and test), K classes,
P on the map.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.atomic import replaced, write_json
from warmstart.records import SPLITS, Split, read_json

FORMAT = 1
NAMES, NUMBERS = "pictures.json", "pictures.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class RunPictures:
    """Every usable picture of a run, and what was found out about it."""

    class_names: tuple[str, ...]
    paths: tuple[str, ...]  # N
    labels: NDArray[np.int64]  # (N,)
    splits: tuple[Split, ...]  # N
    held_out: NDArray[np.int64]  # (M,) positions of val and test
    probabilities: NDArray[np.float32]  # (M, K), calibrated
    novelty: NDArray[np.float32]  # (M,) percentile; NaN where the model does not tell
    mapped: NDArray[np.int64]  # (P,) positions of the pictures on the map
    coordinates: NDArray[np.float32]  # (P, 2)


def write_pictures(folder: Path, pictures: RunPictures) -> None:
    """Into a run folder."""
    from safetensors.numpy import save_file

    numbers: dict[str, NDArray[Any]] = {
        "labels": pictures.labels.astype(np.int32),
        "splits": np.array([SPLITS.index(split) for split in pictures.splits], np.uint8),
        "held_out": pictures.held_out.astype(np.int32),
        "probabilities": pictures.probabilities.astype(np.float32),
        "novelty": pictures.novelty.astype(np.float32),
        "mapped": pictures.mapped.astype(np.int32),
        "coordinates": pictures.coordinates.astype(np.float32),
    }
    with replaced(folder / NUMBERS) as fresh:
        save_file({name: np.ascontiguousarray(array) for name, array in numbers.items()}, fresh)
    names = {"format": FORMAT, "class_names": list(pictures.class_names), "paths": list(pictures.paths)}
    write_json(folder / NAMES, names)


def read_pictures(folder: Path) -> RunPictures | str:
    """What `write_pictures` wrote, or why there is nothing to read, in words: a report is made of what there is."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not (folder / NAMES).is_file() or not (folder / NUMBERS).is_file():
        return f"there is no {NAMES} and {NUMBERS} in the run folder: the run is from before warmstart wrote them"
    try:
        names = read_json((folder / NAMES), errors="surrogateescape")
        if names["format"] > FORMAT:
            return f"{NAMES} has format {names['format']}, and this version of warmstart reads formats up to {FORMAT}"
        numbers = load_file(folder / NUMBERS)
        return RunPictures(
            class_names=tuple(names["class_names"]),
            paths=tuple(names["paths"]),
            labels=numbers["labels"].astype(np.int64),
            splits=tuple(SPLITS[number] for number in numbers["splits"]),
            held_out=numbers["held_out"].astype(np.int64),
            probabilities=numbers["probabilities"],
            novelty=numbers["novelty"],
            mapped=numbers["mapped"].astype(np.int64),
            coordinates=numbers["coordinates"],
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as reason:
        return f"{NAMES} and {NUMBERS} cannot be read ({type(reason).__name__}: {reason})"
