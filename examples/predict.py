"""Predict with a file that `warmstart export MODEL --to onnx` wrote, and nothing of warmstart: pip install onnxruntime pillow numpy

python predict.py model.onnx cat.jpg dog.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def main(path: str, pictures: list[str]) -> None:
    """The most probable class of each picture."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["warmstart"])
    for name in pictures:
        with Image.open(name) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
        # Everything else is inside the file: normalisation, network, head, temperature.
        pixels = np.asarray(picture)[None] if about["resize_inside"] else resized(picture, about["preprocessing"])
        (probabilities,) = session.run(["probabilities"], {"pictures": pixels})
        best = int(probabilities[0].argmax())
        print(f"{name}: {about['class_names'][best]} ({probabilities[0, best]:.1%})")


def resized(picture: Image.Image, how: dict) -> np.ndarray:
    """uint8 (1, 3, S, S): what the network was trained on."""
    side = how["size_px"]
    box, size = None, (side, side)
    if how["resize"] == "crop":  # the centre, 0.875 of the shorter side wide
        cut = min(picture.size) * 0.875
        left, top = (picture.width - cut) / 2, (picture.height - cut) / 2
        box = (left, top, left + cut, top + cut)
    elif how["resize"] == "pad":
        scale = side / max(picture.size)
        size = tuple(max(1, round(length * scale)) for length in picture.size)
    small = picture.resize(size, Image.Resampling.BICUBIC, box=box)
    page = Image.new("RGB", (side, side), (128, 128, 128))
    page.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(page).transpose(2, 0, 1)[None]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
