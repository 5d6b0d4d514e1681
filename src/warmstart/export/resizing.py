"""Pillow's antialiased bicubic resize, as matrix products inside a graph: a picture of any size in, the network's S × S out.

    out = Wy · round(X · Wxᵀ)   or   round(Wy · X) · Wxᵀ        Wx (S, W), Wy (S, H): what an output pixel takes of each input pixel

The weights are those of Pillow's `Resample.c`: the cubic of R. Keys, "Cubic convolution interpolation for digital image processing"
(IEEE TASSP 29, 1981) with a = -0.5, stretched by the scale where the picture is made smaller; rounded to whole grey levels between the two
passes and after. Pillow 13 makes the columns' pass first where that loses more than twice as many pixels (found by trying sizes;
older versions make the rows' pass first). The weights are worked out inside the graph from the picture's size, by the rules of
`data.views.resize`, so that any engine that multiplies matrices gives Pillow's picture, to a grey level where a sum lies at one half.
Resize operators of engines take no window between pixels, and differ.

H, W of the picture; S side of the network's input.
"""

import torch
from torch import Tensor, nn

from warmstart.data.views import CROP_PCT, CROPS, PAD_GREY


class Resize(nn.Module):
    """uint8 (1, H, W, 3) → float32 (1, 3, S, S), whole numbers 0 … 255, as `data.views.resize` makes it."""

    def __init__(self, size_px: int, mode: str) -> None:
        super().__init__()
        self.size_px, self.mode = size_px, mode

    def forward(self, picture: Tensor) -> Tensor:
        """One picture."""
        pixels = picture[0].permute(2, 0, 1).to(torch.float32)  # (3, H, W)
        rows, columns = _positions(pixels[0, :, 0]), _positions(pixels[0, 0])  # (H,), (W,)
        height, width = rows[-1] + 1, columns[-1] + 1
        shorter, longer = torch.minimum(height, width), torch.maximum(height, width)
        horizontal = self._weights(columns, shorter, longer)  # (S, W)
        vertical = self._weights(rows, shorter, longer)  # (S, H)
        rows_first = _grey_levels(vertical @ _grey_levels(pixels @ horizontal.T))  # (3, S, S)
        columns_first = _grey_levels(_grey_levels(vertical @ pixels) @ horizontal.T)
        # Which pass is first shows in the rounding: two grey levels on a tenth of the pixels. A graph cannot choose, so both are made.
        lost_rows, lost_columns = height - self._drawn(height, longer), (width - self._drawn(width, longer)).clamp(min=0)
        small = torch.where(lost_rows > 2 * lost_columns, columns_first, rows_first)
        if self.mode == "pad":
            drawn = (vertical.abs().sum(dim=1) > 0)[:, None] & (horizontal.abs().sum(dim=1) > 0)[None]
            small = torch.where(drawn, small, float(PAD_GREY[0]))
        return small[None]

    def _weights(self, inputs: Tensor, shorter: Tensor, longer: Tensor) -> Tensor:
        """float32 (S, L) for a side of L pixels with positions ``inputs`` 0 … L-1: rows sum to 1; one beside the picture ('pad') is 0.

        Output pixel o takes from around (L - t) / 2 + (o + 1/2) t / d, of t input pixels for d of the page, as far as 2 max(t / d, 1). All
        of it times 16 d is whole numbers, where nothing is rounded: a weight's error would show where a sum lies at one half.
        """
        length = inputs[-1] + 1
        drawn = self._drawn(length, longer)
        share = int(8 * CROP_PCT) if self.mode == "crop" else 8
        taken = share * (shorter if self.mode in CROPS else length)  # in eighths of a pixel
        first = (self.size_px - drawn) // 2
        out = torch.arange(self.size_px) - first
        centre = (8 * length - taken) * drawn + (2 * out + 1) * taken  # (S,), in 16 d-ths of a pixel
        distance = 16 * drawn * inputs[None] + 8 * drawn - centre[:, None]
        weights = _cubic(distance.to(torch.float32) / torch.maximum(2 * taken, 16 * drawn).to(torch.float32))
        weights = weights / weights.sum(dim=1, keepdim=True)
        inside = (out >= 0) & (out < drawn)
        return torch.where(inside[:, None], weights, 0.0)

    def _drawn(self, length: Tensor, longer: Tensor) -> Tensor:
        """int64: how much of the S pixels of the page a side takes; see `data.views.drawn_size`."""
        if self.mode != "pad":
            return torch.full_like(length, self.size_px)
        return torch.round(length.to(torch.float32) * (self.size_px / longer.to(torch.float32))).to(torch.int64).clamp(min=1)


def _positions(line: Tensor) -> Tensor:
    """int64 0, 1 … L-1 for a line of L values: numbers of the graph, and not of the picture that it was traced with."""
    return torch.ones_like(line, dtype=torch.int64).cumsum(0) - 1


def _cubic(distance: Tensor) -> Tensor:
    """Keys 1981, equation 15, with a = -0.5."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _grey_levels(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5).clamp(0, 255)
