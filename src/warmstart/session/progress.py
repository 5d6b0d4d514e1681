"""What a verb tells whoever watches it, while it works: progress by phase, and sentences worth reading at once."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from warmstart.report.run_record import HistoryRow


class Watcher(Protocol):
    """The terminal, a page, a test. A verb works the same whoever watches."""

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        """``done`` of ``total`` pictures of this phase; phases follow one another. ``note``: how it is going."""

    def say(self, sentence: str) -> None:
        """Something that the user should know now: a download, a fallback, a problem."""

    def epoch(self, row: "HistoryRow") -> None:
        """A point of the curves: the network was evaluated on val. What it is in words is said as well."""


class NullProgress:
    """The watcher of a call that nobody watches."""

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        """Unseen."""

    def say(self, sentence: str) -> None:
        """Unheard."""

    def epoch(self, row: "HistoryRow") -> None:
        """Undrawn."""
