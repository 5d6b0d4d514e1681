"""`recipe.json`: what a recipe's folder holds, for people, and the library versions its rows were computed with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from warmstart.atomic import write_json

_NAME = "recipe.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """The whole recipe behind a folder's name. ``key`` is the full recipe key, ``created`` a time in UTC (ISO 8601)."""

    key: str
    recipe: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def read_description(folder: Path) -> Description | None:
    """None where the file is absent or unreadable: it only describes, so it is written anew from the recipe."""
    try:
        values = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return Description(key=values["key"], recipe=values["recipe"], versions=values["versions"], created=values["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_description(folder: Path, description: Description) -> None:
    """Replace the file in one step, so that no reader and no kill ever sees half of it. Raises MachineError."""
    write_json(folder / _NAME, asdict(description))
