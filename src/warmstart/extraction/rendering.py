"""A picture → the uint8 array that the network takes, in one view or several. S image side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL.Image import Resampling

from warmstart.data.augmentation import render_view, view_geometry
from warmstart.data.decoding import DECODER_ID, decoded_size, read_header
from warmstart.data.facts import check_intact, damage_message, row_identity
from warmstart.data.files import read_bytes
from warmstart.data.geometry import Geometry
from warmstart.data.hashing import digest
from warmstart.data.memory import in_memory, understood
from warmstart.data.one_colour import Loss, loss_of
from warmstart.data.views import needed_shorter_side_px, resize
from warmstart.errors import DataError, PictureError
from warmstart.records import Picture, Preprocessing, Problem

if TYPE_CHECKING:
    from PIL.Image import Image


class Renderer(Protocol):
    """What makes the network's input of an example: pictures today. Part of a recipe, so frozen and hashable."""

    @property
    def id(self) -> str:
        """Changes whenever a pixel of any view would."""
        ...

    def identity(self, picture: Picture, preprocessing: Preprocessing) -> bytes:
        """What an example's rows stand under, beside the view, 16 bytes: of its content, and of what turns that into pixels."""
        ...

    def obstacle(self, picture: Picture, preprocessing: Preprocessing) -> Problem | None:
        """Why an example is not to be used although it can be rendered, by what is known of it without opening it."""
        ...

    def render(
        self, picture: Picture, views: Sequence[str], preprocessing: Preprocessing
    ) -> tuple[list[np.ndarray], Loss | None]:
        """uint8 (3, S, S) for each view, and what all of them have lost. Raises PictureError."""
        ...


@dataclass(frozen=True)
class PictureRenderer:
    """Pictures: decoded, resized, in views."""

    id: str = DECODER_ID

    def identity(self, picture: Picture, preprocessing: Preprocessing) -> bytes:
        """See `Renderer`."""
        return row_identity(picture.digest, picture.facts, preprocessing.values)

    def obstacle(self, picture: Picture, preprocessing: Preprocessing) -> Problem | None:
        """Bytes that are damaged but decode, unless these are kept."""
        if preprocessing.keep_damaged or picture.facts is None or picture.facts.damage is None:
            return None
        return Problem(path=picture.path, kind="damaged", message=damage_message(repr(picture.path), picture.facts.damage))

    def render(
        self, picture: Picture, views: Sequence[str], preprocessing: Preprocessing
    ) -> tuple[list[np.ndarray], Loss | None]:
        """See `Renderer`."""
        return views_and_loss(picture, views, preprocessing)


PICTURES = PictureRenderer()


def render_views(picture: Picture, views: Sequence[str], preprocessing: Preprocessing) -> list[np.ndarray]:
    """uint8 (3, S, S) for each view of one picture, which is decoded once.

    Raises PictureError, of kind 'changed' where its file has other bytes than those of its digest.
    """
    return views_and_loss(picture, views, preprocessing)[0]


def views_and_loss(
    picture: Picture, views: Sequence[str], preprocessing: Preprocessing
) -> tuple[list[np.ndarray], Loss | None]:
    """As `render_views`; and why the network's input is one colour although the picture is not, where 'plain' is among the views."""
    size_px, mode = preprocessing.size_px, preprocessing.resize
    # The same size for every view, so that no view's pixels depend on the company it is made in. `decode` leaves twice what it is
    # asked for, and the narrowest window of a drawn view is √(0.35 × 3/4) = 0.512 of a side: 1.02 × S, not enlarged.
    decoded = in_memory(
        same_bytes(picture),
        shorter_side_px=needed_shorter_side_px(size_px, mode),
        name=picture.path,
        values=preprocessing.values,
    )
    rendered = [render_view(decoded, view, digest=picture.digest, size_px=size_px, mode=mode) for view in views]
    loss = (
        loss_of(rendered[views.index("plain")], decoded, mode=mode, lossless=_is_lossless(picture))
        if "plain" in views
        else None
    )
    return rendered, loss


