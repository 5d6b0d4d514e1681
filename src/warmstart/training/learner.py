"""What the loop trains: any module, and what else is known of one that knows it."""

from typing import Any

from torch import Tensor, nn

from warmstart.training.feature_norm import FeatureNorm


class Learner(nn.Module):
    """A module that the loop trains. As it is written here: everything learns at one rate, and nothing in it is special."""

    def by_depth(self) -> tuple[tuple[int, nn.Module], ...]:
        """(depth, module) of everything that learns: 0 gets the head's share of the rate, further left it falls (`TrainingSettings`)."""
        return ((0, self),)

    def penalised(self) -> Tensor | None:
        """The weights that `head_penalty` pulls towards 0."""
        return None

    def feature_norm(self) -> FeatureNorm | None:
        """The norm before the head, whose statistics are taken afresh before each evaluation."""
        return None

    @property
    def trained_stages(self) -> tuple[str, ...]:
        """The stages of the backbone in which something learns."""
        return ()


class Whole(Learner):
    """A task's own module, which the loop knows nothing of."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        """As the module."""
        return self.module(*inputs)
