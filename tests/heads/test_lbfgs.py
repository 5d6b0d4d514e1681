import numpy as np
import pytest
from scipy.optimize import minimize

from warmstart.heads.lbfgs import minimise
from warmstart.tasks.classify.heads.affine import lbfgs_memory, softmax_loss, squared_hinge_loss


def quadratics(f=3, p=12, seed=0):
    """F convex quadratics ½ θᵀA θ - bᵀθ + const with condition numbers up to 1e4, and their loss function."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(f, p, p)))[0]
    A = np.einsum("fij,j,fkj->fik", Q, np.geomspace(1, 1e-4, p), Q)
    b = rng.normal(size=(f, p))

    def loss(theta):
        product = np.einsum("fij,fj->fi", A, theta)
        value = np.vecdot(theta, product) / 2 - np.vecdot(b, theta) + 1e3
        return value, (product - b).astype(np.float32)

    return A, b, loss


def test_minimum_of_quadratics_is_the_solution_of_the_linear_system():
    A, b, loss = quadratics()
    penalty = np.full(12, 0.01, np.float32)
    (found,) = minimise(loss, np.zeros((3, 12), np.float32), [penalty], tolerance=1e-10)
    expected = np.linalg.solve(A + 0.01 * np.eye(12), b[:, :, None])[:, :, 0]
    assert found == pytest.approx(expected, rel=0.02, abs=0.05)


def test_problems_solved_together_end_where_each_ends_alone():
    _, _, loss = quadratics()
    penalty = np.full(12, 0.05, np.float32)
    (together,) = minimise(loss, np.zeros((3, 12), np.float32), [penalty], tolerance=1e-10)
    for i in range(3):

        def alone(theta, i=i):
            value, gradient = loss(np.repeat(theta, 3, axis=0))
            return value[i : i + 1], gradient[i : i + 1]

        (single,) = minimise(alone, np.zeros((1, 12), np.float32), [penalty], tolerance=1e-10)
        assert together[i] == pytest.approx(single[0], rel=0.02, abs=0.02)


def test_curvature_from_one_penalty_saves_steps_at_the_next():
    _, _, loss = quadratics(f=1)
    calls = []

    def counted(theta):
        calls.append(1)
        return loss(theta)

    strong, weak = (np.full(12, p, np.float32) for p in (0.03, 0.01))
    path = minimise(counted, np.zeros((1, 12), np.float32), [strong, weak], tolerance=1e-9, memory=12)
    start = next(path)
    calls.clear()
    warm = next(path)
    with_curvature = len(calls)
    calls.clear()
    (bare,) = minimise(counted, start, [weak], tolerance=1e-9, memory=12)
    assert with_curvature < len(calls)
    assert warm == pytest.approx(bare, rel=0.02, abs=0.02)


def test_the_curvature_of_the_penalty_is_known_exactly():
    """A linear loss has no curvature of its own, so after one step the second lands on the minimum; one more sees it."""
    b = np.array([[3.0, -1.0, 2.0]], np.float32)
    calls = []

    def linear(theta):
        calls.append(1)
        return 100 - np.vecdot(b, theta).astype(np.float64), -b

    path = minimise(linear, np.zeros((1, 3), np.float32), [np.full(3, p, np.float32) for p in (0.5, 0.25)], tolerance=1e-9)
    assert next(path) == pytest.approx(b / 0.5, rel=1e-4)
    assert len(calls) <= 4
    calls.clear()
    assert next(path) == pytest.approx(b / 0.25, rel=1e-4)
    assert len(calls) <= 3


def test_minimum_of_a_function_that_is_no_quadratic_is_scipys():
    def rosenbrock(theta):
        x, y = theta[:, 0].astype(np.float64), theta[:, 1].astype(np.float64)
        value = (1 - x) ** 2 + 100 * (y - x * x) ** 2
        gradient = np.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)], axis=1)
        return value, gradient.astype(np.float32)

    start = np.array([[-1.2, 1.0], [0.0, 2.0]], np.float32)
    (found,) = minimise(rosenbrock, start, [np.full(2, 0.02, np.float32)], tolerance=1e-9)
    for row in range(2):
        oracle = minimize(lambda t: rosenbrock(t[None])[0][0] + 0.01 * t @ t, start[row], method="Nelder-Mead", tol=1e-9)
        assert found[row] == pytest.approx(oracle.x, abs=5e-3)


def test_a_start_at_the_minimum_stays_there():
    def loss(theta):
        return np.vecdot(theta, theta) / 2, theta

    (found,) = minimise(loss, np.zeros((2, 3), np.float32), [np.zeros(3, np.float32)], tolerance=1e-4)
    assert not found.any()


@pytest.mark.parametrize("loss", [softmax_loss, squared_hinge_loss])
def test_slope_is_the_derivative_of_the_value(loss):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (6, 2, 3)).astype(np.float64)
    y = np.array([0, 1, 2, 0, 1, 2])
    shares = rng.random((6, 2))
    _, slope = loss(logits, y, shares)
    for place in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[place] = 1e-5
        rise = (loss(logits + step, y, shares)[0] - loss(logits - step, y, shares)[0]) / 2e-5
        assert slope[place] == pytest.approx(rise[place[1]], abs=1e-4)


def test_memory_shrinks_with_outputs_and_never_below_two():
    assert [lbfgs_memory(3000, outputs) for outputs in (10, 100, 500)] == [8, 4, 2]
