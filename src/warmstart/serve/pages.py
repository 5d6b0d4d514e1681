"""The web page: rendered here, with a little JavaScript in static/ and no build step. It asks this server for everything.

A page shows what is known when it is asked for; its script starts jobs, listens to them, and fetches the page again for the part that
has changed. So there is one way in which anything is shown.
"""

import hmac
import logging
import sqlite3
from collections.abc import Callable, Container, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from warmstart.errors import DataError, UsageError, WarmstartError
from warmstart.inspection.findings import KINDS
from warmstart.plan import ADVISED, Plan
from warmstart.records import Listing
from warmstart.report.resize_modes import modes_grid
from warmstart.report.shown import shown_by
from warmstart.serve.body import read_bytes
from warmstart.serve.data_routes import told
from warmstart.serve.datasets import StoredDataset
from warmstart.serve.errors import STATUS, ApiError, of_machine
from warmstart.serve.export_routes import export_of
from warmstart.serve.jobs import ACTIVE
from warmstart.serve.run_routes import about_run, brief, hidden, run_record
from warmstart.serve.security import COOKIE, address_of, cookie_value
from warmstart.serve.state import Server, State
from warmstart.task_registry import find_task

LOG = logging.getLogger(__name__)
STATIC = Path(__file__).parent / "static"
SHOWN_OF_CLASS = 6  # pictures
SHOWN_CLASSES = 60
SHOWN_OF_KIND = 24  # findings that nobody has decided about yet
SHOWN_ADDED = 24


class PageRoute(APIRoute):
    """What cannot be shown is told as a page, not as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            hide = request.app.state.server.places.hide
            try:
                return await handle(request)
            except ApiError as refusal:
                told = page("error.html", status=refusal.status, title="Not here", message=hide(str(refusal)))
                told.headers.update({} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)})
                return told
            except WarmstartError as reason:
                status = next(status for cls, status, _ in STATUS if isinstance(reason, cls))
                return page("error.html", status=status, title="That did not work", message=hide(str(reason)))
            except (OSError, sqlite3.Error) as reason:
                found = of_machine(reason)
                if found is None:
                    raise
                LOG.error("%s: %s (%s)", request.url.path, found, reason)
                return page("error.html", status=found.status, title="That did not work", message=hide(str(found)))

        return handled


router = APIRouter(include_in_schema=False, route_class=PageRoute)
_environment = Environment(
    loader=PackageLoader("warmstart.serve"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template of templates/, everything in it escaped."""
    text = _environment.get_template(template).render(**values)
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)


@router.get("/")
def home(server: Server) -> HTMLResponse:
    """What there is."""
    return page(
        "home.html",
        title="warmstart",
        datasets=[_counted(server, dataset) for dataset in server.datasets.all()],
        names={dataset.id: dataset.name for dataset in server.datasets.all()},
        runs=[brief(server, job) for job in server.jobs.all("train")],
        models=server.places.hide(server.models.describe()),
        piles=server.piles.all(),
        roots=server.datasets.root_names(),
    )


@router.get("/favicon.ico")
def icon() -> FileResponse:
    """For pages that name none, such as reports."""
    return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")


@router.get("/datasets/{dataset}")
def dataset(server: Server, dataset: str) -> HTMLResponse:
    """Classes, findings, advice, and what can be done with them."""
    stored = server.datasets.get(dataset)
    about = server.datasets.describe(stored, whole=True)
    listing = server.datasets.listing(stored)
    runs = [brief(server, job) for job in server.jobs.all("train") if job["dataset"] == dataset]
    added = server.datasets.additions(stored)
    first_added = len(listing.examples) - len(added)
    decided = {fix["n"]: fix for fix in server.datasets.fixes(stored)}
    doctor = _or_none(lambda: told(server, "doctor", dataset))
    findings = doctor["result"]["findings"] if doctor and doctor["result"] else []
    return page(
        "dataset.html",
        title=stored.name,
        dataset=about,
        # The doctor has looked at all pictures, else a sample says it.
        notices=doctor["result"].get("notices", ()) if doctor and doctor["result"] else server.datasets.lost(stored)["notices"],
        samples=_samples(listing),
        shown_classes=SHOWN_CLASSES,
        doctor=doctor,
        spare=_spare(findings, decided),
        findings=_shown(findings, decided),
        advice=_or_none(lambda: told(server, "advise", dataset)),
        decided=decided,
        kinds=KINDS,
        runs=runs,
        training=next((run for run in runs if run["state"] in ACTIVE), None),
        models=_newest_first(server.places.hide(server.models.describe()), [run["id"] for run in runs]),
        piles=server.piles.all(dataset),
        added=[{**one, "n": first_added + i} for i, one in enumerate(added)][::-1],
        shown_added=SHOWN_ADDED,
    )


@router.get("/runs/{run}")
def run(server: Server, run: str) -> HTMLResponse:
    """How far it is; afterwards how good the model is."""
    job = server.jobs.get(run, "train")
    record = run_record(server, run)
    return page(
        "run.html",
        title=f"Run {run}",
        run=about_run(server, job),
        active=job["state"] in ACTIVE,
        keeps_best=_keeps_best(server.jobs.spec(run)["plan"]),
        verdict=" ".join(shown_by(find_task(record.task)).verdict(record)) if record else None,
        plan=hidden(server, run, record.plan.to_dict()) if record else None,
        modes=modes_grid(record.resize) if record and record.resize and record.resize.modes else None,
        resize=record.resize.in_words() if record and record.resize else "",
        export=_or_none(lambda: export_of(server, run)),
    )


