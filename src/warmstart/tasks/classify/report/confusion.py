"""Who is taken for whom: the matrix of counts with the pictures behind each cell, and the pairs that are confused most. K classes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from warmstart.tasks.classify.report.run_files import Judged

LARGEST = 25  # classes in a matrix; beyond, a page shows the pairs alone
PAIRS = 40
BEHIND = 24  # pictures that are shown behind a cell


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How often a class was taken for another, or for itself."""

    true: int
    predicted: int
    count: int
    shade: float  # 0 … 1: its share of its row

    @property
    def key(self) -> str:
        """As the page's script looks for it."""
        return f"{self.true}-{self.predicted}"


def cells(confusion: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """Rows true, columns predicted."""
    return [
        [Cell(true=i, predicted=j, count=count, shade=count / sum(row) if count else 0.0) for j, count in enumerate(row)]
        for i, row in enumerate(confusion)
    ]


def confused_pairs(matrix: Sequence[Sequence[Cell]]) -> list[Cell]:
    """The cells off the diagonal with anything in them, the fullest first."""
    wrong = [cell for row in matrix for cell in row if cell.count and cell.true != cell.predicted]
    return sorted(wrong, key=lambda cell: (-cell.count, -cell.shade))[:PAIRS]


def behind(judged: Sequence[Judged], class_names: Sequence[str]) -> dict[str, list[Judged]]:
    """Key of a cell → its pictures, the surest first, at most `BEHIND`."""
    label_of = {name: label for label, name in enumerate(class_names)}
    found: dict[str, list[Judged]] = defaultdict(list)
    for picture in sorted(judged, key=lambda picture: -picture.probability):
        if picture.true in label_of and picture.predicted in label_of:
            key = f"{label_of[picture.true]}-{label_of[picture.predicted]}"
            if len(found[key]) < BEHIND:
                found[key].append(picture)
    return dict(found)
