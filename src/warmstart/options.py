"""An option, written once: a field of a frozen dataclass whose annotation says what it does and which values it takes.

    @dataclass(frozen=True, kw_only=True)
    class Plan:
        seed: Annotated[int, Option("Seed of splits and of everything random.", range=Range(least=0))] = 0

        def __post_init__(self) -> None:
            settle(self, "plan key")

field → its check when an object is made (`settle`), its entry of a JSON document (`from_document`, `to_document`), its explanation
(`explained`), and its flag on the command line (`warmstart.cli.option_groups`). Nothing here knows which dataclass it is.
"""

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from warmstart.errors import UnknownNameError, UsageError
from warmstart.records import expected, fits

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Which numbers can be. Infinity only where it is said; NaN never."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    finite: bool = True

    def holds(self, value: float) -> bool:
        """Whether a number lies in it."""
        return (
            value == value  # NaN is not
            and not (self.finite and abs(value) > sys.float_info.max)  # whole numbers may be too long for a float
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = self.least if self.above is None else self.above
        high = self.most if self.below is None else self.below
        if low is not None and high is not None:
            both = self.above is not None and self.below is not None
            after_low = " (exclusive)" if self.above is not None and not both else ""
            return f"{low} … {high}".replace(" …", f"{after_low} …") + (" (exclusive)" if self.below is not None else "")
        if low is not None:
            return f"{low} or more" if self.above is None else f"above {low}"
        if high is not None:
            return f"{high} or less" if self.below is None else f"below {high}"
        return "any finite number" if self.finite else "any number"

    def refusal(self, value: float) -> str:
        """What is wrong with a number outside, as the end of a sentence."""
        if (self.least is not None or self.above is not None) and (self.most is not None or self.below is not None):
            return f"is outside {self}"
        if self.least is not None and value < self.least:
            return f"is less than {self.least}"
        return f"is not {self}" + (" and finite" if value > sys.float_info.max else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How a value is typed on the command line, where that is not how it is kept."""

    read: Callable[[Any], Any]  # typed → kept; raises UsageError
    show: Callable[[Any], Any] = str  # kept → typed, of the default
    typed: type = str
    least: float | None = None  # of the number that is typed


@dataclass(frozen=True, slots=True)
class Option:
    """What a field means. Choices and range are checked when an object is made, whoever makes it."""

    help: str  # '{choices}' stands for them
    _: dataclasses.KW_ONLY
    word: str = ""  # what messages call it; '': the field's name
    unit: str = ""  # behind the number, in messages
    choices: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # values that are taken though no list of choices names them
    range: Range | None = None
    check: Callable[[Any], None] | None = None  # any other rule; raises UsageError
    of: type | None = None  # a field that maps names to values: the options dataclass whose names these are
    verbs: tuple[str, ...] = ("train",)  # the commands that have it
    tags: tuple[str, ...] = ()  # what those who read the dataclass want to know of it
    flag: str = ""  # '': made of the field's name; a field of `of` has one of its own only where it is named
    metavar: str = ""
    envvar: str = ""
    form: Form | None = None
    later: bool = False  # came after documents had been written: where it has its default, a document is as it was before

    @property
    def text(self) -> str:
        """The help, with the choices in it."""
        return self.help.replace("{choices}", _listed(self.choices))


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an options dataclass, as it was written."""

    name: str
    hint: Any  # without the option
    option: Option
    default: Any

    @property
    def word(self) -> str:
        """What messages call it."""
        return self.option.word or self.name.replace("_", " ")

    @property
    def flag(self) -> str:
        """As it is spelt on the command line."""
        return self.option.flag or f"--{self.name.replace('_', '-')}"

    @property
    def kind(self) -> Any:
        """The type without None."""
        parts = [part for part in get_args(self.hint) if part is not NoneType]
        return parts[0] if get_origin(self.hint) in (UnionType, Union) and len(parts) == 1 else self.hint

    @property
    def optional(self) -> bool:
        """Whether None is a value of it."""
        return get_origin(self.hint) in (UnionType, Union) and NoneType in get_args(self.hint)

    @property
    def choices(self) -> tuple[str, ...]:
        """Those of the option, or of a Literal."""
        literal = get_origin(self.kind) is Literal
        return self.option.choices or (tuple(str(choice) for choice in get_args(self.kind)) if literal else ())


def fields_of(options: type) -> Mapping[str, Field]:
    """Name → field, of the fields that are options; a field without an `Option` is none."""
    return _fields_of(cast(Any, options))


@lru_cache
def _fields_of(options: Any) -> Mapping[str, Field]:
    hints = get_type_hints(options, include_extras=True)
    found = {}
    for field in dataclasses.fields(options):
        hint = hints[field.name]
        option = next((extra for extra in get_args(hint)[1:] if isinstance(extra, Option)), None)
        if get_origin(hint) is Annotated and option is not None:
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            found[field.name] = Field(field.name, get_args(hint)[0], option, default)
    return found


def settle(made: Any, noun: str) -> None:
    """For `__post_init__`: brings every option to the form that is kept (hashable), and checks it.

    Raises UnknownNameError for a name that is not among the choices, UsageError with all problems otherwise. ``noun``: what a field is
    called where its value is of another kind.
    """
    problems: list[UsageError] = []
    for field in fields_of(type(made)).values():
        value = _meant(getattr(made, field.name), field)
        try:
            check(field, value, noun)
        except UsageError as problem:
            problems.append(problem)
        object.__setattr__(made, field.name, frozen(value))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UsageError("; ".join(str(problem) for problem in problems))


def check(field: Field, value: Any, noun: str) -> None:
    """Raises UsageError, or UnknownNameError, where the field does not take the value."""
    option = field.option
    if not fits(value, field.hint):
        raise UsageError(f"{noun} {field.name!r} is {value!r}; expected {expected(field.hint)}")
    if value is None:
        return
    if option.choices and value not in (*option.choices, *option.also):
        raise UnknownNameError(field.word, value, option.choices)
    if option.range is not None and not option.range.holds(value):
        raise UsageError(f"{field.word} {value}{' ' * bool(option.unit)}{option.unit} {option.range.refusal(value)}")
    if option.check is not None:
        option.check(value)


def from_document(options: type[T], values: Mapping[str, Any], noun: str) -> T:
    """An object out of a JSON object; what it does not name is as by default.

    Raises UnknownNameError for a key that is no option, UsageError for a value that an option does not take.
    """
    known = fields_of(options)
    for key in values:
        if key not in known:
            raise UnknownNameError(noun, str(key), known)
    return options(**values)


def to_document(made: Any) -> dict[str, Any]:
    """JSON-ready; the inverse of `from_document`."""
    values = {name: (field, getattr(made, name)) for name, field in fields_of(type(made)).items()}
    return {
        name: thawed(value) for name, (field, value) in values.items() if not (field.option.later and value == field.default)
    }


def tagged(options: type, tag: str) -> tuple[Field, ...]:
    """The fields that bear a tag."""
    return tuple(field for field in fields_of(options).values() if tag in field.option.tags)


def explained(options: type, name: str, noun: str) -> str:
    """What an option means, which values it takes, its default and its flag. Raises UnknownNameError."""
    known = fields_of(options)
    if name not in known:
        raise UnknownNameError(noun, name, known)
    field = known[name]
    lines = [f"{name}: {field.option.text}", f"takes {taken(field)}; default {shown(field.default)}"]
    if field.option.verbs:
        lines.append(f"on the command line {field.flag}")
    return "\n".join(lines)


def told(field: Field) -> str:
    """A line of a docstring: what a field means, which values it takes, its default."""
    return f"    {field.name}: {field.option.text} Takes {taken(field)}; default {shown(field.default)}."


def taken(field: Field) -> str:
    """Which values a field takes, in words."""
    if field.choices:
        words = _listed([repr(choice) for choice in field.choices])
    else:
        words = expected(field.kind) + (f", {field.option.range}" if field.option.range else "")
        words += f" {field.option.unit}" if field.option.unit else ""
    return f"{words}, or null" if field.optional else words


def shown(value: Any) -> str:
    """A value as it stands in a JSON document."""
    return json.dumps(thawed(value), ensure_ascii=False)


def _listed(words: Sequence[str]) -> str:
    """'a, b or c'."""
    *most, last = words or ("",)
    return f"{', '.join(most)} or {last}" if most else last


class FrozenMapping(Mapping[str, Any]):
    """A mapping that cannot be changed and has a hash. Equal to any mapping with the same entries."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = {key: frozen(value) for key, value in (values or {}).items()}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._values == {key: frozen(value) for key, value in other.items()}

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(thawed(self))


def frozen(value: Any) -> Any:
    """Lists become tuples and mappings `FrozenMapping`s, all the way down."""
    if isinstance(value, Mapping):
        return FrozenMapping(value)
    return tuple(frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def thawed(value: Any) -> Any:
    """JSON-ready: the inverse of `frozen`, paths as text."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thawed(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _meant(value: Any, field: Field) -> Any:
    """A number of NumPy's becomes Python's, a text where a path belongs a path, and the other way round."""
    if isinstance(value, str) and field.kind is Path:
        return Path(value)
    if isinstance(value, Path) and field.kind is str:
        return str(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def read_names(text: str) -> tuple[str, ...]:
    """'a, b' → ('a', 'b'); nothing for nothing."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def read_seconds(text: str) -> float:
    """'90s', '10m', '1.5h', or a number of seconds. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no time; give seconds, minutes or hours, for example 90s, 10m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def read_shares(text: str) -> tuple[float, ...]:
    """'70/15/15' → (0.7, 0.15, 0.15). Raises UsageError."""
    try:
        train, val, test = (float(part) / 100 for part in text.split("/"))
    except ValueError:
        raise UsageError(f"--split {text!r} is not of the form TRAIN/VAL/TEST in percent, for example 70/15/15") from None
    return train, val, test


def read_gigabytes(number: float) -> int:
    """GB → bytes. Raises UsageError."""
    if not math.isfinite(number):
        raise UsageError(f"{number} is no size in GB, expected a number such as 2.5")
    return int(number * 1e9)


NAMES = Form(read=read_names, show=",".join)
SECONDS = Form(read=read_seconds)
SHARES = Form(read=read_shares, show=lambda shares: "/".join(f"{100 * share:g}" for share in shares))
GIGABYTES = Form(read=read_gigabytes, show=lambda size: size / 1e9, typed=float, least=0)
MEGA = Form(read=lambda number: int(number * 1e6), show=lambda size: size / 1e6, typed=float)
