"""The assembled model: picture in, class and probability out.

    decode → resize → views → engine(prefix) → mean over views → taps → head → temperature → probabilities → class
                                                                │                            └─ set of classes, for a coverage
                                                                └─ novelty

B batch, N pictures, K classes, S image side, D features.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.backbones.identity import tensors_digest
from warmstart.data.views import apply_view
from warmstart.engines import openvino
from warmstart.engines.build import Prefix, open_engine
from warmstart.engines.outliving import opened_here
from warmstart.engines.protocol import Engine
from warmstart.errors import (
    BackboneError,
    ModelFileError,
    StoreError,
    UnknownNameError,
    WarmstartError,
)
from warmstart.evaluation.calibration import softmax
from warmstart.evaluation.class_answers import ClassAnswers
from warmstart.evaluation.trust import Coverage, Trust
from warmstart.extraction.described import read_class_names, read_preprocessing, read_temperature, read_threshold
from warmstart.extraction.features import columns
from warmstart.extraction.prefixes import prefix_key
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import render
from warmstart.heads.catalog import head_spec
from warmstart.heads.protocol import Head
from warmstart.model import files
from warmstart.model.checking import check_description, check_tensors
from warmstart.predicting import Batches, ModelFacts, Predictor
from warmstart.records import Prediction, Preprocessing, Problem

if TYPE_CHECKING:
    import torch

    from warmstart.backbones.chain import Backbone


_Answer = tuple[np.ndarray, float | None]  # probabilities (K,), novelty

UNCALIBRATED = ": it was made before warmstart did that, or is the network of its source as it is. Train again for one that is."


@dataclass
class _Opened:
    """What a model has opened or computed of itself: another model, also one made of it by `replace`, has its own."""

    engine: Engine | None = None
    engine_of: tuple[object, ...] | None = None  # what it was opened for
    digest: str | None = None  # of the tensors


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained classifier. Made by `warmstart.train`, read by `warmstart.load`; self-contained in its folder.

    Frozen: `dataclasses.replace` makes another one of it.
    """

    class_names: tuple[str, ...]
    backbone: str  # name in the catalogue
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
    _place: str = field(default="the model", repr=False, compare=False)  # where it was read from, for messages
    _opened: _Opened = field(default_factory=_Opened, init=False, repr=False, compare=False)

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the tensors: what graphs and rows are named after. Computed, once a model (8 ms of processor time for 14 MB).

        What a model folder says of itself is anybody's word: with the digest of another network it would be answered for by that one.
        """
        if self._opened.digest is None:
            self._opened.digest = tensors_digest(self.tensors)
        return self._opened.digest

    @property
    def facts(self) -> ModelFacts:
        """What it says of itself."""
        return ModelFacts(
            class_names=self.class_names,
            size_px=self.preprocessing.size_px,
            backbone=self.backbone,
            head=self.head_name,
            calibrated=self.trust is not None,
            positive=self.positive,
            about=self.about,
        )

    def predict(self, sources: Any, *, coverage: float | None = None) -> "Prediction | list[Prediction]":
        """The prediction for one picture, or a list for several.

        sources: a path, encoded bytes, an open file, a PIL image, an array (H, W) or (H, W, 3), or several of these (`data.memory`).
        coverage: also give the set of classes that holds the true one this often, say 0.95 (see `evaluation.conformal`).
        Raises PictureError for a picture that cannot be decoded; `predict_each` goes on instead. Raises UsageError for a coverage
        that is none, or that the model was not calibrated for.
        """
        return self._predictor(coverage).predict(sources)

    def predict_each(self, sources: Iterable[Any], *, coverage: float | None = None) -> Iterator[Prediction | Problem]:
        """A prediction or a named problem for each source, in order. Decoding, engine and head overlap; memory stays bounded."""
        yield from self._predictor(coverage).predict_each(sources)

    def keeping_damaged(self, keep: bool) -> Self:
        """The same, for which pictures that are damaged but decode are used, or are not."""
        return replace(self, preprocessing=replace(self.preprocessing, keep_damaged=keep))

    def prepare(self, source: Any) -> np.ndarray:
        """uint8 (3, S, S) for `predict_prepared`: a picture as `predict` takes it, decoded and resized. Raises PictureError."""
        return render(source, self.preprocessing)

    def predict_prepared(
        self, pixels: Sequence[np.ndarray], names: Sequence[str], *, coverage: float | None = None
    ) -> list[Prediction]:
        """A prediction for each picture that `prepare` made, in order. Raises UsageError for a coverage, as `predict` does.

        For a server, which decodes as pictures come and runs together what is waiting.
        """
        return self._predictor(coverage).predict_prepared(pixels, names)

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """float64 (N, K) for prefix rows (N, D over all taps), as extraction gives them."""
        with np.errstate(all="ignore"):  # of a folder from a stranger numbers may be anything; what comes out is looked at
            shares: np.ndarray = softmax(self.head.logits(columns(rows, self.layout, self.taps)), self.temperature)
        if not np.isfinite(shares).all():
            raise ModelFileError(
                f"{self._place} answers with numbers that are not finite: its tensors are damaged or were changed. {files.AGAIN}"
            )
        return shares

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) for probabilities (N, K): the most probable class, or by threshold where one is set."""
        return self._says.decide(probabilities)

    def novelty(self, rows: np.ndarray) -> np.ndarray | None:
        """Percentiles (N,) for prefix rows (N, D over all taps), 0 … 100; None where the model holds nothing to tell by."""
        if self.trust is None or self.trust.novelty is None:
            return None
        return self.trust.novelty.percentile(columns(rows, self.layout, self.trust.novelty.taps))

    def set_limit(self, coverage: float) -> float:
        """Up to which conformity a class is in the set, for `evaluation.conformal.prediction_sets`. Raises UsageError."""
        return self._says.set_limit(coverage)

    def coverage(self, asked: float) -> Coverage:
        """How often sets for this coverage held the true class of test pictures. Raises UsageError."""
        return self._says.coverage(asked)

    @property
    def _says(self) -> ClassAnswers:
        return ClassAnswers(
            class_names=self.class_names,
            positive=self.positive,
            threshold=self.threshold,
            trust=self.trust,
            uncalibrated=UNCALIBRATED,
        )

    def usable_precision(self) -> str:
        """`precision`; 'f32', slower and more exact, where the model was trained with bf16 and this processor has none."""
        here = self.engine != "openvino" or self.precision in openvino.precisions()
        return self.precision if here else "f32"

    def majority_label(self, labels: np.ndarray) -> int:
        """The most frequent class of train; of ``labels`` for a model that was not trained here, or whose classes were renamed."""
        name = self.about.get("majority_class")
        return self.class_names.index(name) if name in self.class_names else int(np.bincount(labels).argmax())

    def save(self, folder: str | Path) -> None:
        """Write the model folder: `model.json` and `model.safetensors`."""
        description = {
            "class_names": list(self.class_names),
            "backbone": {"name": self.backbone, "weights_digest": self.weights_digest},
            "preprocessing": self.preprocessing.to_dict(),
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

    def recipe(self) -> Recipe:
        """What makes the rows that this model reads."""
        return Recipe(
            prefix=self.prefix(), preprocessing=self.preprocessing, engine=self.engine, precision=self.usable_precision()
        )

    def network(self) -> "Backbone":
        """The backbone with this model's tensors, rebuilt in PyTorch: to be looked into, cut, or trained further."""
        import torch

        from warmstart.backbones.weights import load_tensors

        tensors = {name: torch.from_numpy(tensor) for name, tensor in self.tensors.items()}
        try:
            backbone = load_tensors(find(self.backbone), tensors, source=self._place)
            layout = backbone.tap_layout(self.preprocessing.size_px)
        except BackboneError as reason:
            raise ModelFileError(f"{self._place} cannot be used: {reason} {files.AGAIN}") from reason
        if layout != self.layout:
            raise ModelFileError(
                f"{self._place} describes other taps of {self.backbone!r} than the network has at {self.preprocessing.size_px} px: "
                f"found {_in_words(self.layout)}, expected {_in_words(layout)}. {files.AGAIN}"
            )
        return backbone

    def _module(self) -> "torch.nn.Module":
        from warmstart.backbones.taps import tapped

        return tapped(self.network())

    def _open_engine(self) -> Engine:
        prefix, precision = self.prefix(), self.usable_precision()
        needed = (prefix.key, self.engine, precision)
        opened = self._opened
        if opened.engine is None or opened.engine_of != needed or not opened_here(opened.engine):
            try:
                graphs = machine.graphs_folder()
            except StoreError:  # nowhere to keep a graph
                graphs = None
            try:
                opened.engine = open_engine(prefix, self.engine, precision, folder=graphs)
            except (WarmstartError, OSError, MemoryError):
                raise
            except Exception as reason:  # converters and compilers raise whatever they like at a network that they cannot run
                why = (str(reason).splitlines() or [""])[0][:200]
                raise ModelFileError(
                    f"{self._place}: {self.engine} cannot run its network ({type(reason).__name__}: {why}). {files.AGAIN}"
                ) from reason
            opened.engine_of = needed
        return opened.engine

    def _predictor(self, coverage: float | None) -> Predictor[_Answer, Prediction]:
        """Raises UsageError for a coverage that is none, or that the model was not calibrated for."""
        says = self._says
        limit = None if coverage is None else says.set_limit(coverage)
        engine = self._open_engine()
        views = self.preprocessing.views

        def run(batches: Batches) -> Iterator[tuple[int, list[_Answer]]]:
            for token, rows in engine.map((token, self._in_views(pictures)) for token, pictures in batches):
                yield token, self._answers(rows)

        return Predictor(
            prepare=self.prepare,
            run=run,
            answer=lambda name, found: says.prediction(name, found[0], limit=limit, novelty=found[1]),
            batch_size=max(1, engine.batch_size // len(views)),
        )

    def _in_views(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 (B × views, 3, S, S): every picture in every view, one picture after the other."""
        return np.stack([apply_view(picture, view) for picture in pictures for view in self.preprocessing.views])

    def _answers(self, rows_in_views: np.ndarray) -> list[_Answer]:
        """One for each picture of `_in_views`."""
        if rows_in_views.shape[1:] != (width := sum(width for _, width in self.layout),):
            raise ModelFileError(
                f"{self._place} describes {width} features, and its network gives {rows_in_views.shape[1:]}. {files.AGAIN}"
            )
        rows = rows_in_views.reshape(-1, len(self.preprocessing.views), rows_in_views.shape[1]).mean(axis=1)
        novelty = self.novelty(rows)
        shares = self.probabilities(rows)
        return [(p, None if novelty is None else float(novelty[i])) for i, p in enumerate(shares)]


def load(folder: str | Path) -> Model:
    """The model in a model folder (or in a run folder). Runs no code from it. Raises ModelFileError."""
    folder = files.model_folder(Path(folder))
    description, tensors = files.read(folder)
    place = folder / files.DESCRIPTION
    try:
        check_description(description)
        find(description["backbone"]["name"])
        head_class = head_spec(description["head"]["name"]).head
        class_names = read_class_names(description["class_names"])
        positive, threshold = read_threshold(description["positive"], description["threshold"], class_names)
        model = Model(
            class_names=class_names,
            backbone=description["backbone"]["name"],
            layout=tuple((tap, width) for tap, width in description["layout"]),
            taps=tuple(description["taps"]),
            preprocessing=read_preprocessing(description["preprocessing"]),
            head=head_class.from_arrays(description["head"]["settings"], _below("head.", tensors)),
            head_name=description["head"]["name"],
            temperature=read_temperature(description["temperature"]),
            engine=description["engine"]["name"],
            precision=description["engine"]["precision"],
            tensors=_below("backbone.", tensors),
            positive=positive,
            threshold=threshold,
            about=description["about"],
            # Not in the folders of models from before it.
            trust=Trust.from_arrays(settings, _below("trust.", tensors)) if (settings := description.get("trust")) else None,
            _place=str(folder),
        )
        place = folder / files.TENSORS
        check_tensors(model.tensors)
        _check_answer(model)
    except UnknownNameError as reason:
        raise ModelFileError(f"{place}: {reason} A later version of warmstart may know it.") from reason
    except (KeyError, TypeError, ValueError) as reason:
        raise ModelFileError(f"{place} lacks or misuses {reason}; was it written by another program? {files.AGAIN}") from reason
    return model


def _check_answer(model: Model) -> None:
    """That head, taps, layout and classes fit each other, tried on features that are all 0. Raises ValueError."""
    rows = np.zeros((1, sum(width for _, width in model.layout)), np.float32)
    with np.errstate(all="ignore"):
        logits = model.head.logits(columns(rows, model.layout, model.taps))
    if logits.shape != (1, len(model.class_names)):
        raise ValueError(f"'head', which knows {logits.shape[1]} classes, expected {len(model.class_names)}")
    if model.trust and model.trust.novelty:
        found = columns(rows, model.layout, model.trust.novelty.taps).shape[1]
        if found != model.trust.novelty.bank.shape[1]:
            raise ValueError(f"'trust.novelty.bank' of {model.trust.novelty.bank.shape[1]} columns, expected {found}")


def _below(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _in_words(layout: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{tap} {width}" for tap, width in layout)
