"""Ways to show elongated pictures that were held against each other, as a table."""

from warmstart.report.shown import Grid
from warmstart.strategy.resize import ResizeChoice


def modes_grid(choice: ResizeChoice) -> Grid:
    """A row a mode, the one that was taken marked; no row where none could be compared."""
    judged = any(one.accuracy is not None for one in choice.modes)
    rows = []
    for one in choice.modes:
        low, high = one.gain_interval
        is_crop = one is choice.modes[0]
        rows.append(
            (
                one.mode + (" ← taken" if one.mode == choice.mode else ""),
                *([f"{one.accuracy:.3f}"] if judged else []),
                f"{one.loss:.3f}",
                "" if is_crop else f"{one.gain:+.3f} ({low:+.3f} to {high:+.3f})",
            )
        )
    columns = ("resize", *(["accuracy"] if judged else []), choice.loss, "less than crop (interval)")
    return Grid(columns=columns, rows=tuple(rows), numbers=tuple(range(1, len(columns))))
