"""L-BFGS for F smooth problems at once (D. Liu, J. Nocedal, Mathematical Programming 45, 1989).

Why our own: the F problems are the folds of one cross-validation and differ only in the weights of the pictures, so one product
of the features with all F parameter blocks side by side serves them all, while step lengths and curvature stay each problem's
own. The quadratic penalty is kept apart from the loss, so that curvature gathered at one penalty is still right at the next.
And everything is float32. scipy's L-BFGS-B needs about as many evaluations (60 for 5 folds, 5 penalties, 3,376 features, 10
classes, 3,068 pictures), but its float64 vectors take half as much time again per evaluation and more than twice the memory,
which would no longer fit into the 2.5 times of the features that fitting may take.

F problems, P parameters each.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]  # (F, P)
Pair = tuple[Block, Block]  # a step, and the change of the loss gradient along it
PerProblem = NDArray[np.float64]  # (F,)
Loss = Callable[[Block], tuple[PerProblem, Block]]  # parameters → values and gradients, without the penalty

STEPS = 500
HALVINGS = 20
SUFFICIENT = 1e-4  # Armijo's constant, Nocedal and Wright 2006, §3.1
FLOOR = 1e-6  # losses this small are zero: hinge losses of separable data reach it


def minimise(
    loss: Loss, start: Block, penalties: Iterable[NDArray[np.float32]], *, tolerance: float, memory: int = 8
) -> Iterator[Block]:
    """For each penalty in turn, ≥ 0, (P,) or each problem its own (F, P), the parameters (F, P) where loss(θ) + ½ Σ penalty·θ² is smallest.

    Each penalty starts where the one before ended, with the curvature seen so far: ``memory`` pairs of a step and the change of
    the loss gradient along it, 2·F·P·4 bytes each.

    Stops when both the last step's gain and the gain that the quadratic model still promises, half of gradient · step, are
    below ``tolerance`` × value for every problem: a share of the loss, which means the same for any number of pictures,
    features or classes. Both, because now and then the model promises too little, or a step gains little, midway.
    """
    theta = start
    pairs: deque[Pair] = deque(maxlen=memory)
    for penalty in penalties:
        value, gradient = _penalised(loss, theta, penalty)
        gained = np.full(len(theta), np.inf)
        for _ in range(STEPS):
            step = _newton_like_step(gradient, pairs, penalty)
            slope = _dots(gradient, step).astype(np.float64)
            arrived = np.maximum(slope / 2, gained) <= tolerance * (value + FLOOR)
            if arrived.all() or not slope.any():
                break
            length = np.ones(len(theta), np.float32)
            for _ in range(HALVINGS):
                ahead = theta - length[:, None] * step
                ahead_value, ahead_gradient = _penalised(loss, ahead, penalty)
                # The last term lets float32's rounding pass, which near the end is larger than the descent asked for.
                high = ahead_value > value - SUFFICIENT * length * slope + 1e-7 * value
                if not high.any():
                    break
                length = np.where(high, length / 2, length).astype(np.float32)
            else:
                break  # no descent left at this precision
            moved = ahead - theta
            pairs.append((moved, ahead_gradient - gradient - penalty * moved))
            gained = value - ahead_value
            theta, value, gradient = ahead, ahead_value, ahead_gradient
        yield theta


def _penalised(loss: Loss, theta: Block, penalty: NDArray[np.float32]) -> tuple[PerProblem, Block]:
    value, gradient = loss(theta)
    pull = penalty * theta
    return value + _dots(pull, theta) / 2, gradient + pull


def _newton_like_step(gradient: Block, pairs: Iterable[Pair], penalty: NDArray[np.float32]) -> Block:
    """Inverse Hessian times gradient, each problem's own, by the two-loop recursion (Nocedal and Wright 2006, algorithm 7.4).

    A pair without positive curvature in some problem is passed over in that problem.
    """
    step = gradient.copy()
    # Before any curvature is known: a step no longer than 1, which line search shortens if it must.
    scale = 1 / np.maximum(np.sqrt(_dots(gradient, gradient)), 1)
    known = []
    for moved, change in pairs:
        turned = change + penalty * moved
        curvature, square = _dots(moved, turned), _dots(turned, turned)
        good = curvature > 1e-10 * square
        inverse = np.divide(1, curvature, out=np.zeros_like(curvature), where=good)
        scale = np.divide(curvature, square, out=scale, where=good)
        known.append((moved, turned, inverse))
    shares = []
    for moved, turned, inverse in reversed(known):
        share = inverse * _dots(moved, step)
        shares.append(share)
        step -= share[:, None] * turned
    step *= scale[:, None]
    for (moved, turned, inverse), share in zip(known, reversed(shares), strict=True):
        step += (share - inverse * _dots(turned, step))[:, None] * moved
    return step


def _dots(a: Block, b: Block) -> NDArray[np.float32]:
    """(F,): the product of each pair of rows. Not through BLAS, which would start threads for these few microseconds: on a busy
    machine each start can wait for a time slice, and there are hundreds in a step.
    """
    out: NDArray[np.float32] = np.einsum("fp,fp->f", a, b)
    return out
