"""x · coef + intercept: what a linear head comes down to, and what training right of a cut starts from and ends with.

N examples, D features, O outputs.
"""

from dataclasses import dataclass

from warmstart.heads.standardising import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMap:
    """For raw features."""

    coef: Array  # (D, O); (D, 1) where outputs differ by their intercept alone
    intercept: Array  # (O,)

    def __call__(self, X: Array) -> Array:
        """(N, D) → (N, O)."""
        return X @ self.coef + self.intercept
