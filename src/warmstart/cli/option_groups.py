"""An options dataclass as flags: a command whose signature is made of fields.

    def train(*, data: DataOrNot = None, recipe: Annotated[Given[Plan], Group("train")], as_json: Json = False) -> None: ...
    app.command()(command(train))

The parameter `recipe` becomes one flag for every field of `Plan` whose option names the verb; what was typed comes back as one value.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import typer

from warmstart.errors import UsageError, WarmstartError
from warmstart.options import Field, fields_of

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """Which fields a command has, and what it says otherwise of some: their default as it is typed, their help."""

    verb: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Groups:
    """Options dataclasses that are known when the command is made, such as those of installed tasks: name → dataclass.

    The parameter is a mapping of these names to what was typed, defaults left to the dataclasses; a flag that several have is one flag.
    """

    verb: str
    of: Callable[[], Mapping[str, type]]


@dataclass(frozen=True)
class Given(Generic[T]):
    """What was said of an options dataclass on a command line."""

    of: type[T]
    values: Mapping[str, Any]  # field → value, also where it is the default; none where that is left to the command
    typed: Mapping[str, tuple[str, ...]]  # field → its flags that were typed, as they are spelt

    def make(self, **changes: Any) -> T:
        """The object. Raises UsageError for what cannot be."""
        return self.of(**{**self.values, **changes})

    def only_typed(self) -> "Given[T]":
        """Without what is so by default."""
        return replace(self, values={name: self.values[name] for name in self.typed})


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The same command, each `Given` parameter opened into the flags of its `Group`."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Group | Groups] = {}
    opened = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        group = next((extra for extra in get_args(hint)[1:] if isinstance(extra, (Group, Groups))), None)
        if isinstance(group, Group):
            groups[parameter.name] = group
            opened += [_parameter(one, group) for one in _flags(_options(hint), group.verb)]
        elif isinstance(group, Groups):
            groups[parameter.name] = group
            opened += _shared(group)
        elif parameter.name != "context":
            opened.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))
    _require_once(function.__name__, opened)

    @wraps(function)
    def run(**values: Any) -> None:
        context = values["context"] if "context" in hints else values.pop("context")
        typed = flags_typed(context)
        for name, group in groups.items():
            if isinstance(group, Group):
                values[name] = _given(_options(hints[name]), group.verb, values, typed)
            else:
                values[name] = {key: _given(of, group.verb, values, typed).only_typed() for key, of in group.of().items()}
        function(**{name: values[name] for name in hints if name in values})

    run.__signature__ = inspect.Signature(opened, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in opened} | {"return": None}
    return run


def flags_typed(context: typer.Context) -> dict[str, str]:
    """Parameters that stand on the command line, also with their usual value: name → the option as it is spelt, or the argument."""
    found = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name and source is not None and source.name == "COMMANDLINE":
            negated = parameter.secondary_opts and context.params[parameter.name] is False
            found[parameter.name] = (parameter.secondary_opts if negated else parameter.opts)[0]
    return found


def _options(hint: Any) -> Any:
    """Annotated[Given[Plan], …] → Plan."""
    return get_args(get_args(hint)[0])[0]


def _shared(groups: Groups) -> list[inspect.Parameter]:
    """One flag for each name; its default is shown where all that have it agree."""
    found: dict[str, list[Field]] = {}
    for options in groups.of().values():
        for one in _flags(options, groups.verb):
            found.setdefault(one.name, []).append(one)
    return [
        _parameter(
            same[0] if all(one.default == same[0].default for one in same) else replace(same[0], default=None), Group("")
        )
        for same in found.values()
    ]


def _flags(options: type, verb: str) -> Iterator[Field]:
    """The fields that a command has, each mapping of names to values behind those of its names that have a flag of their own."""
    for one in fields_of(options).values():
        if verb not in one.option.verbs:
            continue
        if one.option.of is not None:
            yield from _own_flags(one.option.of, verb)
        yield one


def _own_flags(options: type, verb: str) -> list[Field]:
    """Without a default: what is not typed is left to whoever reads the mapping."""
    return [replace(one, default=None) for one in fields_of(options).values() if one.option.flag and verb in one.option.verbs]


def _parameter(one: Field, group: Group) -> inspect.Parameter:
    """The flag of a field, for Typer."""
    option, form = one.option, one.option.form
    default = group.defaults[one.name] if one.name in group.defaults else _as_typed(one)
    kind, declared, metavar = one.kind, [one.flag], option.metavar or None
    if form is not None:
        kind = form.typed
    elif option.of is not None:
        kind, default, metavar = list[str], None, metavar or "NAME=VALUE"
    elif get_origin(kind) is tuple:
        kind, default = list[get_args(kind)[0]], None  # type: ignore[misc]
    elif kind is bool and (default is not False or one.optional):
        declared = [f"{one.flag}/--no-{one.flag.removeprefix('--')}"]
    elif one.choices:
        kind = str
        if "{choices}" not in option.help:
            metavar = metavar or f"<{'|'.join(one.choices)}>"
    if default is None:
        kind = kind | None
    told: Any = typer.Option(
        *declared,
        metavar=metavar,
        help=group.helps.get(one.name, option.text),
        min=form.least if form else None,
        envvar=option.envvar or None,
    )
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, told])


def flag_of(options: type, name: str) -> Any:
    """One field as an annotation, for a command that has no other of its dataclass."""
    return _parameter(fields_of(options)[name], Group("")).annotation


def _as_typed(one: Field) -> Any:
    """The default, as it would be typed; None for none."""
    if one.default is None or one.default == ():
        return None
    return one.option.form.show(one.default) if one.option.form else one.default


def _given(options: type[T], verb: str, values: Mapping[str, Any], typed: Mapping[str, str]) -> Given[T]:
    kept, flags = {}, {}
    for one in fields_of(options).values():
        if verb not in one.option.verbs:
            continue
        names = [one.name]
        if one.option.of is not None:
            own = _own_flags(one.option.of, verb)
            value: Any = {each.name: _read(each, values[each.name]) for each in own}
            value = {name: number for name, number in value.items() if number is not None}
            value |= pairs(one.flag, values[one.name] or ())
            names = [*(each.name for each in own), *names]
        else:
            value = _read(one, values[one.name])
        if value is not None or one.optional:
            kept[one.name] = value
        if spelt := tuple(typed[name] for name in names if name in typed):
            flags[one.name] = spelt
    return Given(options, kept, flags)


def _read(one: Field, value: Any) -> Any:
    if value is None or one.option.form is None:
        return value
    return one.option.form.read(value)


def pairs(flag: str, typed: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE: numbers and null as JSON, anything else as text. Raises UsageError."""
    given = {}
    for pair in typed:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{flag} {pair!r} is not of the form NAME=VALUE, for example label_smoothing=0.1")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text
    return given


def _require_once(name: str, opened: list[inspect.Parameter]) -> None:
    names = [parameter.name for parameter in opened]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise WarmstartError(f"the command {name} has two options called {', '.join(twice)}; rename one of the fields")
