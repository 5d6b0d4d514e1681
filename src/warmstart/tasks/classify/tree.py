"""Class names with '>' as a tree: 'animal>dog>pug' is a leaf below 'animal>dog' below 'animal'.

    p = (pug 0.55, poodle 0.40, fern 0.05)  →  animal 0.95, animal>dog 0.95, animal>dog>pug 0.55  →  sure of 0.9: animal>dog

The head stays flat, over the classes as they are named. A node is worth the sum of the classes at or below it, so what lies above it is
worth at least as much, and two nodes of which neither lies above the other share at most 1: above ½ all nodes that are sure enough lie
on one way from the top, and its deepest is the answer.

Names are a tree only where that makes a difference: some node must have two classes or more at or below it and not be one of them alone.
('<=50K' and '>50K' are none, for a part of the name is empty; nor are 'age>30' and 'size'.) A class may have others below it ('animal>dog'
beside 'animal>dog>pug', pictures of dogs without more said): it is a class of its own, and worth what is its own plus what is below it.

K classes, M nodes, D depths, N pictures.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.data.nested import SEPARATOR, path_of
from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson
from warmstart.options import Range
from warmstart.records import AtDepth, Notice, Prediction, Sure

if TYPE_CHECKING:
    from warmstart.tasks.classify.answers import ClassAnswers
    from warmstart.tasks.classify.classifier import Classifier

Path = tuple[str, ...]

SURE = Range(above=0.5, below=1)
SHARES = (0.8, 0.9, 0.95)  # in the record; a model answers for any
NODES_NAMED = 6  # at the top, in a sentence


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """Of any names of classes; where they are no tree, every class stands at depth 1."""

    class_names: tuple[str, ...]  # K
    paths: tuple[Path, ...]  # K: from the top down to the class
    nodes: tuple[Path, ...]  # M: every beginning of a path, shorter ones first
    on_path: NDArray[np.int64]  # (D, K): which node is at each depth on the way to a class, and -1 below it

    @classmethod
    def of(cls, class_names: Sequence[str]) -> Self:
        """Space around a part of a name does not count."""
        names = tuple(class_names)
        paths = tuple(path_of(name) or (name,) for name in names)
        holds = Counter(node for path in paths for node in (*_above(path), path))
        if not any(holds[node] > 1 for path in paths for node in _above(path)):
            paths = tuple((name,) for name in names)
        nodes = tuple(sorted(dict.fromkeys(node for path in paths for node in (*_above(path), path)), key=len))
        number = {node: i for i, node in enumerate(nodes)}
        on_path = np.full((max(map(len, paths), default=1), len(paths)), -1, np.int64)
        for k, path in enumerate(paths):
            on_path[: len(path), k] = [number[node] for node in (*_above(path), path)]
        return cls(class_names=names, paths=paths, nodes=nodes, on_path=on_path)

    @property
    def depth(self) -> int:
        """D, of the deepest class; 1 where names are no tree."""
        return len(self.on_path)

    @property
    def is_nested(self) -> bool:
        """Whether names are a tree."""
        return self.depth > 1

    @property
    def inner(self) -> tuple[str, ...]:
        """Classes that have others below them."""
        above = {node for path in self.paths for node in _above(path)}
        return tuple(name for name, path in zip(self.class_names, self.paths, strict=True) if path in above)

    @cached_property
    def depths(self) -> NDArray[np.int64]:
        """(M,) at which depth each node stands."""
        return np.array([len(node) for node in self.nodes], np.int64)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(M,) of nodes, as their class is called where they are one."""
        called = dict(reversed(list(zip(self.paths, self.class_names, strict=True))))
        return tuple(called.get(node, SEPARATOR.join(node)) for node in self.nodes)

    @cached_property
    def short(self) -> dict[str, str]:
        """Class → the last part of its name, where no other class has the same."""
        last = Counter(path[-1] for path in self.paths)
        return {name: path[-1] for name, path in zip(self.class_names, self.paths, strict=True) if last[path[-1]] == 1}

    def at(self, depth: int) -> NDArray[np.int64]:
        """(K,) which node each class is, cut to ``depth``; a class that stands less deep stays what it is."""
        return np.asarray(self.on_path[:depth].max(axis=0))  # nodes that are deeper have larger numbers

    def sums(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, M) what nodes are worth, of probabilities (N, K)."""
        worth = np.zeros((len(self.nodes), len(probabilities)))
        for nodes in self.on_path:
            there = nodes >= 0
            np.add.at(worth, nodes[there], probabilities.T[there].astype(np.float64))
        return worth.T

    def surest(self, probabilities: NDArray[np.floating], sure: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The deepest node (N,) that is worth ``sure`` (above ½) or more, and what it is worth; -1 and NaN where none is."""
        sums = self.sums(probabilities)
        # By depth, and among equals, which rounding alone could make, by worth, which is below 2.
        rank = np.where(sums >= sure, 2 * self.depths + sums, -1.0)
        found = rank.argmax(axis=1)
        at = np.arange(len(sums)), found
        return np.where(rank[at] < 0, -1, found), np.where(rank[at] < 0, np.nan, sums[at])

    def holds(self, nodes: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """(N,) whether each class is its node, or stands below it; never for the node -1."""
        found: NDArray[np.bool_] = (nodes >= 0) & (self.on_path[self.depths[nodes] - 1, labels] == nodes)
        return found


@lru_cache(maxsize=32)
def tree_of(class_names: tuple[str, ...]) -> Tree:
    """Made once."""
    return Tree.of(class_names)


def by_depth(
    class_names: Sequence[str], labels: NDArray[np.integer], predicted: NDArray[np.integer], majority_label: int
) -> tuple[AtDepth, ...]:
    """How many of N pictures are right at depth 1, 2, … D; nothing where names are no tree.

    At depth d truth and answer are cut to d; a class that stands less deep counts as it is. So a class's own pictures that are taken for
    one below it are right down to its depth. At depth D that is accuracy, and it never grows with depth.
    """
    tree = tree_of(tuple(class_names))
    if not tree.is_nested:
        return ()
    out = []
    for depth in range(1, tree.depth + 1):
        at = tree.at(depth)
        right = at[labels] == at[predicted]
        out.append(
            AtDepth(
                accuracy=float(right.mean()),
                accuracy_ci95=wilson(int(right.sum()), len(right)),
                majority_accuracy=float(np.mean(at[labels] == at[majority_label])),
            )
        )
    return tuple(out)


def sure_on_test(
    class_names: Sequence[str], probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> list[dict[str, Any]]:
    """JSON-ready: how often each depth is answered for `SHARES`, and how often that holds the true class; [] where there is no tree."""
    tree = tree_of(tuple(class_names))
    return [_on_test(tree, share, probabilities, labels) for share in SHARES] if tree.is_nested and len(labels) else []


def surely(says: "Classifier | ClassAnswers", asked: float) -> Callable[[Prediction], Prediction]:
    """What puts the deepest answer that is sure enough beside what is said of a picture.

    Raises UsageError for what is no share above ½ and below 1, and for a model whose probabilities were not calibrated.
    """
    if not SURE.holds(asked):
        raise UsageError(
            f"sure {asked} {SURE.refusal(asked)}; expected a share such as 0.9. Above 0.5 there is never more than one answer"
        )
    if says.trust is None:
        raise UsageError(
            "this model's probabilities were not calibrated, so nothing says how sure it is. Train again for one that is"
        )
    tree = tree_of(says.class_names)

    def told(prediction: Prediction) -> Prediction:
        shares = np.array([[prediction.probabilities[name] for name in tree.class_names]])
        (node,), (worth,) = tree.surest(shares, asked)
        found = Sure(asked=asked, class_name=None, probability=None)
        if node >= 0:
            found = Sure(asked=asked, class_name=tree.names[node], probability=float(worth))
        return replace(prediction, sure=found)

    return told


def confusion_at(tree: Tree, confusion: Sequence[Sequence[int]], depth: int) -> tuple[tuple[str, ...], list[list[int]]]:
    """Names of nodes, and counts (nodes, nodes), rows true, of counts (K, K) cut to a depth."""
    nodes, at = np.unique(tree.at(depth), return_inverse=True)
    counts = np.zeros((len(nodes), len(nodes)), np.int64)
    np.add.at(counts, (at[:, None], at[None, :]), np.array(confusion))
    return tuple(tree.names[node] for node in nodes), counts.tolist()


def levels(tree: Tree, names: Sequence[str | None]) -> list[int]:
    """(D + 1,) how many of these answers stand at no depth, at 1, 2, … D."""
    depth = dict(zip(tree.names, tree.depths.tolist(), strict=True))
    found = [0 if name is None else depth[name] for name in names]
    return [int(count) for count in np.bincount(found, minlength=tree.depth + 1)]


def read_as_tree(class_names: Sequence[str], counts: Sequence[int]) -> tuple[Notice, ...]:
    """What was understood, and how to say otherwise; nothing where names are no tree. ``counts``: pictures of each class."""
    tree = tree_of(tuple(class_names))
    if not tree.is_nested:
        return ()
    tops = [node for node in tree.nodes if len(node) == 1]
    shown = ", ".join(f"{node[0]} ({int((tree.on_path[0] == i).sum())})" for i, node in enumerate(tops[:NODES_NAMED]))
    more = f" and {len(tops) - NODES_NAMED:,} more" if len(tops) > NODES_NAMED else ""
    said = (
        f"classes are read as a tree, for '{SEPARATOR}' stands in their names: {len(class_names):,} classes on {tree.depth} levels, at the "
        f"top {shown}{more}. They are learnt side by side, each by its whole name; the tree adds accuracy at each depth, and "
        f"predict --sure. Write another sign than '{SEPARATOR}' where no tree is meant"
    )
    found = [Notice(kind="nested", message=said)]
    if tree.inner:
        pictures = sum(count for name, count in zip(class_names, counts, strict=True) if name in tree.inner)
        which = ", ".join(repr(name) for name in tree.inner[:NODES_NAMED]) + (" …" if len(tree.inner) > NODES_NAMED else "")
        has, classes = ("has", "a class") if len(tree.inner) == 1 else ("have", "classes")
        said = (
            f"{pictures:,} pictures are of {which}, which {has} classes below: they are learnt as {classes} of their own, as of "
            "things that are none of the classes below. Where they may be one of these and nobody looked, leave them out or say "
            "which: as they are, they teach the model to doubt the classes below"
        )
        found.append(Notice(kind="nested", message=said, pictures=pictures))
    return tuple(found)


def _on_test(tree: Tree, share: float, probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, Any]:
    nodes, _ = tree.surest(probabilities, share)
    answered = nodes >= 0
    right = tree.holds(nodes, labels)
    depths = np.where(answered, tree.depths[nodes], 0)
    n, good = int(answered.sum()), int(right.sum())
    return {
        "asked": share,
        "pictures": len(labels),
        "answered": n,
        "right": good / n if n else None,
        "right_ci95": list(wilson(good, n)) if n else None,
        "depths": [
            {"depth": depth, "answered": int((depths == depth).sum()), "right": int((right & (depths == depth)).sum())}
            for depth in range(1, tree.depth + 1)
        ],
    }


def _above(path: Path) -> list[Path]:
    return [path[:depth] for depth in range(1, len(path))]
