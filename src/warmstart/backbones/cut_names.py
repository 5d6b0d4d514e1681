"""The names of a backbone's cuts as its family declares them, known before any library or weight is loaded.

A contract test holds them against every network of the catalogue.
"""

import re
from collections.abc import Iterable, Sequence

from warmstart.backbones.catalog import declared_spec
from warmstart.backbones.declarations import DECLARATIONS, Declaration
from warmstart.errors import UnknownNameError

# Steps that a library writes as function calls (`steps.STEPS`): no name of a cut, also where a library has made a module of one.
STEPS = frozenset({"flatten", "relu", "spatial_mean", "transform_input"})


def declared_cuts(backbone: str) -> dict[str, str] | None:
    """Cut → the library's name for it, left to right, 'pixels' first. None where nothing is declared: such cuts are found in the network.

    Raises UnknownNameError for a name that is no backbone's, as far as that can be told without its library.
    """
    spec = declared_spec(backbone)
    if spec is None or spec.declaration is None:
        return None
    return {"pixels": "pixels", **_stages(DECLARATIONS[spec.declaration], spec.blocks)}


def require_cut(backbone: str, cut: str) -> None:
    """Raises UnknownNameError for a cut that the backbone is known not to have."""
    cuts = declared_cuts(backbone)
    if cuts is not None and cut not in cuts and cut not in cuts.values():
        spec = declared_spec(backbone)
        raise unknown_cut(spec.name if spec else backbone, cut, list(cuts), list(cuts.values())[1:])


def unknown_cut(backbone: str, cut: str, cuts: Sequence[str], aliases: Iterable[str]) -> UnknownNameError:
    """The error, with the nearest names: people know cuts by their range, so not every one is listed."""
    error = UnknownNameError("cut", cut, [*cuts, *aliases])
    maps = [name for name in cuts if name.startswith("stage")]
    middle = ["stem", *([maps[0]] if len(maps) == 1 else [f"{maps[0]} … {maps[-1]}"])] if maps else []
    guess = f" Did you mean {' or '.join(repr(near) for near in error.nearest)}?" if error.nearest else ""
    error.args = (
        f"backbone {backbone!r} has no cut {cut!r}. Its cuts are {', '.join(['pixels', *middle, 'pooled'])}.{guess} "
        f"List them with shapes: warmstart backbones {backbone}",
    )
    return error


def _stages(declaration: Declaration, blocks: int) -> dict[str, str]:
    opened: list[str] = []
    for entry in declaration.stages:
        container = entry.removesuffix(".*")
        opened += [entry] if container == entry else [f"{container}.{number}" for number in range(blocks)]
    named = {f"stage{number}": paths for number, paths in enumerate(opened, start=1)}
    return {
        name: _last(name, paths) for name, paths in {"stem": declaration.stem, **named, "pooled": declaration.pooling}.items()
    }


def _last(name: str, paths: str) -> str:
    """The path of the last module; the stage's own name where it is made of steps alone."""
    modules = [path for path in paths.split() if path.removeprefix("+") not in STEPS]
    return re.sub(r"\.\d+-(\d+)$", r".\1", modules[-1]) if modules else name
