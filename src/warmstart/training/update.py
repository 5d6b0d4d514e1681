"""One optimizer update: the gradient of the loss over one or several batches, its norm, the step.

B batch.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from warmstart.training.batches import Batch
from warmstart.training.execution import Execution
from warmstart.training.learner import Learner
from warmstart.training.mixing import mixup
from warmstart.training.objective import Objective
from warmstart.training.randomness import generator, seeded_network
from warmstart.training_settings import TrainingSettings


def update(
    module: Learner,
    optimizer: Optimizer,
    batches: Sequence[Batch],
    objective: Objective,
    settings: TrainingSettings,
    execution: Execution,
    *,
    step: int,
) -> float:
    """Make one step from these batches and return its loss, the mean over their pictures.

    Several batches give the gradient of the one large batch that they form. Where loss or gradient is not finite no weight
    is changed, and what is returned is not finite either. The module must be in the mode it is to be trained in.
    """
    n = sum(len(inputs[0]) for inputs, _ in batches)
    total = 0.0
    optimizer.zero_grad(set_to_none=True)
    with seeded_network(settings.seed, step, execution.device):
        for number, batch in enumerate(batches):
            loss = _loss(module, batch, objective, settings, execution, step=step, number=number) / n
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
    held = module.penalised()
    if settings.head_penalty and held is not None and held.grad is not None:
        held.grad.add_(held.detach(), alpha=settings.head_penalty)
    learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(learning, math.inf if settings.clip_norm is None else settings.clip_norm).item()
    if not math.isfinite(total) or not math.isfinite(norm):
        return total if not math.isfinite(total) else norm
    optimizer.step()
    return total


def _loss(
    module: Learner,
    batch: Batch,
    objective: Objective,
    settings: TrainingSettings,
    execution: Execution,
    *,
    step: int,
    number: int,
) -> Tensor:
    """The sum of the batch's losses."""
    inputs, collated = execution.place(batch)
    targets = objective.targets(collated)
    if settings.mixup_alpha > 0:
        inputs, targets = mixup(
            inputs, targets, alpha=settings.mixup_alpha, random=generator(settings.seed, "mixup", step, number)
        )
    with execution.autocast():
        outputs = module(*inputs)
    return objective.loss(outputs, targets)
