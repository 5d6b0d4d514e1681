import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from warmstart.report.labels import spread

columns = st.lists(st.tuples(st.floats(-100, 800), st.floats(1, 40)), min_size=1, max_size=15)


@settings(deadline=None)
@given(columns)
def test_labels_do_not_overlap_stay_inside_and_keep_their_order(labels):
    wanted, heights = [w for w, _ in labels], np.array([h for _, h in labels])
    assume(heights.sum() <= 600)
    centres = np.array(spread(wanted, heights, low=20, high=620))
    assert (centres - heights / 2).min() >= 20 - 1e-6
    assert (centres + heights / 2).max() <= 620 + 1e-6
    order = np.argsort(wanted, kind="stable")
    lower, upper = order[:-1], order[1:]
    assert (centres[upper] - centres[lower] >= (heights[upper] + heights[lower]) / 2 - 1e-6).all()


@pytest.mark.parametrize("seed", range(5))
def test_labels_move_as_little_as_a_general_solver_finds_possible(seed):
    rng = np.random.default_rng(seed)
    wanted, heights = np.sort(rng.uniform(0, 300, 8)), rng.uniform(10, 40, 8)
    apart = (heights[1:] + heights[:-1]) / 2
    constraints = [
        {"type": "ineq", "fun": lambda c: np.diff(c) - apart},
        {"type": "ineq", "fun": lambda c: c[0] - heights[0] / 2},
        {"type": "ineq", "fun": lambda c: 320 - c[-1] - heights[-1] / 2},
    ]
    best = minimize(lambda c: ((c - wanted) ** 2).sum(), wanted, constraints=constraints, method="SLSQP", tol=1e-12).x
    assert spread(list(wanted), list(heights), low=0, high=320) == pytest.approx(best, abs=0.01)


def test_labels_that_have_room_stay_where_they_are():
    assert spread([300.0, 100.0, 200.0], [20, 20, 20], low=0, high=400) == [300, 100, 200]


def test_labels_that_want_the_same_place_share_it_evenly():
    assert spread([50.0, 50.0, 50.0], [10, 10, 10], low=0, high=100) == [40, 50, 60]


def test_labels_higher_than_the_column_are_refused():
    with pytest.raises(ValueError, match="labels of 60 in all do not fit a column from 0 to 50"):
        spread([1.0, 2.0], [30, 30], low=0, high=50)
