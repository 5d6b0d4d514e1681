"""The proof that a chain is its network: equal to the bit, with weights behind which no layer can hide.

Freshly built networks are bad witnesses: a norm with scale 1 and shift 0, a layer scale of 1e-6 or a last norm that starts
at zero make whole blocks almost invisible. So every parameter and buffer is drawn anew before anything is compared.

B batch, H, W.
"""

import math

import torch
from torch import Tensor, nn

from warmstart.backbones.chain import Backbone, split


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Draw every parameter and buffer anew, in place: norm scales, layer scales and running statistics too.

    Weights get the deviation √(2 / fan in) of He et al. (2015), so that activations neither vanish nor explode on the way;
    scales and variances lie in 0.5 … 1.5, shifts and means have deviation 0.1.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if not tensor.is_floating_point():
                tensor.zero_()  # the count of batches seen, which no output depends on
            elif tensor.dim() >= 2 and tensor[0].numel() > 1:
                tensor.normal_(0, math.sqrt(2 / tensor[0].numel()), generator=generator)
            elif name.endswith(("bias", "running_mean")):
                tensor.normal_(0, 0.1, generator=generator)
            else:
                tensor.uniform_(0.5, 1.5, generator=generator)


def is_proven(backbone: Backbone, x: Tensor) -> bool:
    """Whether no cut is unequal, in eval and in train mode. Running statistics move, the network ends in eval mode."""
    try:
        return not any(unequal_cuts(backbone, x, training=training) for training in (False, True))
    finally:
        backbone.network.eval()


def unequal_cuts(backbone: Backbone, x: Tensor, *, training: bool, seed: int = 0) -> list[str]:
    """The cuts at which suffix(prefix(x)) is not the network's own output to the bit; dropout is drawn under ``seed``.

    ``x``: normalised pictures (B, 3, H, W). A suffix that writes into the activations it is given counts as unequal, and so
    does an output that is not finite. Meant for a network with randomised weights, which it leaves in the mode asked for.
    """
    backbone.network.train(training)
    unequal = []
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = backbone.network(x)
        for cut in backbone.cuts:
            prefix, suffix = split(backbone, cut)
            torch.manual_seed(seed)
            activations = prefix.train(training)(x)
            before = activations.clone()
            logits = suffix.train(training)(activations)
            if not (logits.isfinite().all() and torch.equal(logits, expected) and torch.equal(activations, before)):
                unequal.append(cut)
    return unequal
