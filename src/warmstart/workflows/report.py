"""report: a run folder or that of a comparison as one page, report.html, written beside what it shows."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from warmstart.atomic import write_bytes
from warmstart.errors import InputError
from warmstart.model.predictor import Model
from warmstart.records import read_json

REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where the page is, and what it had to do with or without."""

    path: str
    bytes: int
    thumbnails: int
    unreadable: int  # pictures whose file is gone or broken by now: the page has a placeholder
    without_room: int  # pictures left without a thumbnail, so that the page stays small
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def report(folder: Path, *, model: Model | None = None, heat_maps: bool = True, limit_s: float | None = None) -> Report:
    """Write FOLDER/report.html, replacing one that is there. Raises InputError where there is neither run nor comparison, MachineError.

    model: the run's, when it is in memory. heat_maps: of a few test pictures, as many as ``limit_s`` seconds last for (None: little at
    the end of a run, whose model is in memory, and enough otherwise).
    """
    from warmstart.report.page import comparison_page, run_page
    from warmstart.report.run_files import read_run
    from warmstart.report.saliency_examples import Looks

    created = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    missing: tuple[str, ...] = ()
    if (folder / "compare.json").is_file():
        page = comparison_page(_comparison(folder / "compare.json"), created)
    else:
        run = read_run(folder)
        looks = Looks(notes=("heat-maps were not wanted (--no-heat-maps)",))
        if heat_maps:
            from warmstart.workflows.saliency_examples import LIMIT_AGAIN_S, LIMIT_S, look_again

            looks = look_again(run, model, limit_s=limit_s or (LIMIT_AGAIN_S if model is None else LIMIT_S))
        page, missing = run_page(run, created, looks), run.missing
    path = folder / REPORT
    content = page.html.encode("utf-8", "backslashreplace")
    write_bytes(path, content)
    return Report(
        path=str(path),
        bytes=len(content),
        thumbnails=page.thumbnails,
        unreadable=page.unreadable,
        without_room=page.without_room,
        missing=missing,
    )


def _comparison(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path, errors="surrogateescape")
        document["contestants"][0]["record"]["scores"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as reason:
        raise InputError(f"{path} is not the result of a comparison ({type(reason).__name__}: {reason}).") from reason
    return dict(document)
