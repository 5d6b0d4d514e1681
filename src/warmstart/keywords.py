"""Options as keyword arguments: a call takes the fields of `Plan`, of `TrainSettings` and of our tasks' options by their names.

    train(data, cut="stage5", budget_s=600, robust=True)  →  Plan, TrainSettings

Signature and docstring are made of the fields, so that help says all of them and none is written twice.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from warmstart.errors import UnknownNameError
from warmstart.options import NAMES, Field, fields_of, read_names, told
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.task_registry import options_of_ours

P = ParamSpec("P")
R = TypeVar("R")


def asked(options: Mapping[str, Any], plan: Plan | None, *, usual: Plan) -> tuple[Plan, TrainSettings]:
    """What keyword arguments say beside a plan, or beside the ``usual`` one where nothing of a plan is given.

    Raises UnknownNameError for a name that is none, with the nearest; UsageError for a value that an option does not take.
    """
    planned, of_settings, of_tasks = fields_of(Plan), fields_of(TrainSettings), _of_tasks()
    for name in options:
        if name not in planned and name not in of_settings and name not in of_tasks:
            raise UnknownNameError("argument", name, dict.fromkeys([*planned, *of_settings, *of_tasks]))
    options = {name: _read(value, {**planned, **of_settings}.get(name)) for name, value in options.items()}
    settings = TrainSettings(**{name: value for name, value in options.items() if name in of_settings})
    given = {name: value for name, value in options.items() if name in planned}
    theirs = {name: value for name, value in options.items() if name in of_tasks and name not in planned}
    if plan is None:
        # A plan that says how is not left to advice; where and of what to learn may be said beside it.
        plan = usual if not given.keys() - _BESIDE_ADVICE else Plan()
    if theirs:
        given["options"] = {**plan.options, **given.get("options", {}), **theirs}
    return replace(plan, **given), settings


def _read(value: Any, field: Field | None) -> Any:
    """Names may be given as on the command line, joined by ','."""
    named = field is not None and field.option.form is NAMES and isinstance(value, str)
    return read_names(value) if named else value


_BESIDE_ADVICE = {
    "backbone",
    "fractions",
    "image_size_px",
    "keep_damaged",
    "options",
    "resize",
    "seed",
    "target",
    "task",
    "weights",
}


def documented(*groups: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: ``**options`` of a function are the fields of these dataclasses, in its signature and its docstring."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)

        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        taken_names = {parameter.name for parameter in own}
        lines = [inspect.cleandoc(function.__doc__ or "")]
        more = []
        for group in groups:
            lines.append(f"\nFields of {group.__name__}:\n")
            for field in fields_of(group).values():
                if field.name not in taken_names:
                    more.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default))
                    lines.append(told(field))
        call.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        call.__doc__ = "\n".join(lines)
        return call

    return decorate


def _of_tasks() -> dict[str, Field]:
    return {name: field for options in options_of_ours().values() for name, field in fields_of(options).items()}
