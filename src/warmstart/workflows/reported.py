"""What stands beside the record of a finished run: what is wrong with its data, and its page."""

from warmstart.errors import MachineError
from warmstart.session.outcome import Run
from warmstart.session.run_state import Probe
from warmstart.session.session import Session
from warmstart.task_registry import part


def reported(run: Run, seen: Probe, session: Session) -> Run:
    """The run, with what is wrong with its data and its report.html written beside the record.

    Where the machine refuses these, it is said, and the run is what it is: `warmstart report` makes the page later.
    """
    settings, watcher = session.settings, session.watcher
    try:
        examine = part(session.task, "findings")
        if settings.findings and examine:
            examine(seen, run.folder, watcher)
        if settings.report:
            from warmstart.workflows.report import report

            made = report(run.folder, model=run.model, in_memory=run.in_memory, heat_maps=settings.heat_maps)
            watcher.say(f"report: {made.path}")
    except MachineError as reason:
        watcher.say(
            f"the report was not written: {reason} The model and its record are whole. Later: warmstart report {run.folder}"
        )
    return run
