"""What the bytes of a picture say of it without decoding a pixel: how many pictures, how much work, how much memory, what is wrong.

Each format has a module beside this one (`jpeg_structure`, `png_structure` …) that fills in a `Structure`; `examination` chooses.
"""

from dataclasses import dataclass

# 1.5 GiB. A 108-megapixel telephone picture (12,032 × 9,024) must pass, also as a progressive JPEG without chroma subsampling,
# the dearest way to write it: 4 bytes a pixel as decoded, 4 once more while it is turned upright, 6 for its coefficients: 1.41 GiB.
MAX_DECODE_BYTES = 1_610_612_736

# Encoders write 10 to 17 scans. One that says nothing costs 0.7 ms a megapixel (measured), one that refines everything a few times that.
USUAL_SCANS = 20
MAX_SCANS = 100
MAX_SCAN_PIXELS = 2_000_000_000

# Resized to 224 pixels at its shorter side, a picture a thousand times as long takes 0.2 GB; 49,000,000 × 1 would take 10 TB.
MAX_ELONGATION = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """What the bytes of a picture say without decoding pixels."""

    pages: int = 1  # pages, frames or whole pictures in the file, of which the first is used
    scans: int = 1  # of a JPEG; 1 elsewhere
    width: int = 0  # as stored, in pixels; 0: the header is unreadable
    height: int = 0
    decode_bytes: int = 0  # upper estimate of the memory that decoding takes, by `decode_bytes`
    damage: str | None = None  # what is wrong with bytes that decode all the same, as the end of a sentence

    @property
    def pixels(self) -> int:
        """All of them."""
        return self.width * self.height


def decode_bytes(*, width: int, height: int, channels: int, depth_bits: int, extra: int = 0) -> int:
    """An upper estimate of the bytes that decoding to upright RGB takes beside the file itself, from facts of the header alone.

    Pillow keeps several channels of 8 bits as 4 bytes a pixel and one channel at its depth. Beside it there is at most one more RGB
    picture (turned, or converted), with alpha also the picture as RGBA and its mask; values of more than 8 bits are brought to 8 in
    numpy. ``extra`` is what the format's own decoder keeps: coefficients, tiles, strips.
    """
    stored = 4 if channels > 1 else max(1, depth_bits // 8)
    alpha = 5 if channels in (2, 4) else 0
    working = 0 if channels > 1 or depth_bits <= 8 else 8 if depth_bits <= 16 else 24
    return width * height * (max(stored, 4) + 4 + alpha + working) + extra


def too_much(structure: Structure, max_decode_bytes: int = MAX_DECODE_BYTES) -> str | None:
    """Why a picture asks for more work or memory than any honest one does, as the end of a sentence; None: it does not.

    The time of a JPEG is its scans × its pixels: a file of 55 kB can ask for thousands of scans.
    """
    if structure.decode_bytes > max_decode_bytes:
        return (
            f"decoding its {structure.width:,} × {structure.height:,} pixels would take about "
            f"{structure.decode_bytes / 1e9:.1f} GB of memory, expected at most {max_decode_bytes / 1e9:.1f} GB"
        )
    shorter, longer = sorted((structure.width, structure.height))
    if longer > MAX_ELONGATION * shorter > 0:
        return (
            f"it is {structure.width:,} × {structure.height:,} pixels, "
            f"expected at most {MAX_ELONGATION:,} times as long as it is short: cut it into pieces"
        )
    most = min(MAX_SCANS, max(USUAL_SCANS, MAX_SCAN_PIXELS // max(1, structure.pixels)))
    if structure.scans > most:
        return f"it is built up of {structure.scans:,} scans, expected at most {most} for its size"
    return None
