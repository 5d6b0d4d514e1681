"""The assembled model: picture in, answer out.

    decode → resize → views → engine(prefix) → mean over views → what a task has fitted → its outputs → its answers

B batch, N pictures, S image side, D features.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import OWN, BackboneSpec, find
from warmstart.backbones.identity import tensors_digest
from warmstart.data.geometry import Geometry
from warmstart.data.views import apply_view
from warmstart.engines import openvino
from warmstart.engines.build import Prefix, open_engine
from warmstart.engines.outliving import opened_here
from warmstart.engines.protocol import Engine
from warmstart.errors import (
    BackboneError,
    ModelFileError,
    PlugInError,
    StoreError,
    UnknownNameError,
    WarmstartError,
)
from warmstart.extraction.described import read_preprocessing, required
from warmstart.extraction.features import Rows
from warmstart.extraction.prefixes import map_name, maps_prefix_of, prefix_key
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import place_of, render, render_sized
from warmstart.model import files
from warmstart.model.checking import check_description, check_taps, check_tensors, read_shapes, task_of
from warmstart.predicting import Batches, ModelFacts, Predictor, card_of, surely
from warmstart.records import Preprocessing, Problem
from warmstart.task_protocol import Fitted, Original
from warmstart.task_registry import OURS, USUAL, owner_of, provider, told_of

if TYPE_CHECKING:
    import torch

    from warmstart.backbones.chain import Backbone


_BACKBONE = "backbone."  # how the network's tensors are called in a folder


@dataclass
class _Opened:
    """What a model has opened or computed of itself: another model, also one made of it by `replace`, has its own."""

    engine: Engine | None = None
    engine_of: tuple[object, ...] | None = None  # what it was opened for
    digest: str | None = None  # of the tensors

    def __reduce__(self) -> tuple[type["_Opened"], tuple[()]]:
        """A model that is copied or sent to another process opens its own there."""
        return _Opened, ()


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained model of any task. Made by `warmstart.train`, read by `warmstart.load`; self-contained in its folder.

    Frozen: `dataclasses.replace` makes another one of it.
    """

    task: str  # its name
    fitted: Fitted  # what the task has learnt
    backbone: str  # name in the catalogue
    layout: tuple[tuple[str, int], ...]  # (tap, width) of the prefix's rows
    preprocessing: Preprocessing
    engine: str
    precision: str
    tensors: Mapping[str, np.ndarray]  # the backbone's, without its classifier
    shapes: Mapping[str, tuple[int, ...]] = field(
        default_factory=dict
    )  # stage → (C, H, W), where the task reads maps of stages
    places: bool = False  # whether the task is to know where each view lies on its picture
    about: Mapping[str, Any] = field(default_factory=dict)  # plan, scores, licence, digests of training pictures, versions
    own: "Backbone | None" = field(default=None, repr=False, compare=False)  # its network, where that is one of the user's own
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
    def place(self) -> str:
        """Where it was read from or written to, or 'the model' for one that lies nowhere."""
        return self._place

    @property
    def spec(self) -> BackboneSpec:
        """Of its network."""
        return find(self.backbone) if self.own is None else self.own.spec

    @property
    def facts(self) -> ModelFacts:
        """What it says of itself."""
        return ModelFacts(
            task=self.task,
            size_px=self.preprocessing.size_px,
            backbone=self.backbone,
            says=self.fitted.facts(),
            about=self.about,
        )

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return card_of(self.facts, self.place)

    @property
    def taps(self) -> tuple[str, ...]:
        """Of a row, those that are read."""
        return self.fitted.taps

    def predict(self, sources: Any, *, coverage: float | None = None, sure: float | None = None) -> Any:
        """The answer for one picture, or a list for several.

        sources: a path, encoded bytes, an open file, a PIL image, an array (H, W) or (H, W, 3), or several of these (`data.memory`).
        coverage: also give what holds the truth this often, say 0.95: a set of classes, an interval, as the task has it.
        sure: also give the deepest answer that is right with this probability, above 0.5, say 0.9: a class, or where classes are nested
        what stands above several.
        Raises PictureError for a picture that cannot be decoded; `predict_each` goes on instead. Raises UsageError for a coverage or sure
        that is none, or that the model was not calibrated for.
        """
        return self._predictor(coverage, sure).predict(sources)

    def predict_each(
        self, sources: Iterable[Any], *, coverage: float | None = None, sure: float | None = None
    ) -> Iterator[Any | Problem]:
        """An answer or a named problem for each source, in order. Decoding, engine and head overlap; memory stays bounded."""
        yield from self._predictor(coverage, sure).predict_each(sources)

    def keeping_damaged(self, keep: bool) -> Self:
        """The same, for which pictures that are damaged but decode are used, or are not."""
        return replace(self, preprocessing=replace(self.preprocessing, keep_damaged=keep))

    def prepare(self, source: Any) -> np.ndarray:
        """uint8 (3, S, S) for `predict_prepared`: a picture as `predict` takes it, decoded and resized. Raises PictureError.

        Where the task is to know where a view lies on its picture, the array knows the size of that.
        """
        return render_sized(source, self.preprocessing) if self.places else render(source, self.preprocessing)

    def predict_prepared(
        self,
        pixels: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        coverage: float | None = None,
        sure: float | None = None,
    ) -> list[Any]:
        """An answer for each picture that `prepare` made, in order. Raises UsageError for a coverage, as `predict` does.

        For a server, which decodes as pictures come and runs together what is waiting.
        """
        return self._predictor(coverage, sure).predict_prepared(pixels, names)

    @property
    def apart(self) -> bool:
        """Whether the views of a picture are kept apart: maps of a picture and of its mirror image have no mean."""
        return bool(self.shapes)

    def as_rows(self, values: np.ndarray, places: Sequence[Geometry] | None = None) -> Rows:
        """(N, D), or (N, V, D) with the views apart, as what a task reads."""
        views = values.shape[1] if self.apart else 1
        return Rows(
            values=values.reshape(-1, values.shape[-1]), layout=self.layout, shapes=self.shapes, views=views, places=places
        )

    def outputs(self, rows: np.ndarray, places: Sequence[Geometry] | None = None) -> Any:
        """What the task finds in N pictures: its `Outputs`.

        rows: (N, D over all taps), or (N, V, D) where views are apart, as extraction gives them. ``places``: of each view of each.
        """
        theirs = nullcontext() if self.task in OURS else told_of(owner_of(self.task), "outputs")
        with (
            np.errstate(all="ignore"),
            theirs,
        ):  # of a folder from a stranger numbers may be anything; what comes out is looked at
            found = self.fitted.outputs(self.as_rows(rows, places))
        if len(found) != len(rows):
            raise PlugInError(
                f"{owner_of(self.task)} gives {len(found):,} outputs for {len(rows):,} pictures: that is for its authors to mend"
            )
        if not found.is_finite():
            raise ModelFileError(
                f"{self._place} answers with numbers that are not finite: its tensors are damaged or were changed. {files.AGAIN}"
            )
        return found

    def coverage(self, asked: float) -> Any:
        """How often what is said for this coverage held the truth on test pictures. Raises UsageError."""
        return self.fitted.coverage(asked)

    def usable_precision(self) -> str:
        """`precision`; 'f32', slower and more exact, where the model was trained with bf16 and this processor has none."""
        here = self.engine != "openvino" or self.precision in openvino.precisions()
        return self.precision if here else "f32"

    def save(self, folder: str | Path) -> None:
        """Write the model folder: `model.json` and `model.safetensors`."""
        own, provided = self.fitted.settings(), provider(self.task)
        description = {
            "backbone": {"name": self.backbone, "weights_digest": self.weights_digest},
            "preprocessing": self.preprocessing.to_dict(),
            "layout": [list(tap) for tap in self.layout],
            **({"shapes": {stage: list(shape) for stage, shape in self.shapes.items()}} if self.shapes else {}),
            **({"places": True} if self.places else {}),
            "engine": {"name": self.engine, "precision": self.precision},
            "about": dict(self.about),
            **({} if self.task == USUAL else {"task": self.task}),
            **({"task_from": provided} if provided else {}),
        }
        tensors = {f"{_BACKBONE}{name}": tensor for name, tensor in self.tensors.items()}
        arrays = self.fitted.arrays()
        assert not own.keys() & description.keys()
        assert not arrays.keys() & tensors.keys()
        description, tensors = own | description, tensors | arrays
        files.write(Path(folder), description, tensors)

    def prefix(self) -> Prefix:
        """What an engine runs for this model. The network itself is built (and torch imported) only when no graph is stored."""
        size_px = self.preprocessing.size_px
        key = prefix_key(self.spec, self.weights_digest, size_px)
        if self.shapes:
            return maps_prefix_of(self.backbone, key, (), tuple(self.shapes), size_px, {}, self.shapes, self.network)
        return Prefix(name=self.backbone, key=key, size_px=size_px, layout=self.layout, module=self.module)

    def recipe(self) -> Recipe:
        """What makes the rows that this model reads."""
        return Recipe(
            prefix=self.prefix(), preprocessing=self.preprocessing, engine=self.engine, precision=self.usable_precision()
        )

    def network(self) -> "Backbone":
        """The backbone with this model's tensors, rebuilt in PyTorch: to be looked into, cut, or trained further."""
        import torch

        from warmstart.backbones.own import with_tensors
        from warmstart.backbones.weights import load_tensors

        tensors = {name: torch.from_numpy(tensor) for name, tensor in self.tensors.items()}
        try:
            own = self.own
            backbone = with_tensors(own, tensors) if own else load_tensors(self.spec, tensors, source=self._place)
            size_px = self.preprocessing.size_px
            layout, shapes = backbone.tap_layout(size_px), backbone.shapes(size_px)
            if self.shapes:
                layout = tuple((map_name(stage), math.prod(shapes.get(stage, (0,)))) for stage in self.shapes)
        except BackboneError as reason:
            raise ModelFileError(f"{self._place} cannot be used: {reason} {files.AGAIN}") from reason
        if layout != self.layout:
            raise ModelFileError(
                f"{self._place} describes other taps of {self.backbone!r} than the network has at {self.preprocessing.size_px} px: "
                f"found {_in_words(self.layout)}, expected {_in_words(layout)}. {files.AGAIN}"
            )
        return backbone

    def module(self) -> "torch.nn.Module":
        """What gives the rows that it reads, in PyTorch: uint8 (B, 3, S, S) → float32 (B, D)."""
        from warmstart.backbones.taps import tapped, with_maps

        return with_maps(self.network(), (), tuple(self.shapes)) if self.apart else tapped(self.network())

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

    def _predictor(self, coverage: float | None, sure: float | None = None) -> Predictor[Any, Any]:
        """Raises UsageError for a coverage or sure that is none, or that the model was not calibrated for."""
        if coverage is not None:
            self.fitted.coverage(coverage)
        told = surely(self.task, self.fitted, sure)
        engine = self._open_engine()
        views = self.preprocessing.views

        def run(batches: Batches) -> Iterator[tuple[int, list[Any]]]:
            places: dict[int, list[Geometry] | None] = {}

            def noted() -> Iterator[tuple[int, np.ndarray]]:
                for token, pictures in batches:
                    places[token] = self.places_of(pictures)
                    yield token, self._in_views(pictures)

            for token, rows in engine.map(noted()):
                yield token, self._answers(rows, places.pop(token))

        return Predictor(
            prepare=self.prepare,
            run=run,
            answer=lambda name, found: told(self.fitted.answers(found, [Original(source=name)], coverage=coverage)[0]),
            batch_size=max(1, engine.batch_size // len(views)),
        )

    def _in_views(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 (B × views, 3, S, S): every picture in every view, one picture after the other."""
        return np.stack([apply_view(picture, view) for picture in pictures for view in self.preprocessing.views])

    def places_of(self, pictures: Sequence[np.ndarray]) -> list[Geometry] | None:
        """Of every view of every picture, where the task asks for them."""
        if not self.places:
            return None
        return [place_of(picture, view, self.preprocessing) for picture in pictures for view in self.preprocessing.views]

    def _answers(self, rows_in_views: np.ndarray, places: Sequence[Geometry] | None) -> list[Any]:
        """Outputs of one each, for each picture of `_in_views`."""
        if rows_in_views.shape[1:] != (width := sum(width for _, width in self.layout),):
            raise ModelFileError(
                f"{self._place} describes {width} features, and its network gives {rows_in_views.shape[1:]}. {files.AGAIN}"
            )
        rows = rows_in_views.reshape(-1, len(self.preprocessing.views), rows_in_views.shape[1])
        found = self.outputs(rows if self.apart else rows.mean(axis=1), places)
        return [found.take(np.array([i])) for i in range(len(found))]


def load(folder: str | Path, *, backbone: "Backbone | None" = None) -> Model:
    """The model in a model folder (or in a run folder). Runs no code from it. Raises ModelFileError.

    backbone: of a model whose network is one of the user's own, that network, whatever its weights.
    """
    folder = files.model_folder(Path(folder))
    description, tensors = files.read(folder)
    place = folder / files.DESCRIPTION
    task = task_of(description, place)
    try:
        check_description(description)
        name = description["backbone"]["name"]
        own = _own(name, backbone, place) if str(name).startswith(OWN) else None
        if own is None:
            find(name)
        model: Model = task.model(
            task=task.name,
            fitted=task.restore(description, {n: a for n, a in tensors.items() if not n.startswith(_BACKBONE)}),
            backbone=description["backbone"]["name"],
            layout=tuple((tap, width) for tap, width in description["layout"]),
            preprocessing=read_preprocessing(description["preprocessing"]),
            engine=description["engine"]["name"],
            precision=description["engine"]["precision"],
            shapes=read_shapes(description.get("shapes", {})),
            places=required(description.get("places", False), "places", bool),
            tensors={n.removeprefix(_BACKBONE): t for n, t in tensors.items() if n.startswith(_BACKBONE)},
            about=description["about"],
            own=own,
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


def _own(name: str, given: "Backbone | None", place: Path) -> "Backbone":
    """Raises ModelFileError where it is not the one that the model was made with."""
    if given is None:
        raise ModelFileError(
            f"{place}: its network {name!r} is one of somebody's own, and a model folder holds no code: give it, "
            "warmstart.load(folder, backbone=network)"
        )
    if given.spec.name != name:
        raise ModelFileError(
            f"{place}: the model was made with the network {name!r}, and {given.spec.name!r} computes something else"
        )
    return given


def _check_answer(model: Model) -> None:
    """That what was fitted reads taps that there are, and says something of features that are all 0. Raises ValueError."""
    known = dict.fromkeys(model.shapes, 0) if model.shapes else dict(model.layout)
    check_taps("taps", list(model.taps), known)
    if model.shapes and [math.prod(shape) for shape in model.shapes.values()] != [width for _, width in model.layout]:
        raise ValueError("'shapes', which do not fit the layout")
    views, side = len(model.preprocessing.views), model.preprocessing.size_px
    rows = np.zeros((1, *([views] if model.apart else []), sum(width for _, width in model.layout)), np.float32)
    whole = Geometry.of_window((0, 0, side, side), (0, 0, side, side), size_px=side, picture_size=(side, side))
    with np.errstate(all="ignore"):
        found = model.fitted.outputs(model.as_rows(rows, [whole] * views if model.places else None))
        model.fitted.answers(found, [Original(source="")])


def _in_words(layout: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{tap} {width}" for tap, width in layout)
