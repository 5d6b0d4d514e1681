"""Where things lie on the server's disk is nobody's business: texts and documents are told without it.

A place is a folder that the server knows: its home, roots, models, cache, the working folder, the user's. ``PLACE/cat/1.jpg`` is told as
``cat/1.jpg``, ``PLACE`` itself by its name. Addresses of this server are put into a document afterwards, so that none is taken for a place.
"""

import html
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from warmstart import machine
from warmstart.serve.settings import ServeSettings
from warmstart.workflows.predict import SOURCE_PREFIX


class Places:
    """Those of one server. The working folder counts as it is at the start, and again whenever something is told."""

    def __init__(self, settings: ServeSettings) -> None:
        models = [Path(given.rpartition("=")[2]) for given in settings.models if not given.startswith(SOURCE_PREFIX)]
        self._known: dict[str, str] = {}
        for place in (
            settings.home,
            *settings.roots,
            *([settings.models_folder] if settings.models_folder else []),
            *(one.absolute().parent for one in models),
            machine.cache_folder(),
            Path(tempfile.gettempdir()),
            Path(sys.prefix),
            Path(__file__).parents[2],
            Path.home(),
        ):
            self._known |= _names(place, place.name)
        self._known |= _names(settings.home, "home")

    def hide(self, value: Any, *, first: Iterable[tuple[Path, str]] = ()) -> Any:
        """A document, or a text, without them. ``first``: places of this document alone, with their names."""
        names = self._known | _names(Path.cwd(), Path.cwd().name)
        for place, name in first:
            names |= _names(place, name)
        return _without(value, _pattern(names), names)

    def hide_in_page(self, text: str) -> str:
        """A whole page of its own, in which there are no addresses of this server."""
        names = self._known | _names(Path.cwd(), Path.cwd().name)
        for place, name in list(names.items()):
            names |= {html.escape(place): html.escape(name), json.dumps(place)[1:-1]: json.dumps(name)[1:-1]}
        return str(_without(text, _pattern(names), names))


def _names(place: Path, name: str) -> dict[str, str]:
    """As it was given, and to its end; nothing for a whole disk, with which every path begins."""
    found = {place.absolute(), place.resolve()}
    return {str(one): name or one.name for one in found if one != Path(one.anchor)}


def _pattern(places: Iterable[str]) -> re.Pattern[str]:
    longest_first = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
    # Not in the middle of another path or word, and not where only the beginning of a name is alike.
    return re.compile(rf"(?<![\w.~-])({longest_first})(?:([/\\]+)(?=[^\s'\"<>])|[/\\]*(?![\w-]|\.\w))")


def _without(value: Any, pattern: re.Pattern[str], names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(lambda found: "" if found[2] else names[found[1]], value)
    if isinstance(value, Mapping):
        return {_without(key, pattern, names): _without(inner, pattern, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without(inner, pattern, names) for inner in value]
    return value
