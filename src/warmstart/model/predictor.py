"""The assembled model: picture in, class and probability out.

    decode → resize → views → engine(prefix) → mean over views → taps → head → temperature → probabilities → class
                                                                │                            └─ set of classes, for a coverage
                                                                └─ novelty

B batch, N pictures, K classes, S image side, D features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.data.views import apply_view
from warmstart.engines import openvino
from warmstart.engines.build import Prefix, open_engine
from warmstart.engines.outliving import opened_here
from warmstart.engines.protocol import Engine
from warmstart.errors import ModelFileError, PictureError, StoreError, UnknownNameError, UsageError
from warmstart.evaluation.calibration import softmax
from warmstart.evaluation.conformal import prediction_sets
from warmstart.evaluation.trust import Coverage, Trust
from warmstart.extraction.ahead import chunks, map_ahead
from warmstart.extraction.features import columns
from warmstart.extraction.prefixes import prefix_key
from warmstart.extraction.rendering import render
from warmstart.heads.catalog import head_spec
from warmstart.heads.protocol import Head
from warmstart.model import files
from warmstart.records import Prediction, Preprocessing, Problem

if TYPE_CHECKING:
    import torch

    from warmstart.backbones.chain import Backbone


_Answer = tuple[np.ndarray, float | None]  # probabilities (K,), novelty


@dataclass(kw_only=True)
class Model:
    """A trained classifier. Made by `warmstart.train`, read by `warmstart.load`; self-contained in its folder."""

    class_names: tuple[str, ...]
    backbone: str  # name in the catalogue
    weights_digest: str
    layout: tuple[tuple[str, int], ...]  # (tap, width) of the prefix's rows
    taps: tuple[str, ...]  # those that the head reads
    preprocessing: Preprocessing
    head: Head
    head_name: str
    temperature: float
    engine: str
    precision: str
    tensors: Mapping[str, np.ndarray]  # the backbone's, without its classifier
    positive: str | None = None
    threshold: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)  # plan, scores, licence, digests of training pictures, versions
    trust: Trust | None = None  # None: the network of the source as it is, or a model from before there was one
    _engine: Engine | None = field(default=None, repr=False)

    def predict(self, sources: Any, *, coverage: float | None = None) -> "Prediction | list[Prediction]":
        """The prediction for one picture, or a list for several.

        sources: a path, encoded bytes, a PIL image, a uint8 array (H, W) or (H, W, 3), or several of these.
        coverage: also give the set of classes that holds the true one this often, say 0.95 (see `evaluation.conformal`).
        Raises PictureError for a picture that cannot be decoded; `predict_each` goes on instead. Raises UsageError for a coverage
        that is none, or that the model was not calibrated for.
        """
        one = isinstance(sources, (str, Path, bytes)) or hasattr(sources, "convert") or getattr(sources, "ndim", 0) in (2, 3)
        results = list(self.predict_each([sources] if one else list(sources), coverage=coverage))
        for result in results:
            if isinstance(result, Problem):
                raise PictureError(result.kind, result.message)
        return results[0] if one else results  # type: ignore[return-value]

    def predict_each(self, sources: Sequence[Any], *, coverage: float | None = None) -> Iterator[Prediction | Problem]:
        """A prediction or a named problem for each source, in order. Decoding, engine and head overlap; memory stays bounded."""
        limit = None if coverage is None else self.set_limit(coverage)
        for first, block in self._blocks(sources):
            for offset, result in enumerate(block):
                name = _name(sources[first + offset], first + offset)
                if isinstance(result, PictureError):
                    yield Problem(path=name, kind=result.kind, message=str(result))
                else:
                    yield self._prediction(name, result, limit)

    def prepare(self, source: Any) -> np.ndarray:
        """uint8 (3, S, S) for `predict_prepared`: a picture as `predict` takes it, decoded and resized. Raises PictureError."""
        return render(source, self.preprocessing)

    def predict_prepared(
        self, pixels: Sequence[np.ndarray], names: Sequence[str], *, coverage: float | None = None
    ) -> list[Prediction]:
        """A prediction for each picture that `prepare` made, in order. Raises UsageError for a coverage, as `predict` does.

        For a server, which decodes as pictures come and runs together what is waiting.
        """
        limit = None if coverage is None else self.set_limit(coverage)
        engine = self._open_engine()
        size = self._pictures_per_batch(engine)
        batches = ((first, self._in_views(pixels[first : first + size])) for first in range(0, len(pixels), size))
        rows = dict(engine.map(batches))
        answers = self._answers(np.concatenate([rows[first] for first in sorted(rows)])) if rows else []
        return [self._prediction(name, answer, limit) for name, answer in zip(names, answers, strict=True)]

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """float64 (N, K) for prefix rows (N, D over all taps), as extraction gives them."""
        shares: np.ndarray = softmax(self.head.logits(columns(rows, self.layout, self.taps)), self.temperature)
        return shares

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) for probabilities (N, K): the most probable class, or by threshold where one is set."""
        if self.threshold is None or self.positive is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = self.class_names.index(self.positive)
        labels: np.ndarray = np.where(probabilities[:, positive] >= self.threshold, positive, 1 - positive)
        return labels

    def novelty(self, rows: np.ndarray) -> np.ndarray | None:
        """Percentiles (N,) for prefix rows (N, D over all taps), 0 … 100; None where the model holds nothing to tell by."""
        if self.trust is None or self.trust.novelty is None:
            return None
        return self.trust.novelty.percentile(columns(rows, self.layout, self.trust.novelty.taps))

    def set_limit(self, coverage: float) -> float:
        """Up to which conformity a class is in the set, for `evaluation.conformal.prediction_sets`. Raises UsageError."""
        return self._calibrated().limit(coverage)

    def coverage(self, asked: float) -> Coverage:
        """How often sets for this coverage held the true class of test pictures. Raises UsageError."""
        return self._calibrated().coverage(asked)

    def _calibrated(self) -> Trust:
        if self.trust is None:
            raise UsageError(
                "this model was not calibrated for sets of classes: it was made before warmstart did that, or is the network of its "
                "source as it is. Train again for one that is."
            )
        return self.trust

    def usable_precision(self) -> str:
        """`precision`; 'f32', slower and more exact, where the model was trained with bf16 and this processor has none."""
        here = self.engine != "openvino" or self.precision in openvino.precisions()
        return self.precision if here else "f32"

    def majority_label(self, labels: np.ndarray) -> int:
        """The most frequent class of train; of ``labels`` for a model that was not trained here."""
        name = self.about.get("majority_class")
        return self.class_names.index(name) if name else int(np.bincount(labels).argmax())

    def save(self, folder: str | Path) -> None:
        """Write the model folder: `model.json` and `model.safetensors`."""
        description = {
            "class_names": list(self.class_names),
            "backbone": {"name": self.backbone, "weights_digest": self.weights_digest},
            "preprocessing": {
                "size_px": self.preprocessing.size_px,
                "resize": self.preprocessing.resize,
                "views": list(self.preprocessing.views),
            },
            "layout": [list(tap) for tap in self.layout],
            "taps": list(self.taps),
            "head": {"name": self.head_name, "settings": self.head.settings()},
            "temperature": self.temperature,
            "engine": {"name": self.engine, "precision": self.precision},
            "positive": self.positive,
            "threshold": self.threshold,
            "about": dict(self.about),
            "trust": self.trust and self.trust.settings(),
        }
        tensors = {f"backbone.{name}": tensor for name, tensor in self.tensors.items()}
        tensors |= {f"head.{name}": array for name, array in self.head.arrays().items()}
        if self.trust:
            tensors |= {f"trust.{name}": array for name, array in self.trust.arrays().items()}
        files.write(Path(folder), description, tensors)

    def prefix(self) -> Prefix:
        """What an engine runs for this model. The network itself is built (and torch imported) only when no graph is stored."""
        size_px = self.preprocessing.size_px
        key = prefix_key(self.backbone, self.weights_digest, size_px)
        return Prefix(name=self.backbone, key=key, size_px=size_px, layout=self.layout, module=self._module)

    def network(self) -> "Backbone":
        """The backbone with this model's tensors, rebuilt in PyTorch: to be looked into, cut, or trained further."""
        import torch

        from warmstart.backbones.weights import load_tensors

        return load_tensors(find(self.backbone), {name: torch.from_numpy(t) for name, t in self.tensors.items()})

    def _module(self) -> "torch.nn.Module":
        from warmstart.backbones.taps import tapped

        return tapped(self.network())

    def _open_engine(self) -> Engine:
        if self._engine is None or not opened_here(self._engine):
            try:
                graphs = machine.graphs_folder()
            except StoreError:  # nowhere to keep a graph
                graphs = None
            self._engine = open_engine(self.prefix(), self.engine, self.usable_precision(), folder=graphs)
        return self._engine

    def _blocks(self, sources: Sequence[Any]) -> Iterator[tuple[int, list[_Answer | PictureError]]]:
        """(index of the first source, answer or problem of each) per batch, in the order of the sources."""
        engine = self._open_engine()
        decoded: dict[int, list[np.ndarray | PictureError]] = {}

        def decode_batch(task: list[tuple[int, Any]]) -> tuple[int, list[np.ndarray | PictureError]]:
            return task[0][0], [_render(source, self.preprocessing) for _, source in task]

        def batches() -> Iterator[tuple[int, np.ndarray]]:
            for first, pictures in map_ahead(decode_batch, chunks(enumerate(sources), self._pictures_per_batch(engine))):
                decoded[first] = pictures
                good = [p for p in pictures if not isinstance(p, PictureError)]
                order.append(first)
                if good:
                    yield first, self._in_views(good)
                else:
                    finished[first] = [p for p in pictures if isinstance(p, PictureError)]

        order: list[int] = []
        finished: dict[int, list[_Answer | PictureError]] = {}
        for first, rows in engine.map(batches()):
            answers = iter(self._answers(rows))
            finished[first] = [p if isinstance(p, PictureError) else next(answers) for p in decoded.pop(first)]
            while order and order[0] in finished:
                yield order[0], finished.pop(order.pop(0))
        for first in order:
            yield first, finished.pop(first)

    def _pictures_per_batch(self, engine: Engine) -> int:
        return max(1, engine.batch_size // len(self.preprocessing.views))

    def _in_views(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 (B × views, 3, S, S): every picture in every view, one picture after the other."""
        return np.stack([apply_view(picture, view) for picture in pictures for view in self.preprocessing.views])

    def _answers(self, rows_in_views: np.ndarray) -> list[_Answer]:
        """One for each picture of `_in_views`."""
        rows = rows_in_views.reshape(-1, len(self.preprocessing.views), rows_in_views.shape[1]).mean(axis=1)
        novelty = self.novelty(rows)
        shares = self.probabilities(rows)
        return [(p, None if novelty is None else float(novelty[i])) for i, p in enumerate(shares)]

    def _prediction(self, name: str, answer: _Answer, limit: float | None) -> Prediction:
        probabilities, novelty = answer
        label = int(self.decide(probabilities[None])[0])
        return Prediction(
            source=name,
            class_name=self.class_names[label],
            probability=float(probabilities[label]),
            probabilities={c: float(p) for c, p in zip(self.class_names, probabilities, strict=True)},
            novelty=novelty,
            classes=None if limit is None else self._classes(probabilities, limit),
        )

    def _classes(self, probabilities: np.ndarray, limit: float) -> tuple[str, ...]:
        """Those in the set, most probable first."""
        (inside,) = prediction_sets(probabilities[None], limit)
        return tuple(self.class_names[k] for k in np.argsort(-probabilities, kind="stable") if inside[k])


def load(folder: str | Path) -> Model:
    """The model in a model folder (or in a run folder). Runs no code from it. Raises ModelFileError."""
    folder = Path(folder)
    if not (folder / files.DESCRIPTION).is_file() and (folder / "model" / files.DESCRIPTION).is_file():
        folder = folder / "model"
    description, tensors = files.read(folder)
    try:
        find(description["backbone"]["name"])
        head_class = head_spec(description["head"]["name"]).head
        return Model(
            class_names=tuple(description["class_names"]),
            backbone=description["backbone"]["name"],
            weights_digest=description["backbone"]["weights_digest"],
            layout=tuple((tap, width) for tap, width in description["layout"]),
            taps=tuple(description["taps"]),
            preprocessing=Preprocessing(
                size_px=description["preprocessing"]["size_px"],
                resize=description["preprocessing"]["resize"],
                views=tuple(description["preprocessing"]["views"]),
            ),
            head=head_class.from_arrays(description["head"]["settings"], _below("head.", tensors)),
            head_name=description["head"]["name"],
            temperature=description["temperature"],
            engine=description["engine"]["name"],
            precision=description["engine"]["precision"],
            tensors=_below("backbone.", tensors),
            positive=description["positive"],
            threshold=description["threshold"],
            about=description["about"],
            # Not in the folders of models from before it.
            trust=Trust.from_arrays(settings, _below("trust.", tensors)) if (settings := description.get("trust")) else None,
        )
    except UnknownNameError as reason:
        raise ModelFileError(f"{folder / files.DESCRIPTION}: {reason} A later version of warmstart may know it.") from reason
    except (KeyError, TypeError) as reason:
        raise ModelFileError(
            f"{folder / files.DESCRIPTION} lacks or misuses {reason}; was it written by another program?"
        ) from reason


def _below(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _name(source: Any, index: int) -> str:
    return str(source) if isinstance(source, (str, Path)) else f"picture {index}"


def _render(source: Any, preprocessing: Preprocessing) -> np.ndarray | PictureError:
    try:
        return render(source, preprocessing)
    except PictureError as reason:
        return reason
