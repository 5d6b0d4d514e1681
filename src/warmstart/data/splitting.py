"""Who is trained on, who is chosen on, who is tested on. Pure: digests, labels and groups in, splits out.

Pictures with the same bytes or of the same group form a *unit* that is never divided. Units are ranked inside their stratum
by a keyed hash of what they are, not of where they stand in a list: the first of the ranking are test, the next val, the rest
train. So adding pictures moves only those few that stand at a boundary, and the order of the input plays no part.

N examples.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from warmstart.data.hashing import keyed_hash
from warmstart.errors import DataError
from warmstart.records import SPLITS, Split

_Key = TypeVar("_Key", bound=Hashable)


def assign_splits(
    *,
    digests: Sequence[bytes],
    labels: Sequence[int],
    groups: Sequence[str | None],
    given: Sequence[Split | None],
    strata: Sequence[Hashable] | None = None,
    marks: Sequence[Collection[int]] = (),
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15),
) -> tuple[Split, ...]:
    """The split of each of N examples.

    ``strata`` are what shares are kept equal over; by default the labels. ``fractions`` are of train, val, test. While every
    unit is a single picture, val and test come out at exactly round(N · fraction) in all, dealt out over the strata by
    largest remainder; units of several pictures come as near as they can. Every label keeps at least one unit in train, so a
    class with one picture is only trained on, and one with two has at most one of them held out, if the remainder falls on
    it.

    What the user gave stays. What is still to be decided:

    * examples without a given split, if there are any; otherwise those given as train, if val or test is missing;
    * they go to train and to whichever of val and test nobody was given to, in the proportion of ``fractions``. So with train
      and test given, val is cut from train and test is not touched; with train and val given, test is cut from train: a val
      that the user chose may have been looked at, and an honest score needs pictures that were not.

    An example without a split whose unit touches given ones joins them, so nothing leaks by our hand; leaks among the given
    are left for `find_leaks` to name. ``marks``, of each example, are what every side is to have one of, where at least three
    units have it: units are moved for that, as few as possible, of those that stood nearest to the side that lacks one.

    Raises DataError when splits are given but none of them, and no example without one, can be train.
    """
    present = {split for split in given if split is not None}
    undecided = None in given
    if present and "train" not in present and not undecided:
        raise DataError(f"splits {', '.join(sorted(present))} are given but no train: mark the pictures to learn from as train")
    missing = [split for split in SPLITS[1:] if split not in present]
    movable = [g is None or (g == "train" and not undecided and bool(missing)) for g in given]
    result: list[Split] = [g or "train" for g in given]

    units = []
    for members in connected(digests, groups):
        fixed = [result[i] for i in members if not movable[i]]
        free = [i for i in members if movable[i]]
        if fixed and free:
            joined = min(fixed, key=SPLITS.index)
            for i in free:
                if given[i] is None:
                    result[i] = joined
        elif free:
            units.append(_unit(free, digests, groups, labels if strata is None else strata, seed))

    shares = {split: fractions[SPLITS.index(split)] for split in missing}
    whole = fractions[0] + sum(shares.values())
    for unit, split in _deal(units, labels, {s: f / whole for s, f in shares.items()} if whole else {}, seed):
        for i in unit.members:
            result[i] = split
    _keep_every_label_in_train(units, labels, result)
    if marks:
        wanted = [split for split in missing if shares[split] > 0]
        _bring_marks_to_every_side(units, marks, result, ("train", *wanted))
    return tuple(result)


def find_leaks(
    digests: Sequence[bytes], groups: Sequence[str | None], splits: Sequence[Split | None]
) -> tuple[tuple[int, ...], ...]:
    """Examples of the same bytes or group that lie in different splits, one tuple of indices for each such unit."""
    units = connected(digests, groups)
    return tuple(unit for unit in units if len({splits[i] for i in unit if splits[i] is not None}) > 1)


def find_conflicts(digests: Sequence[bytes], labels: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Identical bytes under different labels: nobody can tell which is right, so the caller leaves all of them out."""
    same = _positions(digests).values()
    return tuple(tuple(members) for members in same if len({labels[i] for i in members}) > 1)