def geometry_of(picture: Picture, view: str, preprocessing: Preprocessing, size: tuple[int, int] | None = None) -> Geometry:
    """Where a view lies on the upright picture, so that what is found in the one can be drawn into the other. No file is opened.

    ``size``: (width, height) of a picture without facts. Raises UnknownNameError for a view that does not exist.
    """
    facts = picture.facts
    if size is None:
        if facts is None:
            raise DataError(f"{picture.path}: its size is not known, so nothing can be drawn onto it; expected facts or a size")
        size = facts.width, facts.height
    side = needed_shorter_side_px(preprocessing.size_px, preprocessing.resize)
    decoded = size if facts is None else decoded_size(size, facts.format, shorter_side_px=side)
    found = view_geometry(decoded, view, digest=picture.digest, size_px=preprocessing.size_px, mode=preprocessing.resize)
    return found.of_size(size)


def render(source: Any, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (3, S, S): the plain view of anything that `data.memory.understood` takes. Raises PictureError."""
    return resize(whole(source, preprocessing), size_px=preprocessing.size_px, mode=preprocessing.resize)


class SizedPixels(np.ndarray):
    """A picture as the network takes it, which knows the size that it had: (width, height), upright."""

    picture_size: tuple[int, int] | None = None


def render_sized(source: Any, preprocessing: Preprocessing) -> SizedPixels:
    """As `render`, with the size of the picture. Raises PictureError."""
    picture = whole(source, preprocessing)
    pixels = resize(picture, size_px=preprocessing.size_px, mode=preprocessing.resize).view(SizedPixels)
    pixels.picture_size = _size_of(source) or picture.size
    return pixels


def whole_sized(source: Any, preprocessing: Preprocessing) -> SizedPixels:
    """uint8 (H, W, 3): the picture before it is resized, with the size that it had. Raises PictureError."""
    picture = whole(source, preprocessing)
    pixels = np.array(picture).view(SizedPixels)
    pixels.picture_size = _size_of(source) or picture.size
    return pixels


def place_of(pixels: np.ndarray, view: str, preprocessing: Preprocessing) -> Geometry:
    """Where a view of what `render_sized` made lies on the picture."""
    size = getattr(pixels, "picture_size", None) or (preprocessing.size_px, preprocessing.size_px)
    found = view_geometry(size, view, digest=b"", size_px=preprocessing.size_px, mode=preprocessing.resize)
    return found.of_size(size)


def _size_of(source: Any) -> tuple[int, int] | None:
    """The upright size that a file or its bytes state: a JPEG is decoded smaller than it is."""
    source = understood(source)
    if isinstance(source, Path | bytes):
        header = read_header(source)
        return header.width, header.height
    return None


def or_why_not(prepare: Callable[[], np.ndarray]) -> np.ndarray | PictureError:
    """What ``prepare`` gives, or the PictureError that it raises."""
    try:
        return prepare()
    except PictureError as reason:
        return reason


def whole(source: Any, preprocessing: Preprocessing) -> "Image":
    """The picture, mode RGB and upright, before it is resized. Raises PictureError, 'damaged' unless these are kept."""
    source, name = understood(source, preprocessing.values), None
    if isinstance(source, Path):
        source, name = read_bytes(source), str(source)
    if isinstance(source, bytes) and not preprocessing.keep_damaged:
        check_intact(source, name)
    side = needed_shorter_side_px(preprocessing.size_px, preprocessing.resize)
    return in_memory(source, shorter_side_px=side, name=name, values=preprocessing.values)


def same_bytes(picture: Picture) -> Any:
    """What to decode of a picture whose digest is known: a file's bytes, if they still have it. Raises PictureError."""
    if picture.content is not None:
        return picture.content
    content = read_bytes(picture.path)
    if digest(content) != picture.digest:
        raise PictureError("changed", f"{picture.path!r} was changed or replaced while it was being read: run again")
    return content


def _is_lossless(picture: Picture) -> bool:
    """Whether single levels mean something in it."""
    return picture.facts is not None and picture.facts.format in ("png", "tiff", "bmp", "gif", "pnm")


def upright(source: Any, longer_side_px: int) -> "Image":
    """The whole picture for people to look at: mode RGB, upright, at most ``longer_side_px`` long. Raises PictureError."""
    picture = in_memory(source, shorter_side_px=longer_side_px)
    scale = longer_side_px / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Resampling.BICUBIC)
