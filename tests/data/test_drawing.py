"""Which train pictures are looked at: a draw by class that other pictures hardly move."""

import numpy as np

from warmstart.data.drawing import drawn
from warmstart.records import Picture


def pictures(n: int, first: int = 0) -> list[Picture]:
    return [Picture(path=f"{i}.png", digest=i.to_bytes(16, "little")) for i in range(first, first + n)]


LABELS = np.repeat([0, 1, 2], [300, 90, 3])


def test_every_class_has_its_share_and_the_smallest_two() -> None:
    chosen = drawn(pictures(393), LABELS, 100, seed=0)
    assert np.bincount(LABELS[chosen]).tolist() == [76, 23, 2]
    assert (np.diff(chosen) > 0).all()


def test_few_pictures_are_all_taken() -> None:
    assert drawn(pictures(393), LABELS, 393, seed=0).tolist() == list(range(393))


def test_a_smaller_draw_is_part_of_a_larger_one_and_another_seed_draws_others() -> None:
    small, large, other = (
        set(drawn(pictures(393), LABELS, most, seed).tolist()) for most, seed in ((60, 0), (200, 0), (200, 1))
    )
    assert small < large
    assert other != large


def test_order_plays_no_part_and_new_pictures_leave_most_of_the_draw() -> None:
    before = pictures(393)
    chosen = {before[i].digest for i in drawn(before, LABELS, 100, seed=0)}
    turned = before[::-1]
    assert {turned[i].digest for i in drawn(turned, LABELS[::-1], 100, seed=0)} == chosen
    more = [*before, *pictures(40, first=1000)]
    later = {more[i].digest for i in drawn(more, np.append(LABELS, np.zeros(40, np.int64)), 100, seed=0)}
    assert len(chosen & later) >= 85  # of 101; a tenth is new