def connected(digests: Sequence[bytes], groups: Sequence[str | None]) -> tuple[tuple[int, ...], ...]:
    """The connected components of 'same digest or same group', by first index, each in ascending order."""
    parent = list(range(len(digests)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]  # path halving
            i = parent[i]
        return i

    named = (positions for key, positions in _positions(groups).items() if key is not None)
    for positions in (*_positions(digests).values(), *named):
        for i in positions[1:]:
            a, b = root(positions[0]), root(i)
            parent[max(a, b)] = min(a, b)
    components = _positions([root(i) for i in range(len(digests))])
    return tuple(tuple(members) for members in components.values())


@dataclass(frozen=True, slots=True)
class _Unit:
    members: tuple[int, ...]
    stratum: Hashable
    rank: bytes  # 16 bytes; lower is taken out of train first


def _unit(
    members: Sequence[int], digests: Sequence[bytes], groups: Sequence[str | None], strata: Sequence[Hashable], seed: int
) -> _Unit:
    # A group keeps its rank when pictures join it: its name counts, not its content.
    names = {b"group " + group.encode("utf-8", "surrogatepass") for i in members if (group := groups[i]) is not None}
    names = names or {b"bytes " + digests[i] for i in members}
    counts = Counter(strata[i] for i in members)
    stratum = min(counts, key=lambda s: (-counts[s], repr(s)))
    return _Unit(tuple(members), stratum, min(keyed_hash(name, seed) for name in names))


def _deal(
    units: Sequence[_Unit], labels: Sequence[int], shares: Mapping[Split, float], seed: int
) -> Iterable[tuple[_Unit, Split]]:
    """Each unit with its split; ``shares`` are the parts of val and test, of those that are wanted."""
    ranked: dict[Hashable, list[_Unit]] = defaultdict(list)
    for unit in sorted(units, key=lambda u: u.rank):
        ranked[unit.stratum].append(unit)
    sizes = {stratum: sum(len(u.members) for u in members) for stratum, members in ranked.items()}
    total = sum(sizes.values())
    wanted = {split: math.floor(total * share + 0.5) for split, share in shares.items()}  # not round(): it takes 2.5 to 2

    # Held-out pictures first, then test among them: dealing both from the whole would give many a small class neither.
    reserve = _sole_strata(units, labels)
    room = {stratum: size - (stratum in reserve) for stratum, size in sizes.items()}
    held = _apportion(sizes, room, sum(wanted.values()), lambda s: keyed_hash(b"held " + repr(s).encode(), seed))
    test = _apportion(held, held, wanted.get("test", 0), lambda s: keyed_hash(b"test " + repr(s).encode(), seed))

    for stratum, members in ranked.items():
        before = 0
        for unit in members:
            middle = before + len(unit.members) / 2  # a unit belongs where its middle falls; for single pictures that is exact
            before += len(unit.members)
            yield unit, "test" if middle < test[stratum] else "val" if middle < held[stratum] else "train"


def _sole_strata(units: Sequence[_Unit], labels: Sequence[int]) -> set[Hashable]:
    """Strata that are the only ones in which some label occurs: one picture of theirs must stay in train."""
    where = defaultdict(set)
    for unit in units:
        for i in unit.members:
            where[labels[i]].add(unit.stratum)
    return {stratum for strata in where.values() if len(strata) == 1 for stratum in strata}


def _apportion(
    weights: Mapping[Hashable, int], room: Mapping[Hashable, int], seats: int, tie: Callable[[Hashable], bytes]
) -> dict[Hashable, int]:
    """``seats`` dealt in proportion to ``weights`` by largest remainder (Hamilton's method), at most ``room`` to each."""
    whole = sum(weights.values()) or 1
    dealt = {key: min(weight * seats // whole, room[key]) for key, weight in weights.items()}
    order = sorted(weights, key=lambda key: (-(weights[key] * seats % whole), tie(key)))
    left = seats - sum(dealt.values())
    while left > 0 and any(dealt[key] < room[key] for key in order):
        for key in order:
            if left > 0 and dealt[key] < room[key]:
                dealt[key] += 1
                left -= 1
    return dealt


def _keep_every_label_in_train(units: Sequence[_Unit], labels: Sequence[int], result: list[Split]) -> None:
    """Labels that groups carried out of train altogether get back the unit that stood nearest to train."""
    for label in sorted(set(labels) - {labels[i] for i, split in enumerate(result) if split == "train"}):
        candidates = [unit for unit in units if any(labels[i] == label for i in unit.members)]
        if candidates and not any(labels[i] == label and result[i] == "train" for unit in candidates for i in unit.members):
            for i in max(candidates, key=lambda unit: unit.rank).members:
                result[i] = "train"


def _bring_marks_to_every_side(
    units: Sequence[_Unit], marks: Sequence[Collection[int]], result: list[Split], sides: Sequence[Split]
) -> None:
    """Rare marks first. A unit leaves a side only where that keeps all of its marks; train first, which is to lack none."""
    marked = [(unit, frozenset(mark for i in unit.members for mark in marks[i])) for unit in units]

    def side_of(unit: _Unit) -> Split:
        return result[unit.members[0]]

    counts = Counter((mark, side_of(unit)) for unit, own in marked for mark in own)
    in_all = Counter(mark for _, own in marked for mark in own)

    def may_leave(unit: _Unit, own: Collection[int]) -> bool:
        left = side_of(unit)
        return all(counts[mark, left] > 1 or (left != "train" and in_all[mark] < len(SPLITS)) for mark in own)

    for mark in sorted(in_all, key=lambda mark: (in_all[mark], mark)):
        for side in sides if in_all[mark] >= len(SPLITS) else sides[:1]:
            if counts[mark, side]:
                continue
            having = [(unit, own) for unit, own in marked if mark in own]
            spare = [(unit, own) for unit, own in having if may_leave(unit, own)]
            if not spare and side == "train":
                spare = having
            if not spare:
                continue
            # From the side that has most of it; ranks rise from test to train.
            spare.sort(key=lambda one: one[0].rank, reverse=side == "train")
            unit, own = max(spare, key=lambda one: counts[mark, side_of(one[0])])
            counts.subtract((one, side_of(unit)) for one in own)
            counts.update((one, side) for one in own)
            for i in unit.members:
                result[i] = side


def _positions(keys: Sequence[_Key]) -> dict[_Key, list[int]]:
    found: dict[_Key, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return found
