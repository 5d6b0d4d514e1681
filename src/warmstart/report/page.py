"""What every report is: one self-contained HTML page. No request leaves it, and it opens from disk."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from warmstart.report.printable import percent, printable

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page and what was embedded in it."""

    html: str
    thumbnails: int
    unreadable: int  # pictures that should have one, and whose file is gone or broken by now
    without_room: int  # pictures that should have one, and did not fit


@cache
def environment(package: str = "warmstart.report", scripts: tuple[str, ...] = ()) -> "Environment":
    """Templates of a package, and those that every report shares. Everything is escaped. ``scripts``: of the package, to be embedded."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, "warmstart.report"))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["percent"] = percent
    found.filters["printable"] = lambda text: printable(str(text))
    for owner, name in (("warmstart.report", "report.css"), *((package, script) for script in scripts)):
        source = files(owner).joinpath("templates", name).read_text("utf-8")
        found.globals[name.replace(".", "_")] = Markup(source)
    return found
