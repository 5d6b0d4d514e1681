"""Class names: one rule for folders, labels and lists of fixes, and which of them look alike.

A name is taken in Unicode's composed form (NFC), because macOS stores é decomposed and others don't, and without space around it. Nothing
else is changed: 'Cat' and 'cat' are two classes, and it is said that they look alike.
"""

import unicodedata
from collections.abc import Callable, Sequence
from itertools import combinations

from warmstart.records import Notice

PAIRS_NAMED = 10  # of classes whose names look alike

# Greek and Cyrillic letters that are drawn as Latin ones: the usual few of Unicode Technical Standard 39 (confusables).
_DRAWN_ALIKE = str.maketrans(
    "аеорсухіјѕԁԛԝАВЕКМНОРСТХІЈЅαονικρΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdqwABEKMHOPCTXIJSaovikpABEZHIKMNOPTYX",
)
_VARIATION = dict.fromkeys(range(0xFE00, 0xFE10))


def class_name_of(text: str) -> str:
    """The class that a folder or a label names; '' for nothing but space."""
    return unicodedata.normalize("NFC", text).strip()


def alike(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(one name, another, in what they differ) of every two that people would read as the same, written so that the difference is seen."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(_read(name, len(_STEPS)), []).append(name)
    found = []
    for group in groups.values():
        for one, other in combinations(group, 2):
            steps = next(n for n in range(1, len(_STEPS) + 1) if _read(one, n) == _read(other, n))
            why, shown = _STEPS[steps - 1][1:]
            found.append((shown(one), shown(other), f"they differ in {why}"))
    return found


def _without_space(name: str) -> str:
    return " ".join(name.split())


def _without_invisible(name: str) -> str:
    return "".join(
        c for c in name.translate(_VARIATION) if unicodedata.category(c) != "Cf"
    )  # zero-width ones, soft hyphens, marks


def _as_one_letter(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _as_latin(name: str) -> str:
    return name.translate(_DRAWN_ALIKE)


# What is done away with, one after the other; its name; how two that differ in no more are written.

_STEPS: tuple[tuple[Callable[[str], str], str, Callable[[str], str]], ...] = (
    (_without_space, "space", repr),
    (_without_invisible, "characters that cannot be seen", repr),
    (_as_one_letter, "how Unicode writes them", ascii),
    (str.casefold, "capital letters", repr),
    (_as_latin, "letters of another alphabet", ascii),
)


def _read(name: str, steps: int) -> str:
    """As people read it: the first few steps done."""
    for step, _, _ in _STEPS[:steps]:
        name = step(name)
    # Space may be left over where something invisible stood between two.
    return _without_space(name)


def alike_names(class_names: Sequence[str]) -> tuple[Notice, ...]:
    """Said once a data set, where names of its classes look alike."""
    pairs = alike(class_names)
    if not pairs:
        return ()
    shown = "; ".join(f"{one} and {other} ({why})" for one, other, why in pairs[:PAIRS_NAMED])
    more = f" … and {len(pairs) - PAIRS_NAMED:,} more" if len(pairs) > PAIRS_NAMED else ""
    count = "1 pair of class names looks alike" if len(pairs) == 1 else f"{len(pairs):,} pairs of class names look alike"
    message = f"{count}, each name a class of its own: {shown}{more}. Rename one where they are one"
    return (Notice(kind="alike-names", message=message),)
