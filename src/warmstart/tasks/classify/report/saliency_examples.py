"""Where the model looked, on a handful of test pictures: which ones, and what of them stands in a report."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from warmstart.tasks.classify.report.run_files import Judged

MISTAKES = 4
MOST = 8  # pictures: two rows on a desk; each takes about 20 kB and a quarter of a second


@dataclass(frozen=True, kw_only=True)
class Look:
    """One picture, and over it where the evidence for a class or two lay."""

    judged: Judged
    picture: str  # JPEG as base64, and so each map
    maps: tuple[tuple[str, str | None], ...]  # class → the map over the picture; None where nothing speaks for the class


@dataclass(frozen=True, kw_only=True)
class Looks:
    """All of them, and in words what had to be left out."""

    looks: tuple[Look, ...] = ()
    how: str = ""  # method and stage, as a person would say it
    notes: tuple[str, ...] = ()


def worth_a_look(judged: Sequence[Judged]) -> tuple[Judged, ...]:
    """Mistakes and right answers in turn, so that a time limit cuts off both: at most `MISTAKES`, and `MOST` in all.

    The surest mistakes, of different pairs of classes where there are several; the surest right answer of each class, those first that
    the mistakes are about, so that one can compare.
    """
    surest = sorted(judged, key=lambda p: -p.probability)
    wrong = _one_each([p for p in surest if not p.right], [(p.true, p.predicted) for p in surest if not p.right])[:MISTAKES]
    concerned = list(dict.fromkeys(name for p in wrong for name in (p.true, p.predicted)))
    right: dict[str, Judged] = {}
    for p in surest:
        if p.right:
            right.setdefault(p.true, p)
    names = [name for name in concerned if name in right] + sorted(right.keys() - set(concerned))
    in_turn = itertools.zip_longest(wrong, [right[name] for name in names[: MOST - len(wrong)]])
    return tuple(p for pair in in_turn for p in pair if p is not None)


def _one_each(pictures: Sequence[Judged], kinds: Sequence[object]) -> list[Judged]:
    """The first of each kind, then the second of each, and so on."""
    seen: dict[object, int] = {}
    rank = []
    for kind in kinds:
        rank.append(seen.setdefault(kind, 0))
        seen[kind] += 1
    return [picture for _, picture in sorted(zip(rank, pictures, strict=True), key=lambda pair: pair[0])]
