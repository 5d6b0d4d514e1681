"""One optimizer update: the gradient of the loss over one or several batches, its norm, the step.

B batch, K classes.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from warmstart.training.batches import Batch
from warmstart.training.execution import Execution
from warmstart.training.loss import cross_entropy, soft_targets
from warmstart.training.mixing import mixup
from warmstart.training.randomness import generator, seeded_network
from warmstart.training.tuned import TunedSuffix
from warmstart.training_settings import TrainingSettings


def update(
    module: TunedSuffix,
    optimizer: Optimizer,
    batches: Sequence[Batch],
    settings: TrainingSettings,
    execution: Execution,
    *,
    step: int,
) -> float:
    """Make one step from these batches and return its loss, the mean over their pictures.

    Several batches give the gradient of the one large batch that they form. Where loss or gradient is not finite no weight
    is changed, and what is returned is not finite either. The module must be in the mode it is to be trained in.
    """
    n = sum(len(labels) for _, labels in batches)
    total = 0.0
    optimizer.zero_grad(set_to_none=True)
    with seeded_network(settings.seed, step, execution.device):
        for number, batch in enumerate(batches):
            loss = _loss(module, batch, settings, execution, step=step, number=number) / n
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
    if settings.head_penalty and (slope := module.head.weight.grad) is not None:
        slope.add_(module.head.weight.detach(), alpha=settings.head_penalty)
    learning = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(learning, math.inf if settings.clip_norm is None else settings.clip_norm).item()
    if not math.isfinite(total) or not math.isfinite(norm):
        return total if not math.isfinite(total) else norm
    optimizer.step()
    return total


def _loss(
    module: TunedSuffix, batch: Batch, settings: TrainingSettings, execution: Execution, *, step: int, number: int
) -> Tensor:
    """The sum of the batch's losses."""
    inputs, labels = execution.place(batch)
    n_classes = module.head.out_features
    targets = soft_targets(labels, n_classes, smoothing=settings.label_smoothing, class_weights=settings.class_weights)
    if settings.mixup_alpha > 0:
        inputs, targets = mixup(
            inputs, targets, alpha=settings.mixup_alpha, random=generator(settings.seed, "mixup", step, number)
        )
    with execution.autocast():
        logits = module(*inputs)
    return cross_entropy(logits, targets)
