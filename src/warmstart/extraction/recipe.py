"""What changes the numbers of a row: which network up to where, shown what, run by what. Its key names the rows in the store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from warmstart.engines.build import Prefix, Proven
from warmstart.extraction.rendering import PICTURES, Renderer
from warmstart.records import Picture, Preprocessing, Problem


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Frozen and hashable; two that are equal give equal rows, bit for bit. ``engine`` and ``precision`` are resolved names."""

    prefix: Prefix  # network, digest of its weights, input size, normalisation, outputs
    preprocessing: Preprocessing
    engine: str
    precision: str
    renderer: Renderer = PICTURES  # what makes the network's input of an example

    @classmethod
    def of(cls, prefix: Prefix, preprocessing: Preprocessing, proven: Proven) -> Self:
        """With the engine that has proved itself."""
        return cls(prefix=prefix, preprocessing=preprocessing, engine=proven.engine, precision=proven.precision)

    def in_views(self, views: Sequence[str]) -> Self:
        """The same for features that are averaged over other views."""
        return replace(self, preprocessing=replace(self.preprocessing, views=tuple(views)))

    @property
    def width(self) -> int:
        """D, numbers of a row."""
        return sum(width for _, width in self.prefix.layout)

    def row_identity(self, picture: Picture) -> bytes:
        """What the rows of a picture stand under, beside the view, 16 bytes."""
        return self.renderer.identity(picture, self.preprocessing)

    def unfit(self, pictures: Sequence[Picture]) -> dict[int, Problem]:
        """Position → why a picture is not to be used although it can be rendered."""
        found = ((i, self.renderer.obstacle(picture, self.preprocessing)) for i, picture in enumerate(pictures))
        return {i: problem for i, problem in found if problem is not None}

    def document(self) -> dict[str, Any]:
        """As plain data, whose digest names the rows: the view is part of a row's key instead."""
        return {
            "architecture": self.prefix.name,
            "prefix": self.prefix.key,
            "layout": [list(tap) for tap in self.prefix.layout],
            "size_px": self.preprocessing.size_px,
            "resize": self.preprocessing.resize,
            "decoder": self.renderer.id,
            "engine": self.engine,
            "precision": self.precision,
        }
