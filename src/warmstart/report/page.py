"""What every report is: one self-contained HTML page."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page and what was embedded in it."""

    html: str
    thumbnails: int = 0
    unreadable: int = 0  # pictures that should have one, and whose file is gone or broken by now
    without_room: int = 0  # pictures that should have one, and did not fit
