"""What a person sees while a verb works: one progress bar and sentences, on stderr. Also in notebooks."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from warmstart.report.run_record import HistoryRow

stderr = Console(stderr=True, highlight=False)


class _PicturesPerSecond(ProgressColumn):
    """The speed column."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")


class Terminal:
    """A `workflows.watch.Watcher`. A context manager: the bar is taken down when the verb ends, however it ends."""

    def __init__(self, console: Console = stderr) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            _PicturesPerSecond(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        """See `Watcher.progress`."""
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(phase, total=total, note="")
        self._bar.update(self._tasks[phase], completed=done, total=total, note=note)
        if done >= total:
            self._bar.remove_task(self._tasks.pop(phase))

    def say(self, sentence: str) -> None:
        """See `Watcher.say`."""
        self._console.print(escape(printable(sentence)), soft_wrap=True)

    def epoch(self, row: "HistoryRow") -> None:
        """See `Watcher.epoch`: a terminal has the sentence, and the bar's note."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()


def command() -> str:
    """What a person types here to reach this program: `warmstart` where the shell finds it, else the path it was started by."""
    started = sys.argv[0]
    found = shutil.which("warmstart")
    if Path(started).name not in ("warmstart", "warmstart.exe") or (
        found is not None and Path(found).resolve() == Path(started).resolve()
    ):
        return "warmstart"
    return shlex.quote(os.path.relpath(started)) if Path(started).is_relative_to(Path.cwd()) else shlex.quote(started)


def printable(text: str) -> str:
    """A file name that cannot harm a terminal: control characters and bytes that are no text are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)
