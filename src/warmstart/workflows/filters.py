"""filters: the first convolution of a backbone or a model, as a picture."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warmstart.backbones.weights import load_backbone
from warmstart.explain.filters import Filters, first_filters
from warmstart.model.predictor import Model
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_folder import make_folder
from warmstart.workflows.predict import SOURCE_PREFIX, open_trained, place_of


@dataclass(frozen=True, kw_only=True)
class FilterPicture:
    """The filters, and the pictures of them that were written."""

    name: str  # backbone or model, as it was asked for
    filters: Filters
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; weights (F, 3, H, W)."""
        return {
            "name": self.name,
            "backbone": self.filters.backbone,
            "layer": self.filters.path,
            "shape": list(self.filters.weights.shape),
            "weights": self.filters.weights.tolist(),
            "files": list(self.files),
        }


def filters(
    name: "str | Model",
    *,
    weights: str = "default",
    download: bool = False,
    watcher: Watcher | None = None,
) -> FilterPicture:
    """Of a model or run folder, of 'imagenet:BACKBONE' or of a backbone by name. `draw` makes a picture.

    weights: for a backbone: 'default', 'random' or a file. Raises ModelFileError, UnknownNameError or BackboneError.
    """
    watcher = watcher or NullProgress()
    if not isinstance(name, str) or Path(name).exists():
        backbone = open_trained(name).network()
    else:
        backbone = load_backbone(name.removeprefix(SOURCE_PREFIX), weights=weights, download=download, announce=watcher.say)
    return FilterPicture(name=place_of(name), filters=first_filters(backbone))


def draw(result: FilterPicture, folder: Path) -> FilterPicture:
    """Write the tiles into ``folder`` as PNG and SVG; the result names them. Raises DataError when it cannot be made."""
    from warmstart.report.tiles import draw_filters

    make_folder(folder)
    written = draw_filters(result.filters, title=f"{result.name}: filters of {result.filters.path}", folder=folder)
    return replace(result, files=tuple(str(path) for path in written))
