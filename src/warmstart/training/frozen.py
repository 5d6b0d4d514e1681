"""The proof that the prefix is frozen: a digest of everything in it, taken before training and after."""

import hashlib

import torch

from warmstart.backbones.chain import Backbone, split


def prefix_digest(backbone: Backbone, cut: str) -> str:
    """SHA-256 (hex) over names, types, shapes and bytes of the prefix's tensors: parameters *and* buffers.

    Equal before and after training: not a bit left of the cut has changed. Raises UnknownNameError for an unknown cut.
    """
    prefix, _ = split(backbone, cut)
    digest = hashlib.sha256()
    for name, tensor in (*prefix.named_parameters(), *prefix.named_buffers()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
