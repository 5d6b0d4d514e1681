"""Frozen values that cross folders: plain data, no behaviour beyond checking and JSON.

N examples, K classes.
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

# Of a JSON file that is read. Ours are below 1 MB, but for the list of training pictures: 35 bytes for each.
MOST_JSON_BYTES = 64_000_000
DEEPEST_JSON = 64  # lists and objects within each other; ours go down to 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that was left out or looks wrong: counted, named, never silent."""

    path: str
    kind: str  # 'unreadable', 'truncated', 'conflicting-labels', … ; the word that tables group by
    message: str  # what was found, what was expected, how to fix it

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


# Kinds of problems that are no property of a picture: the next time there may be none.
OF_THIS_MOMENT = ("missing", "permission", "unreadable", "memory", "changed")


def first_reasons(problems: Sequence[Problem]) -> str:
    """The first three in words, for a message that says why nothing is left."""
    reasons = [problem.message for problem in problems[:3]]
    return " ".join(reasons) + (f" … and {len(problems) - 3} more." if len(problems) > 3 else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that is so in many pictures of a data set and is said once: nothing is left out for it, unlike for a `Problem`."""

    kind: str  # 'cropped', 'pages', 'one-colour', 'cured', 'damaged', 'alike-names', 'nested', 'folders-in-folders'
    message: str  # how many, what is lost, what helps
    pictures: int = 0  # how many it is about; 0: no picture but the data set
    paths: tuple[str, ...] = ()  # of the first three

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self) | {"paths": list(self.paths)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One labelled picture. ``split`` and ``group`` only when the user gave them."""

    path: str  # of its file; or a name, such as 'picture 3', for one in memory
    class_name: str
    split: Split | None = None
    group: str | None = None
    stratum: Hashable = None  # what splits are balanced by, where it is not the class
    cells: Mapping[str, Any] = field(default_factory=dict)  # what else a table says of it: column → value
    content: Any = field(default=None, compare=False, repr=False)  # of one in memory; None: it is in the file

    @property
    def source(self) -> Any:
        """What to decode."""
        return self.path if self.content is None else self.content


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What stands in a folder, manifest or list, before any picture is opened."""

    source: str  # what the user named, for messages and records
    examples: tuple[Example, ...]
    class_names: tuple[str, ...]  # sorted; a label is an index into it
    problems: tuple[Problem, ...] = ()
    fixes: Mapping[str, Any] | None = None  # what a list of fixes has changed already
    licence: str | None = None  # of the pictures, where it is known
    columns: tuple[
        str, ...
    ] = ()  # of its table, that hold what is to be learnt, where that is not a label: in the cells of examples
    is_table: bool = False  # labels stand in a table, and do not name folders
    notices: tuple[Notice, ...] = ()  # of how it was read


@dataclass(frozen=True, kw_only=True, slots=True)
class Depth:
    """What a picture of more than 8 bits a value says of its values. How they become 8 bits: `warmstart.data.depth`."""

    bits: int | None  # whole numbers: bits that its values use, or that the file declares; None: signed or real numbers
    declared: bool = False  # the file packs its values into so many bits
    low: float = 0.0  # signed or real: the values between which nearly all lie
    high: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the bytes of a picture say, found once when they are hashed and remembered under their digest."""

    format: str  # a name of `data.formats.READABLE`
    width: int  # of the upright picture, px
    height: int
    mode: str  # Pillow's word for the stored pixels
    pages: int = 1  # pages, frames or pictures in the file; the first is used
    damage: str | None = None  # what is wrong with bytes that decode all the same, as the end of a sentence
    cure: str | None = None  # how a conversion that would have left nothing was put right: a name of `data.flattening.CURES`
    lost: str | None = None  # why the network sees (almost) one colour though the file holds more, as the end of a sentence
    depth: Depth | None = None  # None: 8 bits, as they are


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueRange:
    """Which values become 0 … 255, for pictures of more than 8 bits. None: each picture's own (`warmstart.data.depth`)."""

    bits: int | None = None  # whole numbers without declared bits: 0 … 2^bits - 1
    real: tuple[float, float] | None = None  # signed and real numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture and the digest of its content: what extraction works on, and what rows are stored under."""

    path: str  # or a name for one that is in memory
    digest: bytes  # BLAKE2b-128 of the file (or of shape and pixels), 16 bytes
    content: Any = None  # encoded bytes, PIL image or uint8 array; None: it is in the file
    facts: Facts | None = None  # None: its bytes are no picture, or there are none

    @property
    def source(self) -> Any:
        """What to decode."""
        return self.path if self.content is None else self.content


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the network's input. The same in training, prediction and export."""

    size_px: int
    resize: str = "crop"  # of `data.views.RESIZE_MODES`
    views: tuple[str, ...] = ("plain",)  # features are averaged over these
    values: ValueRange = ValueRange()  # for pictures of more than 8 bits
    keep_damaged: bool = False  # use pictures whose bytes are damaged but decode

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; what the model's document says. What is as it always was is not written."""
        out: dict[str, Any] = {"size_px": self.size_px, "resize": self.resize, "views": list(self.views)}
        if self.values != ValueRange():
            out["values"] = {"bits": self.values.bits, "real": self.values.real and list(self.values.real)}
        return out | ({"keep_damaged": True} if self.keep_damaged else {})


def fits(value: Any, hint: Any) -> bool:
    """Whether a value out of a JSON document is of the kind that a field with this type takes; of lists, what is in them too."""
    kind = get_origin(hint) or hint
    if kind in (UnionType, Union):
        return any(fits(value, part) for part in get_args(hint))
    if kind is Literal:
        return any(value is option or (type(value) is type(option) and value == option) for option in get_args(hint))
    if kind is tuple:
        parts = get_args(hint)
        return isinstance(value, (list, tuple)) and all(fits(item, parts[0]) for item in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def expected(hint: Any) -> str:
    """What `fits` asks for, in words."""
    kind = get_origin(hint) or hint
    if kind in (UnionType, Union):
        return " or ".join(expected(part) for part in get_args(hint))
    if kind is Literal:
        return " or ".join(repr(option) for option in get_args(hint))
    names = {
        "str": "a text",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "NoneType": "null",
        "Path": "a path",
    }
    return names.get(kind.__name__, "a list" if kind is tuple else "an object")


@dataclass(frozen=True, kw_only=True, slots=True)
class AtDepth:
    """How many pictures are right where names of classes are a tree, truth and answer cut to a depth of it."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    majority_accuracy: float  # of always naming what the most frequent class of train is there


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good predictions are on one split. Definitions and sources: `warmstart.tasks.classify.metrics`."""

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float
    log_loss: float
    ece: float
    auroc: float | None  # None when a class has no example in this split
    majority_accuracy: float  # of always naming the most frequent class of train
    per_class: Mapping[str, Mapping[str, float]]  # class name → precision, recall, f1, support
    confusion: tuple[tuple[int, ...], ...]  # (K, K) counts, row = true, column = predicted
    used_for_choosing: bool  # True: penalty, taps or epoch were chosen on these pictures, so the numbers flatter
    by_depth: tuple[AtDepth, ...] = ()  # at depth 1, 2 …; nothing where names of classes are no tree

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; of a tree, `accuracy_depth1` and so on."""
        out = dataclasses.asdict(self)
        for depth, numbers in enumerate(out.pop("by_depth"), 1):
            out |= {name.replace("accuracy", f"accuracy_depth{depth}"): value for name, value in numbers.items()}
        return out

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises TypeError, KeyError or ValueError for what are none."""
        depths = sum(re.fullmatch(r"accuracy_depth\d+", name) is not None for name in document)
        by_depth = tuple(
            AtDepth(
                accuracy=document[f"accuracy_depth{depth}"],
                accuracy_ci95=tuple(document[f"accuracy_depth{depth}_ci95"]),
                majority_accuracy=document[f"majority_accuracy_depth{depth}"],
            )
            for depth in range(1, depths + 1)
        )
        flat = {name: value for name, value in document.items() if "accuracy_depth" not in name}
        confusion = tuple(tuple(row) for row in document["confusion"])
        return cls(**{**flat, "confusion": confusion, "accuracy_ci95": tuple(document["accuracy_ci95"]), "by_depth": by_depth})


@dataclass(frozen=True, kw_only=True)
class EngineProof:
    """That an engine computes what PyTorch float32 computes, on the user's own pictures.

    The error of a tap is ‖B−T‖ / ‖T−mean(T)‖ over the proof pictures: B the engine's, T PyTorch's output, the mean per channel.
    """

    engine: str
    precision: str
    pictures: int
    limit: float
    tap_errors: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Every tap within the limit; rows that are not finite are infinitely far off."""
        return all(error <= self.limit for error in self.tap_errors.values())


@dataclass(frozen=True, kw_only=True)
class Cache:
    """How many pictures (times views) came from the store and how many were computed."""

    hits: int
    misses: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sure:
    """The deepest answer that is sure enough, where names of classes are a tree: a class, or what stands above several."""

    asked: float  # what its probability is to be at least
    class_name: str | None  # 'animal>dog'; None: not even the top of the tree is sure enough
    probability: float | None  # of the classes at or below it together

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"asked": self.asked, "class": self.class_name, "probability": self.probability}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one picture."""

    source: str  # the path, or 'picture 3' for one that came without a name
    class_name: str
    probability: float  # of that class
    probabilities: Mapping[str, float]  # class name → probability, summing to 1
    novelty: float | None = (
        None  # percent of the training pictures that lie nearer to the others; None: the model holds nothing to say
    )
    classes: tuple[str, ...] | None = None  # that it may be, for the coverage asked for, most probable first; None: not asked
    sure: Sure | None = None  # None: not asked

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": self.source,
            "class": self.class_name,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "novelty": self.novelty,
            "classes": None if self.classes is None else list(self.classes),
            **({} if self.sure is None else {"sure": self.sure.to_dict()}),
        }


def to_json(document: Any) -> str:
    """The one way we write JSON for people and files: two spaces, the order of insertion, no NaN."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def json_digest(document: Any) -> str:
    """SHA-256 (hex) of a JSON-ready document, whatever the order of its entries. A list and a tuple are one, as in the file."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def read_json(path: Path, *, most_bytes: int = MOST_JSON_BYTES, errors: str = "strict") -> Any:
    """What stands in a JSON file that anybody may have written; see `from_json`. ``errors``: what is done with bytes that are no UTF-8.

    Raises OSError, and ValueError with a clause for a message: what is wrong with the content.
    """
    with os.fdopen(os.open(path, _READ), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is a device or a pipe, expected a file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is longer than {most_bytes:,} bytes")
    return from_json(content.decode("utf-8-sig", errors))


def from_json(text: str) -> Any:
    """The one way we read JSON: no key twice, no NaN, no number that a float or 64 bits cannot hold, `DEEPEST_JSON` levels at most.

    Raises ValueError with a clause for a message.
    """
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):  # before parsing, which would go as deep as the text says
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > DEEPEST_JSON:
            raise ValueError(f"its lists and objects are more than {DEEPEST_JSON} deep")
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)


# A string that does not end goes to the end of the text, so that each letter is looked at once.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


# A pipe that nobody writes to is opened at once, to be refused. (What other systems have not counts 0.)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r:.80} stands in it twice")
    return document


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} stands in it where a number is expected")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text:.40} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"the number {text[:20]}{'…' * (len(text) > 20)} is too large ({len(text):,} digits)")
    return int(text)
