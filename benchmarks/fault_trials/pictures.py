"""Mutated pictures: each is a picture or a named problem, through `decode` and over HTTP, and none takes long."""

import io
import random
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from fault_trials.server import REQUEST_S, Server
from fault_trials.trial import Outcome, Place
from warmstart.errors import PictureError
from warmstart.extraction.rendering import render
from warmstart.records import Preprocessing

DECODE, HTTP = "mutated picture, decoded", "mutated picture, over HTTP"
SCENARIOS = {DECODE: 1500, HTTP: 1500}

_SAVED = (
    ("JPEG", "RGB", {"quality": 85}),
    ("JPEG", "RGB", {"quality": 85, "progressive": True}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_deflate"}),
    ("TIFF", "F", {}),
    ("TIFF", "I;16", {}),
    ("PPM", "RGB", {}),
    ("JPEG2000", "RGB", {}),
)


def trials(place: Place, scenario: str, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One mutation a number: the same ones in both scenarios."""
    originals = _originals()
    if scenario == DECODE:
        for number in numbers:
            yield _decoded(place, number, _mutated(originals, place.random("pictures", number)))
        return
    with Server(place, place.new("home-pictures"), f"shapes={place.model.parent}") as server:
        for number in numbers:
            content = _mutated(originals, place.random("pictures", number))
            begin = time.perf_counter()
            try:
                answer = server.client.post(
                    "/api/models/shapes/predict", files={"file": ("x", content, "application/octet-stream")}
                )
                end, wrong = f"HTTP {answer.status_code}", answer.text if answer.status_code >= 500 else ""
            except Exception as reason:  # whatever a client meets is an outcome
                end, wrong = type(reason).__name__, repr(reason)
            seconds = time.perf_counter() - begin
            wrong = wrong or (f"took {seconds:.1f} s" if seconds > REQUEST_S else "")
            yield Outcome(scenario=HTTP, number=number, seed=place.seed, held=not wrong, end=end, detail=wrong)


def _decoded(place: Place, number: int, content: bytes) -> Outcome:
    begin, wrong = time.process_time(), ""
    try:
        pixels = render(content, Preprocessing(size_px=64))
        end = "a picture"
        wrong = "" if pixels.shape == (3, 64, 64) and pixels.dtype == np.uint8 else f"{pixels.dtype} {pixels.shape}"
    except PictureError as reason:
        end = reason.kind
    except BaseException as reason:  # that is the question
        end, wrong = "foreign exception", repr(reason)
    seconds = time.process_time() - begin
    wrong = wrong or (f"took {seconds:.1f} s of processor time" if seconds > REQUEST_S else "")
    return Outcome(scenario=DECODE, number=number, seed=place.seed, held=not wrong, end=end, detail=wrong)


def _originals() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((160, 120))
    found = []
    for file_format, mode, options in _SAVED:
        buffer = io.BytesIO()
        shown = (
            Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 16)
            if mode == "I;16"
            else picture.convert(mode)
        )
        shown.save(buffer, file_format, **options)
        found.append(buffer.getvalue())
    return found


def _mutated(originals: list[bytes], draw: random.Random) -> bytes:
    content = bytearray(draw.choice(originals))
    for _ in range(draw.choice((1, 1, 2, 5))):
        # Half of them in the first bytes, where headers are.
        at = draw.randrange(min(len(content), 200)) if draw.random() < 0.5 else draw.randrange(len(content))
        match draw.randrange(7):
            case 0:
                content[at] ^= 1 << draw.randrange(8)
            case 1:
                content[at] = draw.choice((0, 1, 127, 128, 255))
            case 2:
                del content[at:]
                content += bytes([draw.choice((0, 255))])
            case 3:
                content[at : at + draw.randrange(1, 64)] = b""
            case 4:
                content[at:at] = draw.randbytes(draw.randrange(1, 64))
            case 5:
                content[at : at + 4] = draw.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1"))
            case _:
                start = draw.randrange(len(content))
                content[at:at] = content[start : start + draw.randrange(1, 2000)]
        content = content or bytearray(b"\0")
    return bytes(content)
