"""Measurements that are kept: one JSON document a question, named by the digest of everything that the answer depends on.

    question → question's digest → <folder>/<digest>.json, or measured now and written

A document carries the digest of its question and of itself: one that was edited, damaged or renamed is measured again.

What is kept is what was measured, never what was concluded from it.
"""

import contextlib
import dataclasses
import json
import math
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from warmstart.atomic import write_json
from warmstart.errors import MachineError
from warmstart.records import expected, fits, json_digest
from warmstart.store.key import recipe_key

T = TypeVar("T")

FORMAT = 2  # raise it when a measurement changes its meaning: what was kept before is then measured anew
MOST_DOCUMENTS = 256  # of some 10 kB; beyond that the oldest go


def remembered(
    folder: Path,
    question: Mapping[str, Any],
    kind: type[T],
    measure: Callable[[], T],
    *,
    keep_s: float | None = None,
    lasting: Callable[[], bool] = lambda: True,
) -> T:
    """The answer to ``question``, an instance of the dataclass ``kind``: as it was measured before, or by ``measure`` now.

    question: plain JSON that names all that the answer hangs on. keep_s: how long an answer holds; None: for ever. lasting: asked after
    ``measure``, whether it could look at all that the question names; otherwise the answer is this run's alone.
    A document that cannot be read, or holds a value of another type, is measured again, one that cannot be written is not kept: neither
    is an error.
    """
    key = recipe_key({"format": FORMAT, "kind": kind.__name__, **question})
    path = folder / f"{key[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if keep_s is None or 0 <= time.time() - path.stat().st_mtime <= keep_s:
            kept: T = _restored(kind, _answer(json.loads(path.read_text("utf-8")), key))
            return kept
    answer = measure()
    if not lasting():
        return answer
    with contextlib.suppress(OSError, MachineError):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, sealed(key, dataclasses.asdict(answer)))  # type: ignore[call-overload]
        _forget_the_oldest(folder)
    return answer


def sealed(key: str, answer: Any) -> dict[str, Any]:
    """The document of an answer."""
    document = {"question": key, "answer": answer}
    return document | {"digest": json_digest(document)}


def _answer(document: Any, key: str) -> Any:
    """Raises ValueError, KeyError or TypeError for a document that is not as `sealed` made it, or is another question's."""
    if document["question"] != key or document.pop("digest") != json_digest(document):
        raise ValueError("changed since it was written")
    return document["answer"]


def _restored(kind: Any, value: Any) -> Any:
    """What `dataclasses.asdict` and JSON have made plain, in its types again: dataclasses, tuples, dicts and what may be None.

    Raises TypeError or ValueError where something else stands.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return None
        (kind,) = [option for option in inner if option is not types.NoneType]
        return _restored(kind, value)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        if not isinstance(value, dict) or value.keys() != set(names):
            raise TypeError(f"{value!r} is no {kind}")
        return kind(**{name: _restored(hints[name], value[name]) for name in names})  # type: ignore[operator]
    if origin is tuple and isinstance(value, list):
        of_each = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_restored(of, v) for of, v in zip(of_each, value, strict=True))
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {name: _restored(inner[1], v) for name, v in value.items()}
    if origin in (tuple, dict, Mapping) or not fits(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
        raise TypeError(f"{value!r}, expected {expected(kind)}")
    return value


def _forget_the_oldest(folder: Path) -> None:
    documents = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in documents[MOST_DOCUMENTS:]:
        path.unlink(missing_ok=True)
