"""Names that tests of exports share."""

from collections.abc import Callable

from warmstart.workflows.export import Export

Exporting = Callable[..., Export]  # (format, precision, resize_inside=False) → an export of `tiny`, made once
