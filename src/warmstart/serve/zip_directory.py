"""The directory of a zip, looked at before a library reads it into memory: where it lies, how long it is, how many entries it has.

Whatever the end records say is compared with what is there. One reading only is allowed: records that contradict each other, the file
or the directory are refused, because another program would read another zip. PKWARE's APPNOTE 4.3.12 to 4.3.16.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from zipfile import ZipInfo

from warmstart.serve.errors import ApiError

ENTRY_BYTES = 400  # of the directory, for each entry that is allowed: names of that length are refused anyway
END = b"PK\x05\x06"
_END, _LOCATOR, _END64 = struct.Struct("<4s4H2IH"), struct.Struct("<4sIQI"), struct.Struct("<4sQ2H2I4Q")
_HEADER = struct.Struct("<4s24x3H12x")  # of an entry: signature; lengths of name, extra field and comment
_LOCAL_BYTES = 30
_LONGEST_COMMENT = 65_535


def check_directory(archive: Path, most_entries: int) -> int:
    """Where the directory begins. Raises ApiError 413, 415 or 422; reads little whatever the records say."""
    size = archive.stat().st_size
    with archive.open("rb") as file:
        at, directory, recorded, modulo = _end(file, size)
        if directory > most_entries * ENTRY_BYTES:
            raise too_many_entries(most_entries)
        start = at - directory
        file.seek(start)
        count, left = 0, directory
        while left > 0:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(b"PK\x01\x02"):
                raise damaged("its directory is not where its last bytes say")
            rest = sum(_HEADER.unpack(header)[1:])
            file.seek(rest, 1)
            left -= _HEADER.size + rest
            count += 1
            if count > most_entries:
                raise too_many_entries(most_entries)
        if left < 0:
            raise damaged("its directory is longer than its last bytes say")
        if count % modulo != recorded:
            raise damaged(f"its last bytes tell of {recorded:,} entries, and its directory has {count:,}")
    return start


def check_places(entries: Sequence[ZipInfo], directory_start: int) -> None:
    """Raises ApiError where entries share bytes, or lie in the directory: a few bytes could be unpacked many times."""
    ends = directory_start
    for entry in sorted(entries, key=lambda entry: entry.header_offset, reverse=True):
        name = len(entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437"))
        if entry.header_offset + _LOCAL_BYTES + name + entry.compress_size > ends:
            raise ApiError(
                413,
                "zip-bomb",
                found=f"a zip that was not unpacked, because the bytes of {entry.orig_filename[:200]!r} are also another entry's",
                expected="bytes of its own for every entry",
                fix="pack the folder of class folders again",
            )
        ends = entry.header_offset


def _end(file: IO[bytes], size: int) -> tuple[int, int, int, int]:
    """Where the directory ends, its bytes, how many entries are recorded, and modulo what that is counted."""
    begin = max(0, size - _END.size - _LONGEST_COMMENT - _LOCATOR.size - _END64.size)
    file.seek(begin)
    tail = file.read()
    place = tail.rfind(END)
    if place < 0:
        head = tail[:4] if begin == 0 else b""
        raise ApiError(
            415 if not head.startswith(b"PK") else 422,
            "not-a-zip",
            found="a file that is no zip, or only the beginning of one",
            expected="a whole zip file of a folder of class folders",
            fix="pack and send it again",
        )
    if len(tail) - place < _END.size:
        raise damaged("it ends within its last record")
    _, disk, disk_start, here, entries, directory, offset, comment = _END.unpack_from(tail, place)
    if place + _END.size + comment != len(tail):
        raise damaged("its last record is not its end")
    at, short = begin + place, (here, entries, directory, offset)
    if tail[max(0, place - _LOCATOR.size) : place].startswith(b"PK\x06\x07"):
        before = place - _LOCATOR.size - _END64.size
        if before < 0 or not tail.startswith(b"PK\x06\x06", before):
            raise damaged("its zip64 record is not where it belongs")
        _, locator_disk, record, disks = _LOCATOR.unpack_from(tail, place - _LOCATOR.size)
        _, length, _, _, disk, disk_start, here, entries, directory, offset = _END64.unpack_from(tail, before)
        full = (here, entries, directory, offset)
        told_otherwise = any(
            s not in (f, most) for s, f, most in zip(short, full, (0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1), strict=True)
        )
        if locator_disk or disks > 1 or record != begin + before or length != _END64.size - 12 or told_otherwise:
            raise damaged("its zip64 record and its last record contradict each other")
        at, modulo = begin + before, 2**64
    else:
        modulo = 2**16  # macOS's Archive Utility counts on from 0 behind 65,535
    if disk or disk_start or here != entries:
        raise damaged("it is a part of several")
    if offset + directory != at:
        raise damaged("its directory is not where its last bytes say")
    return at, directory, entries, modulo


def damaged(why: str) -> ApiError:
    """422 for a file that no program would make on purpose."""
    return ApiError(
        422,
        "damaged-archive",
        found=f"a zip that cannot be unpacked ({why})",
        expected="a whole zip file of a folder of class folders",
        fix="pack and send it again",
    )


def too_many_entries(most: int) -> ApiError:
    """413."""
    return ApiError(
        413,
        "too-many-files",
        found="a zip with more entries than that",
        expected=f"at most {most:,}",
        fix="send fewer pictures, or name a folder of the server",
    )
