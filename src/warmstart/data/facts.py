"""What the bytes of a picture say, found once when they are hashed (`records.Facts`): header, pages, damage, and what its conversion loses.

Where 8-bit colour or grey goes into the network as it is, no pixel is decoded for that.
"""

from dataclasses import replace

from warmstart.data.decoding import decoded, read_header
from warmstart.data.depth import rule_of
from warmstart.data.examination import examine
from warmstart.data.formats import SNIFF_BYTES, sniff
from warmstart.data.hashing import digest
from warmstart.errors import PictureError
from warmstart.records import Facts, ValueRange

_SIDE_PX = 128  # a four-colour JPEG is decoded small


def facts_of(content: bytes) -> Facts:
    """The facts of one encoded picture. Raises PictureError where it cannot be used at all."""
    header = read_header(content)
    plain = Facts(
        format=header.format,
        width=header.width,
        height=header.height,
        mode=header.mode,
        pages=header.pages,
        damage=damage_of(content),
    )
    if not header.converts:
        return plain
    flat = decoded(content, shorter_side_px=_SIDE_PX)
    return replace(plain, cure=flat.cure, lost=flat.lost, depth=flat.depth)


def check_intact(content: bytes, name: str | None = None) -> None:
    """Raises PictureError 'damaged' for bytes that decode although they are not whole."""
    damage = damage_of(content, name)
    if damage is not None:
        shown = repr(name) if name is not None else f"a picture of {len(content)} bytes"
        raise PictureError("damaged", damage_message(shown, damage))


def damage_of(content: bytes, name: str | None = None) -> str | None:
    """What is wrong with bytes that decode all the same, as the end of a sentence; None where nothing was found.

    Raises PictureError for bytes that are so damaged that they do not decode.
    """
    format_name = sniff(content[:SNIFF_BYTES])
    damage = None if format_name is None else examine(content, format_name).damage
    if damage is not None:
        decoded(content, shorter_side_px=_SIDE_PX, name=name)
    return damage


def damage_message(shown: str, damage: str | None) -> str:
    """What is said of a damaged picture."""
    return f"{shown} can be decoded but is damaged: {damage}. Copy it again from its source, or use it as it is with --keep-damaged"


def row_identity(content_digest: bytes, facts: Facts | None, values: ValueRange) -> bytes:
    """What a picture's rows are stored under, 16 bytes: its digest, and for another than plain conversion its rule as well.

    8-bit grey and colour as it is, and transparency on white, stand under the digest alone, as they always did.
    """
    rules = []
    if facts is not None and facts.depth is not None:
        rules.append(rule_of(facts.depth, values))
    if facts is not None and facts.cure is not None:
        rules.append(facts.cure)
    return digest(b"\n".join([content_digest, *(rule.encode("ascii") for rule in rules)])) if rules else content_digest
