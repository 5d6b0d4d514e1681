"""What pictures lose on their way into the network, said once a data set: `records.Notice`s, for which nothing is left out.

    sizes and resize mode → what the crop cuts off      facts → pages, cures, what a conversion loses, damage
    remarks beside the rows → one colour in the network's input

Pure: no file is opened here. N pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from warmstart.data.depth import OWN, leaves_nothing
from warmstart.data.flattening import CURES
from warmstart.data.views import AUTO, RESIZE_MODES, mode_of, seen_share
from warmstart.records import Notice, Picture, ValueRange
from warmstart.strategy.resize import LITTLE_SEEN, ResizeChoice

NAMED = 3  # pictures of each kind

CROP_CURE = "--resize squash shows all of each, its proportions changed; --resize pad shows all of each, smaller, on grey"
OPEN_CURE = f"Training compares ways to show more of them, and takes one that does better. {CROP_CURE}"

# Name → the end of a sentence about pictures, for `data.one_colour.LOSSES`.
_LOSSES = {
    "crop": "what differs lies outside the centre crop. --resize squash or pad shows it",
    "resize": "what differs is too small to be seen at the network's input. Crop to what matters, or give --image-size more pixels",
    "levels": "areas that lie a few of 255 levels apart, as in masks of labels. Save them with levels that are far apart",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Which share of the area of N pictures the network sees."""

    resize: str
    pictures: int  # whose size is known
    median: float | None  # 0 … 1; None without pictures
    worst_tenth: float | None  # at most this of every tenth picture

    @property
    def little(self) -> bool:
        """Whether so much is cut off that it should be said before anything is blamed."""
        return self.worst_tenth is not None and self.worst_tenth < LITTLE_SEEN

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def seen_of(pictures: Sequence[Picture], resize: str) -> Seen:
    """From sizes alone; pictures without facts are left out. ``resize`` that is left open is the centre crop."""
    resize = mode_of(resize)
    shares = [seen_share((p.facts.width, p.facts.height), mode=resize) for p in pictures if p.facts is not None]
    if not shares:
        return Seen(resize=resize, pictures=0, median=None, worst_tenth=None)
    return Seen(
        resize=resize,
        pictures=len(shares),
        median=round(float(np.median(shares)), 4),
        worst_tenth=round(float(np.quantile(shares, 0.1, method="inverted_cdf")), 4),
    )


def before_blame(seen: Seen) -> str | None:
    """What is to be tried before labels or the number of pictures are blamed; None where little is cut off."""
    if not seen.little:
        return None
    return (
        f"{_said(seen).capitalize()}, because the centre crop cuts off the ends of elongated ones. Before labels are doubted or pictures "
        f"added, show it all of each: {CROP_CURE}."
    )


def notices(
    pictures: Sequence[Picture],
    *,
    resize: str,
    values: ValueRange = OWN,
    losses: Mapping[bytes, str] | None = None,
    keep_damaged: bool | None = False,
    choice: ResizeChoice | None = None,
) -> tuple[Notice, ...]:
    """What is to be said of these pictures, the worst first.

    ``losses``: digest → a name of `data.one_colour.LOSSES`, where rows were computed. ``keep_damaged``: whether damaged pictures are
    used; if not, each is a problem and nothing is said of it here. None: that is not decided yet. ``resize`` may be left open: it will be
    compared. ``choice``: what the comparison said.
    """
    found = [*_cropped(pictures, resize, choice), *_lost(pictures, values, losses or {}), *_cured(pictures), *_pages(pictures)]
    return (*found, *_damaged(pictures, keep_damaged))


def _cropped(pictures: Sequence[Picture], resize: str, choice: ResizeChoice | None) -> list[Notice]:
    seen = seen_of(pictures, RESIZE_MODES[0] if choice else resize)
    if not seen.little:
        return []
    least = sorted(
        (
            (share, p)
            for p in pictures
            if p.facts and (share := seen_share((p.facts.width, p.facts.height), mode=seen.resize)) < LITTLE_SEEN
        ),
        key=lambda one: one[0],
    )
    if choice is not None and choice.modes:
        return [_notice("resize", choice.in_words(), [p for _, p in least])]
    cure = OPEN_CURE if resize == AUTO else CROP_CURE
    if choice is not None:
        cure = f"Other ways were not compared: {choice.why_not}. {CROP_CURE}"
    message = (
        f"{_said(seen)}: {_many(len(least))} {'is' if len(least) == 1 else 'are'} elongated, and the centre crop cuts off the ends. "
        f"{cure}"
    )
    return [_notice("cropped", message, [p for _, p in least])]


def _said(seen: Seen) -> str:
    assert seen.median is not None
    assert seen.worst_tenth is not None
    median, tenth = _percent(seen.median), _percent(seen.worst_tenth)
    return f"the network sees {median} of the median picture" + (
        f" and at most {tenth} of every tenth" if tenth != median else ""
    )


def _lost(pictures: Sequence[Picture], values: ValueRange, losses: Mapping[bytes, str]) -> list[Notice]:
    """By reason, the most frequent first."""
    reasons: dict[str, list[Picture]] = {}
    for picture in pictures:
        facts = picture.facts
        if facts is not None and facts.lost:
            reason = facts.lost
        elif facts is not None and facts.depth is not None and leaves_nothing(facts.depth, values):
            reason = "values in a small part of the range of the others. Give pictures that belong together one range"
        elif picture.digest in losses:
            reason = _LOSSES[losses[picture.digest]]
        else:
            continue
        reasons.setdefault(reason, []).append(picture)
    return [
        _notice(
            "one-colour",
            f"{_named(of)} {_reach(of)} the network as (almost) one colour although the file holds more: {reason}",
            of,
        )
        for reason, of in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]


def _cured(pictures: Sequence[Picture]) -> list[Notice]:
    out = []
    for cure, what in CURES.items():
        of = [picture for picture in pictures if picture.facts is not None and picture.facts.cure == cure]
        if of:
            message = f"{_named(of)} would reach the network as one colour, so {what}"
            out.append(_notice("cured", message, of))
    return out


def _pages(pictures: Sequence[Picture]) -> list[Notice]:
    of = [picture for picture in pictures if picture.facts is not None and picture.facts.pages > 1]
    if not of:
        return []
    unused = sum(picture.facts.pages - 1 for picture in of if picture.facts is not None)
    message = (
        f"{_named(of)} {'holds' if len(of) == 1 else 'hold'} several pages, frames or pictures; the first of each is used, and "
        f"{unused:,} {'is' if unused == 1 else 'are'} not. Save those that matter as files of their own"
    )
    return [_notice("pages", message, of)]


def _damaged(pictures: Sequence[Picture], keep: bool | None) -> list[Notice]:
    of = [picture for picture in pictures if picture.facts is not None and picture.facts.damage is not None]
    if not of or keep is False:
        return []
    used = "used all the same" if keep else "left out, unless they are to be kept (--keep-damaged)"
    return [_notice("damaged", f"{_named(of)} {'is' if len(of) == 1 else 'are'} damaged and {used}", of)]


def _notice(kind: str, message: str, of: Sequence[Picture]) -> Notice:
    return Notice(kind=kind, message=message, pictures=len(of), paths=tuple(picture.path for picture in of[:NAMED]))


def _named(of: Sequence[Picture]) -> str:
    """'4 pictures (a.png, b.png, c.png …)'."""
    return f"{_many(len(of))} ({', '.join(picture.path for picture in of[:NAMED])}{' …' if len(of) > NAMED else ''})"


def _many(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _reach(of: Sequence[Picture]) -> str:
    return "reaches" if len(of) == 1 else "reach"
