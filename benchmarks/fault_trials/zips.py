"""Hostile archives sent to a server as data sets: taken for what is really in them, or refused by a sentence, and soon."""

import io
import random
import resource
import stat
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fault_trials.server import REQUEST_S, Server
from fault_trials.trial import Outcome, Place

ZIPS = "hostile archive"
SCENARIOS = {ZIPS: 50}
MOST_MEMORY_MIB = 400  # more than before, for the server


def trials(place: Place, scenario: str, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One archive a number: a kind of attack, with sizes drawn."""
    pictures = [path.read_bytes() for path in sorted(place.shapes.rglob("*.png"))[:6]]
    home = place.new("home-zips")
    with Server(place, home) as server:
        assert server.process is not None
        before = _memory_mib(server.process.pid)
        for number in numbers:
            draw = place.random(scenario, number)
            kind = list(_KINDS)[number % len(_KINDS)]
            content = _KINDS[kind](draw, pictures)
            begin = time.perf_counter()
            try:
                answer = server.client.post("/api/datasets", content=content, headers={"Content-Type": "application/zip"})
                end, wrong = f"HTTP {answer.status_code}", answer.text if answer.status_code >= 500 else ""
            except Exception as reason:  # whatever a client meets is an outcome
                end, wrong = type(reason).__name__, repr(reason)
            seconds, more = time.perf_counter() - begin, _memory_mib(server.process.pid) - before
            wrong = wrong or (f"took {seconds:.1f} s" if seconds > REQUEST_S else "")
            wrong = wrong or (f"{more} MiB more" if more > MOST_MEMORY_MIB else "") or _escaped(home)
            yield Outcome(
                scenario=scenario, number=number, seed=place.seed, held=not wrong, end=end, detail=wrong and f"{kind}: {wrong}"
            )


def _memory_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def _escaped(home: Path) -> str:
    outside = [path for path in (home.parent / "evil.png", Path("/tmp/evil.png"), home / "evil.png") if path.exists()]
    links = [path for path in home.rglob("*") if path.is_symlink()]
    return f"files outside of their folder: {[*outside, *links]}" if outside or links else ""


def _archive(names: Sequence[str], pictures: Sequence[bytes], *, mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, name in enumerate(names):
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, pictures[i % len(pictures)])
    return buffer.getvalue()


_GOOD = [f"d/{name}/{i}.png" for i in range(4) for name in ("a", "b")]


def _lying_end(draw: random.Random, pictures: Sequence[bytes]) -> bytes:
    content = _archive(_GOOD, pictures)
    at = content.rindex(b"PK\5\6")
    count = draw.choice((0xFFFF, 0x7FFF, 0))
    return content[: at + 8] + struct.pack("<HH", count, count) + content[at + 12 :]


def _zip64(draw: random.Random, pictures: Sequence[bytes]) -> bytes:
    content = _archive(_GOOD, pictures)
    at = content.rindex(b"PK\5\6")
    size, offset = struct.unpack_from("<II", content, at + 12)
    count = draw.choice((2**40, 2**31, 5_000_000))
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:at] + record + locator + end


def _many(draw: random.Random, pictures: Sequence[bytes]) -> bytes:
    """More than a server takes by default (100,000)."""
    return _archive([f"d/a/{i}.png" for i in range(draw.choice((100_100, 150_000)))], [b"x"])


def _bomb(draw: random.Random, pictures: Sequence[bytes]) -> bytes:
    return _archive(_GOOD[:2], [bytes(draw.choice((100, 300)) * 2**20)])


def _overlap(draw: random.Random, pictures: Sequence[bytes]) -> bytes:
    """All entries of the directory point to the first one's data."""
    content = bytearray(_archive(_GOOD, [pictures[0]]))
    at = content.rindex(b"PK\5\6")
    (directory,) = struct.unpack_from("<I", content, at + 16)
    while content[directory : directory + 4] == b"PK\1\2":
        lengths = struct.unpack_from("<HHH", content, directory + 28)
        struct.pack_into("<I", content, directory + 42, 0)
        directory += 46 + sum(lengths)
    return bytes(content)


def _mutated(draw: random.Random, pictures: Sequence[bytes]) -> bytes:
    content = bytearray(_archive(_GOOD, pictures))
    for _ in range(draw.choice((1, 5, 50))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


_KINDS: dict[str, Callable[[random.Random, Sequence[bytes]], bytes]] = {
    "an end record that lies": _lying_end,
    "a zip64 record that lies": _zip64,
    "very many entries": _many,
    "a bomb": _bomb,
    "overlapping entries": _overlap,
    "changed bytes": _mutated,
    "names that climb": lambda draw, pictures: _archive([*_GOOD, "../" * draw.randrange(1, 9) + "evil.png"], pictures),
    "absolute names": lambda draw, pictures: _archive(
        [*_GOOD, draw.choice(("/tmp/evil.png", "C:\\evil.png", "\\\\x\\evil.png"))], pictures
    ),
    "a link": lambda draw, pictures: _archive(_GOOD, [b"/etc/passwd"], mode=stat.S_IFLNK | 0o777),
    "setuid": lambda draw, pictures: _archive(_GOOD, pictures, mode=stat.S_IFREG | 0o4755),
    "long names": lambda draw, pictures: _archive([*_GOOD, "d/a/" + "x" * draw.choice((300, 5000, 60_000)) + ".png"], pictures),
    "deep names": lambda draw, pictures: _archive([*_GOOD, "d/" * draw.choice((100, 10_000)) + "x.png"], pictures),
    "cut off": lambda draw, pictures: (whole := _archive(_GOOD, pictures))[: draw.randrange(len(whole))],
}
