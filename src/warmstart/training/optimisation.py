"""The optimizer: which weight learns how fast and decays, and the moving average of weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from warmstart.training.learner import Learner
from warmstart.training_settings import TrainingSettings


def parameter_groups(module: Learner, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Everything that learns, by depth, with and without decay. 'share' is of the learning rate that was set.

    Norms and biases don't decay: pulling a scale towards 0 undoes what it normalises, and a bias does not overfit (T. He et
    al., "Bag of tricks for image classification", CVPR 2019, §3.1). They are the parameters with one dimension.
    """
    groups = []
    for depth, part in module.by_depth():
        learning = [parameter for parameter in part.parameters() if parameter.requires_grad]
        for decay, members in (
            (settings.weight_decay, [parameter for parameter in learning if parameter.dim() > 1]),
            (0.0, [parameter for parameter in learning if parameter.dim() <= 1]),
        ):
            if members:
                share = settings.depth_decay**depth if depth else settings.head_share
                groups.append({"params": members, "share": share, "lr": settings.learning_rate * share, "weight_decay": decay})
    return groups


def make_optimizer(module: Learner, settings: TrainingSettings) -> Optimizer:
    """AdamW (I. Loshchilov and F. Hutter, ICLR 2019) with its usual β, or SGD with momentum."""
    groups = parameter_groups(module, settings)
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups, lr=settings.learning_rate)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Every group gets its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def optimizer_tensors(optimizer: Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimizer's memory as 'parameter name/what' → tensor. Its settings are not in it: they follow from ours."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}/{what}": value
        for parameter, state in optimizer.state.items()
        for what, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(optimizer: Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`, for the same settings."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, _, what = key.rpartition("/")
        parameter = parameters[name]
        # Laid out in memory as the parameter is (channels last), as the optimizer itself would have made it; but a count of
        # steps is a scalar on the CPU.
        same = value.shape == parameter.shape
        optimizer.state[parameter][what] = torch.empty_like(parameter).copy_(value) if same else value.clone()


class WeightAverage:
    """An exponential moving average of weights and buffers, w̄ ← d·w̄ + (1-d)·w (B. Polyak and A. Juditsky, 1992).

    d grows from 0.1 to ``decay``, as min(decay, (1+t)/(10+t)) at step t = 0, 1, …, so that the start does not weigh for long.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = copied_state(module)

    def update(self, module: nn.Module, step: int) -> None:
        """Take in the module's weights after step t."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)  # a count of batches

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """Within: the module holds the average. After: its own weights again."""
        own = copied_state(module)
        module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            module.load_state_dict(own)


def copied_state(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters and buffers by name, as copies."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
