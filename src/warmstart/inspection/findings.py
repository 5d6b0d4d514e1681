"""What can be wrong with a data set, as plain data: kinds of finding, in the order in which they are worth settling."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["broken", "copy", "near-copy", "label", "outlier", "grey", "colour", "shape", "small", "class"]
Action = Literal["keep", "drop", "relabel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a kind of finding means."""

    title: str
    explanation: str


KINDS: Mapping[Kind, About] = {
    "broken": About(title="Broken files", explanation="They cannot be decoded and are left out of every run."),
    "copy": About(
        title="Exact copies", explanation="The same bytes more than once. Across splits, scores look better than they are."
    ),
    "near-copy": About(
        title="Near copies",
        explanation="The same photograph saved anew, resized or slightly cropped, by features and then by pixels.",
    ),
    "label": About(
        title="Labels to check",
        explanation="A probe that has not seen the picture believes little in its label (confident learning). The least believed first.",
    ),
    "outlier": About(title="Outliers", explanation="Unlike the rest of the data. The strangest first."),
    "grey": About(title="Grey among colour", explanation="Nearly all other pictures are in colour."),
    "colour": About(title="Colour among grey", explanation="Nearly all other pictures are grey."),
    "shape": About(title="Odd shapes", explanation="An aspect ratio or orientation that hardly another picture has."),
    "small": About(title="Very small pictures", explanation="Far below the others and enlarged for the network's input."),
    "class": About(title="Classes", explanation="Too small to learn or to measure, or far from balance."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing to look at: a picture, a group of copies, or a class."""

    kind: Kind
    paths: tuple[str, ...]  # of a group all its members; of a class none
    detail: str  # what was found, with its numbers
    suggestion: str  # what to do about it
    score: float | None = None  # what findings of this kind are ranked by
    across: tuple[Literal["splits", "classes"], ...] = ()  # what a group of copies lies across
    drop: tuple[str, ...] = ()  # of the paths, those that can go without anyone having to look
    new_label: str | None = None  # what the data thinks the picture is

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)
