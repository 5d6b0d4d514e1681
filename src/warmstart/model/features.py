"""A scikit-learn transformer: pictures in, features out; works in a Pipeline with any classifier.

N pictures, D features.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from warmstart.backbones.chain import Backbone
from warmstart.backbones.own import backbone_of
from warmstart.data.depth import range_of
from warmstart.data.memory import named, one_or_many
from warmstart.data.views import VIEW_POLICIES, mode_of
from warmstart.errors import DataError, PictureError, UnknownNameError
from warmstart.extraction.features import Extraction, columns
from warmstart.extraction.prefixes import choose_engine, cut_prefix, tapped_prefix
from warmstart.extraction.reader import Reader
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.scanning import scan_given
from warmstart.extraction.workspace import Workspace
from warmstart.records import Picture, Preprocessing
from warmstart.store.cache import Store
from warmstart.strategy.taps import candidate_taps


class FeatureExtractor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Features of a frozen pretrained network, computed once per picture file and kept in the store.

    backbone: a name of the catalogue, a module of your own or a `Backbone`.
    cut: where to read, 'pooled' or an earlier stage (its mean and deviation over the picture); or taps: 'all',
    'last', 'middle' or names joined by ','. image_size_px: None is the backbone's own. resize: 'crop',
    'full-crop', 'squash', 'pad'; 'auto' is 'crop', because there are no labels to compare by.
    views: 'none', or 'flip' (features are averaged over the views). weights: 'default', 'random' or a file.
    engine, precision: 'auto' or a name; the first that proves itself on the pictures seen by `fit` is used.
    """

    def __init__(
        self,
        backbone: Any = "efficientnet_lite0",
        *,
        cut: str = "pooled",
        taps: str | None = None,
        image_size_px: int | None = None,
        resize: str = "crop",
        views: str = "none",
        weights: str = "default",
        engine: str = "auto",
        precision: str = "auto",
        seed: int = 0,
    ) -> None:
        self.backbone = backbone
        self.cut = cut
        self.taps = taps
        self.image_size_px = image_size_px
        self.resize = resize
        self.views = views
        self.weights = weights
        self.engine = engine
        self.precision = precision
        self.seed = seed

    def fit(self, X: Sequence[Any], y: Any = None) -> Self:
        """Load the backbone and prove an engine on these pictures. Nothing is learnt but the range of values of more than 8 bits.

        X: paths, PIL images or uint8 arrays (N, H, W, 3). Raises UnknownNameError, BackboneError, PictureError or DataError.
        """
        if self.views not in VIEW_POLICIES:
            raise UnknownNameError("views", self.views, VIEW_POLICIES)
        backbone = backbone_of(self.backbone, weights=self.weights, seed=self.seed)
        cut = backbone.resolve_cut(self.cut)
        sets = candidate_taps(self.taps or ("pooled" if cut == "pooled" else "auto"), cut, backbone.tap_names)
        (self.taps_,) = sets.values()
        with Workspace.opened() as workspace:
            pictures = pictures_given(X, workspace.store)
        preprocessing = Preprocessing(
            size_px=self.image_size_px or backbone.spec.input_size_px,
            resize=mode_of(self.resize),
            views=VIEW_POLICIES[self.views],
            values=range_of(picture.facts.depth for picture in pictures if picture.facts),
        )
        prefix = tapped_prefix(backbone, preprocessing.size_px)
        self.proven_ = choose_engine(
            pictures, prefix, preprocessing, engine=self.engine, precision=self.precision, graphs=workspace.graphs
        )
        self.recipe_ = Recipe.of(prefix, preprocessing, self.proven_)
        widths = dict(prefix.layout)
        self.n_features_out_ = sum(widths[tap] for tap in self.taps_)
        return self

    def transform(self, X: Sequence[Any]) -> np.ndarray:
        """float32 (N, D). Raises PictureError naming the first picture that cannot be decoded: a row cannot be left out here."""
        check_is_fitted(self, "recipe_")
        with Workspace.opened() as workspace:
            extraction = Reader(recipe=self.recipe_, workspace=workspace).rows(pictures_given(X, workspace.store))
        _require_whole(extraction)
        return columns(extraction.rows, extraction.layout, self.taps_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """'pooled_0', 'pooled_1' …: the tap and the channel."""
        widths = dict(self.recipe_.prefix.layout)
        return np.array([f"{tap}_{i}" for tap in self.taps_ for i in range(widths[tap])], dtype=object)


def activations_of(
    pictures: Sequence[Any], backbone: Backbone, cut: str, *, image_size_px: int | None = None, resize: str = "crop"
) -> np.ndarray:
    """float32 (N, C, H, W), or (N, C) at 'pooled': what the backbone gives at a cut, kept in the store. Raises as `transform` does."""
    cut = backbone.resolve_cut(cut)
    if cut == "pixels":
        raise UnknownNameError("cut with activations", cut, backbone.cuts[1:])
    with Workspace.opened() as workspace:
        found = pictures_given(pictures, workspace.store)
        preprocessing = Preprocessing(
            size_px=image_size_px or backbone.spec.input_size_px,
            resize=mode_of(resize),
            values=range_of(picture.facts.depth for picture in found if picture.facts),
        )
        prefix = cut_prefix(backbone, cut, (), preprocessing.size_px)
        proven = choose_engine(found, prefix, preprocessing, engine="auto", precision="auto", graphs=workspace.graphs)
        extraction = Reader(recipe=Recipe.of(prefix, preprocessing, proven), workspace=workspace).rows(found)
    _require_whole(extraction)
    return extraction.rows.astype(np.float32).reshape(-1, *backbone.shapes(preprocessing.size_px)[cut])


def _require_whole(extraction: Extraction) -> None:
    if extraction.broken:
        first = extraction.broken[min(extraction.broken)]
        raise PictureError(first.kind, f"{len(extraction.broken)} pictures cannot be used, the first: {first.message}")


def pictures_given(X: Sequence[Any], store: Store) -> list[Picture]:
    """Each source with the digest of its content; files through the index, so that known ones are not opened."""
    sources, _ = one_or_many(X)
    if not sources:
        raise DataError("no picture was given; expected a sequence of paths, PIL images or uint8 arrays")
    found = scan_given([named(source, i) for i, source in enumerate(sources)], store)
    if found.problems:
        raise PictureError(found.problems[0].kind, found.problems[0].message)
    return [picture for picture in found.pictures if picture is not None]  # all: scan names a problem otherwise