@router.get("/models/{name}")
def model(server: Server, name: str) -> HTMLResponse:
    """Try it, correct it, take it away."""
    entry = server.places.hide(server.models.entry(name).to_dict())
    home = _or_none(lambda: server.datasets.get(server.jobs.get(entry["run"])["dataset"])) if entry["run"] else None
    stored = [home] if home else server.datasets.all()
    return page(
        "model.html",
        title=f"Model {name}",
        model=entry,
        datasets=[(one, _or_none(lambda one=one: server.datasets.listing(one).class_names) or ()) for one in stored],  # type: ignore[misc]
        own=home,
        export=_or_none(lambda: export_of(server, name)),
        pictures_at_once=min(8, server.limits.pictures),
    )


@router.get("/piles/{pile}")
def pile(server: Server, pile: str) -> HTMLResponse:
    """Pictures that a model has labelled in advance, one at a time."""
    about = server.piles.get(pile)
    stored = server.datasets.get(about["dataset"])
    return page(
        "pile.html",
        title=f"Labelling for {stored.name}",
        pile=about,
        dataset=stored,
        classes=server.datasets.listing(stored).class_names,
    )


@router.get("/login")
def login(server: Server) -> HTMLResponse:
    """Where a browser gives the key."""
    return page("login.html", title="Key", wrong=False)


@router.post("/login")
async def check_login(server: Server, request: Request) -> Response:
    """A cookie instead of the key, that no script and no other site's page can use."""
    fields = parse_qs((await read_bytes(request, 10_000)).decode("utf-8", "replace"))
    key, given, address = server.settings.api_key, fields.get("key", [""])[0], address_of(request.scope)
    server.brake.check(address)
    if key is None or not hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()):
        server.brake.wrong(address, given)
        return page("login.html", status=401, title="Key", wrong=True)
    server.brake.right(address)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, cookie_value(key), max_age=30 * 86400, httponly=True, samesite="strict")
    return answer


def _counted(server: State, dataset: StoredDataset) -> dict[str, Any]:
    """With its numbers, where its folder is still there."""
    try:
        return server.datasets.describe(dataset, whole=True)
    except DataError as reason:
        return server.datasets.describe(dataset) | {"problem": server.places.hide(str(reason))}


def _samples(listing: Listing) -> dict[str, list[int]]:
    """Class name → the numbers of its first pictures."""
    found: dict[str, list[int]] = {}
    for n, example in enumerate(listing.examples):
        of_class = found.setdefault(example.class_name, [])
        if len(of_class) < SHOWN_OF_CLASS:
            of_class.append(n)
    return found


def _shown(findings: list[dict[str, Any]], decided: Container[int]) -> dict[str, list[dict[str, Any]]]:
    """Kind → its findings up to the last that is shown: so many are open, those that were decided about stand among them."""
    shown: dict[str, list[dict[str, Any]]] = {}
    undecided: dict[str, int] = {}
    for finding in findings:
        kind = finding["kind"]
        if undecided.get(kind, 0) < SHOWN_OF_KIND:
            shown.setdefault(kind, []).append(finding)
            undecided[kind] = undecided.get(kind, 0) + (not any(picture["n"] in decided for picture in finding["pictures"]))
    return shown


def _spare(findings: list[dict[str, Any]], decided: dict[int, Any]) -> list[dict[str, Any]]:
    """Pictures that are there twice and that nobody has decided about, but for one of each."""
    found = []
    for finding in findings:
        stay = [p["n"] for p in finding["pictures"] if p["n"] not in finding["drop"]]
        if finding["kind"] == "copy" and any(n not in decided or decided[n]["action"] != "drop" for n in stay):
            found += [p for p in finding["pictures"] if p["n"] in finding["drop"] and p["n"] not in decided]
    return found


def _newest_first(models: list[dict[str, Any]], runs: list[str]) -> list[dict[str, Any]]:
    """Models of these runs, which come with the newest first, before all others."""
    place = {run: i for i, run in enumerate(runs)}
    return sorted(models, key=lambda model: place.get(model["run"], len(runs)))


def _keeps_best(plan: dict[str, Any]) -> bool:
    """Whether stopping the run keeps a model. No plan that would be refused today, of a job of before, does."""
    try:
        asked = Plan.from_dict(plan)
    except UsageError:
        return False
    return asked.cut == ADVISED or asked.trains_network or bool(asked.freeze)


def _or_none(question: Callable[[], Any]) -> Any:
    """The answer, or None where there is none (404), or the data cannot be read."""
    try:
        return question()
    except DataError:
        return None
    except ApiError as refusal:
        if refusal.status != 404:
            raise
        return None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


_environment.filters.update(
    percent=lambda share: f"{share:.1%}".replace("%", " %"),
    number=lambda n: f"{n:,}",
    duration=_duration,
    when=_when,
)
