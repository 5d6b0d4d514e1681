"""A drawn scene with areas, edges and texture, as a photograph has them: what copies can be made of and told by."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def photograph(seed: int, size: tuple[int, int] = (200, 260)) -> Image.Image:
    """Two dozen coloured shapes on a cloudy ground under fine grain; equal seeds give equal pictures."""
    random = np.random.default_rng([7, seed])
    clouds = random.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    page = Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(page)
    for _ in range(24):
        x, y, w, h = (int(random.integers(0, limit)) for limit in (size[0], size[1], 70, 70))
        colour = tuple(int(level) for level in random.integers(0, 256, 3))
        (pen.ellipse if random.random() < 0.5 else pen.rectangle)((x, y, x + 6 + w, y + 6 + h), fill=colour)
    grain = random.normal(0, 6, (size[1], size[0], 3))
    blurred = np.asarray(page.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    return Image.fromarray(np.clip(blurred + grain, 0, 255).astype(np.uint8))
