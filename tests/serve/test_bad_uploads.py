"""Over the network comes what is not as it should be: each gets a 4xx that says why; the server lives, the disk is as before."""

import io
import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_shape
from warmstart.serve import body, uploads
from warmstart.serve.errors import ApiError
from warmstart.serve.settings import Limits
from warmstart.serve.uploads import unpack
from warmstart.serve.zip_directory import check_directory

PREDICT, DATASETS = "/api/models/shapes/predict", "/api/datasets"


def picture(seed: int = 0, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    draw_shape("circle", seed).save(buffer, kind)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says that it is 30,000 × 30,000."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


GOOD = tuple((f"{name}/{i}.png", picture(i)) for name in ("cat", "dog") for i in range(2))


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry, target.encode()


def encrypted() -> bytes:
    content = bytearray(zipped(*GOOD))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 1)
    return bytes(content)


def corrupted() -> bytes:
    """One byte of a picture is another than its checksum says."""
    content = bytearray(zipped(*GOOD, compression=zipfile.ZIP_STORED))
    at = content.find(b"IDAT") + 12
    content[at] ^= 0xFF
    return bytes(content)


def marked(mode: int, name: str = "cat/9.png") -> tuple[zipfile.ZipInfo, bytes]:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry, picture()


def flagged(flag: int) -> bytes:
    content = bytearray(zipped(*GOOD))
    at = content.find(b"PK\x01\x02")
    content[at + 8 : at + 10] = (int.from_bytes(content[at + 8 : at + 10], "little") | flag).to_bytes(2, "little")
    return bytes(content)


def parts(content: bytes) -> tuple[bytes, bytes, tuple[int, ...]]:
    """Entries, directory, and the numbers of the last record of a zip without a comment."""
    numbers = struct.unpack("<4s4H2IH", content[-22:])[1:]
    return content[: numbers[5]], content[numbers[5] : -22], numbers


def ended(entries: bytes, directory: bytes, *, comment: bytes = b"", before: bytes = b"", **other: int) -> bytes:
    """A zip with an end record of one's own: ``other`` than the truth, as asked for."""
    count = directory.count(b"PK\x01\x02")
    told = {"disk": 0, "disk_start": 0, "here": count, "count": count, "size": len(directory), "offset": len(entries)} | other
    return entries + directory + before + struct.pack("<4s4H2IH", b"PK\5\6", *told.values(), len(comment)) + comment


def zip64(content: bytes, short: dict[str, int] | None = None, locator: int = 0, gap: bytes = b"", **other: int) -> bytes:
    """With a zip64 record as well, which says ``other`` than the truth."""
    entries, directory, _ = parts(content)
    count = directory.count(b"PK\x01\x02")
    told = {"disk": 0, "disk_start": 0, "here": count, "count": count, "size": len(directory), "offset": len(entries)} | other
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, *told.values())
    where = struct.pack("<4sIQI", b"PK\6\7", 0, len(entries) + len(directory) + locator, 1)
    return ended(entries, directory, before=record + gap + where, **(short or {}))


def many_entries_said_to_be_one(count: int = 1001) -> bytes:
    """As short as entries get, so that the bytes of the directory are within what is allowed; each record says that there is one."""
    header = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    return ended(b"", header * count, here=1, count=1)


def overlapping(shift: int) -> bytes:
    """Every entry points to the bytes of the first, or into them. (D. Fifield, A better zip bomb, WOOT 2019.)"""
    content = bytearray(zipped(*((f"cat/{i}.png", picture()) for i in range(4)), compression=zipfile.ZIP_STORED))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 42 : at + 46] = shift.to_bytes(4, "little")
        at = content.find(b"PK\x01\x02", at + 1)
    return bytes(content)


def renamed(old: bytes, new: bytes) -> bytes:
    """A name of the same length, in the directory alone."""
    assert len(old) == len(new)
    content = zipped(*GOOD)
    at = content.rfind(old)
    return content[:at] + new + content[at + len(old) :]


PLAIN = zipped(*GOOD)

ZIPS: dict[str, tuple[Callable[[], bytes], int, str, str]] = {
    "climbs out": (lambda: zipped(*GOOD, ("../../evil.png", picture())), 422, "unsafe-path", "leads out"),
    "climbs out with backslashes": (
        lambda: zipped(*GOOD, ("cat\\..\\..\\evil.png", picture())),
        422,
        "unsafe-path",
        "leads out",
    ),
    "absolute": (lambda: zipped(*GOOD, ("/etc/evil.png", picture())), 422, "unsafe-path", "absolute"),
    "drive": (lambda: zipped(*GOOD, ("C:/evil.png", picture())), 422, "unsafe-path", "absolute"),
    "control characters": (lambda: zipped(*GOOD, ("cat/a\nb.png", picture())), 422, "unsafe-path", "control"),
    "deep": (lambda: zipped(*GOOD, ("a/" * 30 + "x.png", picture())), 422, "unsafe-path", "deeper"),
    "long name": (lambda: zipped(*GOOD, ("cat/" + "x" * 250 + ".png", picture())), 422, "unsafe-path", "more than 200 bytes"),
    "link": (lambda: zipped(*GOOD, link("cat/9.png", "/etc/passwd")), 422, "link", "symbolic link"),
    "linked folder": (lambda: zipped(link("cat", "/tmp"), *GOOD), 422, "link", "symbolic link"),
    "ratio": (lambda: zipped(*GOOD, ("cat/9.bmp", bytes(9_000_000))), 413, "zip-bomb", "grows to 9,000,000"),
    "total": (
        lambda: zipped(*GOOD, *((f"cat/{i}.bmp", bytes(900_000)) for i in range(10, 40))),
        413,
        "zip-bomb",
        "more than 20,000,000",
    ),
    "entries": (lambda: zipped(*((f"cat/{i}.png", b"") for i in range(1001))), 413, "too-many-files", "at most 1,000"),
    "encrypted": (encrypted, 422, "encrypted", "password"),
    "unusual packing": (lambda: zipped(*GOOD, compression=zipfile.ZIP_LZMA), 422, "compression", "unusual"),
    "truncated": (lambda: zipped(*GOOD)[:2000], 422, "not-a-zip", "only the beginning"),
    "corrupted": (corrupted, 422, "damaged-archive", "cannot be unpacked"),
    "no zip": (lambda: b"hello" * 100, 415, "not-a-zip", "no zip"),
    "empty": (lambda: zipped(), 422, "no-pictures", "nothing in the upload"),
    "no pictures": (lambda: zipped(("cat/a.txt", b"x"), ("dog/b.txt", b"y")), 422, "no-pictures", "none of them a picture"),
    "a zip in a zip": (lambda: zipped(("cat/inner.zip", zipped(*GOOD))), 422, "no-pictures", "none of them a picture"),
    "one class": (lambda: zipped(*GOOD[:2]), 422, "data", "class"),
    "no class": (lambda: zipped(("1.png", picture()), ("2.png", picture(1))), 422, "data", "class"),
    "device of windows": (lambda: zipped(*GOOD, ("nul/9.png", picture())), 422, "unsafe-path", "device on Windows"),
    "device with an ending": (lambda: zipped(*GOOD, ("cat/COM1.tar.png", picture())), 422, "unsafe-path", "device on Windows"),
    "network path": (lambda: zipped(*GOOD, ("\\\\host\\share\\9.png", picture())), 422, "unsafe-path", "absolute"),
    "long path": (lambda: zipped(*GOOD, ("/".join(["x" * 150] * 7) + "/9.png", picture())), 422, "unsafe-path", "1,000 bytes"),
    "zero in a name": (lambda: renamed(b"dog/1.png", b"dog/1\0png"), 422, "unsafe-path", "control"),
    "other names in entry and directory": (lambda: renamed(b"dog/1.png", b"dog/2.png"), 422, "damaged-archive", "differ"),
    "the same name twice": (
        lambda: zipped(*GOOD).replace(b"dog/1.png", b"dog/0.png"),
        422,
        "duplicate",
        "there twice",
    ),
    "setuid": (lambda: zipped(*GOOD, marked(stat.S_IFREG | 0o4755)), 422, "special-mode", "setuid"),
    "setgid": (lambda: zipped(*GOOD, marked(stat.S_IFREG | 0o2755)), 422, "special-mode", "setgid"),
    "sticky": (lambda: zipped(*GOOD, marked(stat.S_IFREG | 0o1755)), 422, "special-mode", "sticky"),
    "setuid folder": (lambda: zipped(*GOOD, marked(stat.S_IFDIR | 0o4755, "cat/")), 422, "special-mode", "setuid"),
    "pipe": (lambda: zipped(*GOOD, marked(stat.S_IFIFO | 0o644)), 422, "link", "a device or pipe"),
    "device": (lambda: zipped(*GOOD, marked(stat.S_IFBLK | 0o644)), 422, "link", "a device or pipe"),
    "strongly encrypted": (lambda: flagged(0x40), 422, "encrypted", "password"),
    "patched": (lambda: flagged(0x20), 422, "damaged-archive", "patched"),
    "overlapping": (lambda: overlapping(0), 413, "zip-bomb", "also another entry's"),
    "in the directory": (lambda: overlapping(10**6), 413, "zip-bomb", "also another entry's"),
    "more entries than it says": (many_entries_said_to_be_one, 413, "too-many-files", "at most 1,000"),
    "a few more entries than it says": (lambda: many_entries_said_to_be_one(3), 422, "damaged-archive", "has 3"),
    "zip64 says a longer directory": (lambda: zip64(PLAIN, size=2**40), 422, "damaged-archive", "contradict"),
    "zip64 alone says a longer directory": (
        lambda: zip64(PLAIN, {"size": 2**32 - 1}, size=2**40),
        422,
        "damaged-archive",
        "directory is not where",
    ),
    "zip64 says more entries": (
        lambda: zip64(PLAIN, {"here": 0xFFFF, "count": 0xFFFF}, here=10**12, count=10**12),
        422,
        "damaged-archive",
        "1,000,000,000,000 entries",
    ),
    "zip64 record elsewhere": (lambda: zip64(PLAIN, locator=-5), 422, "damaged-archive", "contradict"),
    "zip64 record that is not there": (lambda: zip64(PLAIN, gap=b"xx"), 422, "damaged-archive", "not where it belongs"),
    "zip64 on other disks": (lambda: zip64(PLAIN, disk=1), 422, "damaged-archive", "part of several"),
    "other disks": (lambda: ended(*parts(PLAIN)[:2], disk=1), 422, "damaged-archive", "part of several"),
    "directory elsewhere": (lambda: ended(*parts(PLAIN)[:2], offset=7), 422, "damaged-archive", "directory is not where"),
    "directory shorter than said": (
        lambda: ended(*parts(PLAIN)[:2], size=parts(PLAIN)[2][4] - 10, offset=parts(PLAIN)[2][5] + 10),
        422,
        "damaged-archive",
        "directory is not where",
    ),
    "something behind it": (lambda: PLAIN + b"more", 422, "damaged-archive", "not its end"),
    "something before it": (lambda: b"#!/bin/sh" + PLAIN, 422, "damaged-archive", "directory is not where"),
    "two ends": (lambda: ended(*parts(PLAIN)[:2], comment=zipped()), 422, "damaged-archive", "directory is not where"),
    "larger than allowed": (lambda: bytes(5_000_001), 413, "too-large", "at most 5,000,000"),
}


@pytest.fixture
def disk(served: TestClient) -> Callable[[], tuple[int, list[str]]]:
    """Bytes and folders of data sets under the server's home."""
    home = Path(served.app.state.server.settings.home)  # type: ignore[attr-defined]

    def used() -> tuple[int, list[str]]:
        files = [p for place in ("datasets", "tmp", "piles") for p in (home / place).rglob("*")]
        return sum(p.lstat().st_size for p in files if p.is_file()), sorted(map(str, files))

    return used


@pytest.mark.parametrize("name", ZIPS)
@pytest.mark.parametrize("way", ["raw", "form"])
def test_a_zip_that_is_not_as_it_should_be_is_refused_whole(
    served: TestClient, disk: Callable[[], object], name: str, way: str
) -> None:
    make, status, kind, words = ZIPS[name]
    before, content = disk(), make()
    if way == "raw":
        answer = served.post(DATASETS, content=content, headers={"Content-Type": "application/zip"})
    else:
        answer = served.post(DATASETS, files={"file": ("photos.zip", content, "application/zip")})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["kind"] == kind
    assert words in error["message"]
    assert str(served.app.state.server.settings.home) not in error["message"]  # type: ignore[attr-defined]
    assert disk() == before
    assert served.get("/api/health").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        zip64(PLAIN),
        zip64(PLAIN, {"here": 0xFFFF, "count": 0xFFFF, "size": 2**32 - 1, "offset": 2**32 - 1}),
        ended(*parts(PLAIN)[:2], comment=b"packed by hand"),
        zipped(*GOOD, marked(stat.S_IFDIR | 0o3775, "cat/")),  # folders of a disk that is shared
        zipped(*GOOD, ("CAT/0.png", picture()), ("cat/0.PNG", picture())),
    ],
    ids=["zip64", "zip64 alone", "comment", "shared folder", "case twins"],
)
def test_a_zip_that_is_only_unusual_is_taken(served: TestClient, content: bytes) -> None:
    answer = served.post(DATASETS, content=content, headers={"Content-Type": "application/zip"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["upload"]["pictures"] + answer.json()["upload"]["left_out"] >= 4
    served.delete(f"{DATASETS}/{answer.json()['id']}")


def test_more_entries_than_16_bits_count_are_counted_as_macos_does(tmp_path: Path) -> None:
    header = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    (tmp_path / "x.zip").write_bytes(ended(b"", header * 65_540, here=4, count=4))
    assert check_directory(tmp_path / "x.zip", 100_000) == 0


def test_a_zip_that_says_one_entry_and_has_very_many_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZipFile", None)  # which reads them all
    (tmp_path / "x.zip").write_bytes(many_entries_said_to_be_one(200_000))
    with pytest.raises(ApiError, match="more entries"):
        unpack(tmp_path / "x.zip", tmp_path, Limits())


def test_a_small_zip_may_not_become_very_many_pictures_that_each_hardly_grow_too_much(tmp_path: Path) -> None:
    content = zipped(*((f"cat/{i}.bmp", bytes(900_000)) for i in range(70)))
    (tmp_path / "x.zip").write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(ApiError, match="bytes grow to 63,000,000"):
        unpack(tmp_path / "x.zip", tmp_path / "out", Limits())
    assert list((tmp_path / "out").iterdir()) == []


def test_a_fault_of_the_servers_disk_is_not_called_the_zips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/secret")

    monkeypatch.setattr(uploads, "_write_all", denied)
    (tmp_path / "x.zip").write_bytes(PLAIN)
    with pytest.raises(PermissionError):
        unpack(tmp_path / "x.zip", tmp_path, Limits())


def test_a_zip_whose_directory_lies_about_sizes_is_stopped_while_it_is_unpacked(
    served: TestClient, disk: Callable[[], object]
) -> None:
    content = bytearray(zipped(*GOOD, ("cat/9.bmp", bytes(900_000))))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.rfind(signature)
        content[at + offset : at + offset + 4] = (1000).to_bytes(4, "little")
    before = disk()
    answer = served.post(DATASETS, content=bytes(content), headers={"Content-Type": "application/zip"})
    assert answer.status_code == 422
    assert answer.json()["error"]["kind"] == "damaged-archive"
    assert disk() == before


def test_a_good_zip_becomes_a_data_set_without_the_folders_above_and_without_clutter(served: TestClient) -> None:
    content = zipped(
        *((f"photos/2024/{name}", data) for name, data in GOOD),
        ("photos/2024/cat/notes.txt", b"x"),
        ("__MACOSX/photos/._x.png", b"x"),
        ("photos/.DS_Store", b"x"),
    )
    answer = served.post(DATASETS, files={"file": ("Holiday photos.zip", content, "application/zip")})
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert document["name"] == "Holiday photos"
    assert {c["name"]: c["images"] for c in document["classes"]} == {"cat": 2, "dog": 2}
    assert document["upload"]["left_out_names"] == ["photos/2024/cat/notes.txt"]
    address = f"{DATASETS}/{document['id']}"
    shown = served.get(f"{address}/pictures?class=dog").json()
    assert [p["path"] for p in shown["pictures"]] == ["dog/0.png", "dog/1.png"]
    small = served.get(f"{address}/pictures/{shown['pictures'][0]['n']}?size=32")
    assert small.headers["content-type"] == "image/jpeg"
    assert small.content.startswith(b"\xff\xd8\xff")
    assert served.get(f"{address}/pictures/99").status_code == 404
    assert served.delete(address).status_code == 204
    assert served.get(address).status_code == 404


def test_files_of_a_dropped_folder_keep_their_classes(served: TestClient) -> None:
    files = [("file", (f"photos/{name}", content, "image/png")) for name, content in GOOD]
    answer = served.post(DATASETS, files=files)
    assert answer.status_code == 201, answer.text
    assert [c["name"] for c in answer.json()["classes"]] == ["cat", "dog"]
    assert answer.json()["name"] == "photos"
    served.delete(f"{DATASETS}/{answer.json()['id']}")
    climbing = [*files, ("file", ("../../evil.png", picture(), "image/png"))]
    refused = served.post(DATASETS, files=climbing)
    assert refused.json()["error"]["kind"] == "unsafe-path"


PICTURES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "text": (lambda: b"hello", 415, "not-a-picture"),
    "empty": (lambda: b"", 422, "empty"),
    "bomb": (bomb, 413, "too-large"),
    "truncated": (lambda: picture()[:400], 422, "truncated"),
    "too many bytes": (lambda: bytes(500_001), 413, "too-large"),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(500), 415, "unsupported"),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("way", ["raw", "form"])
def test_what_is_no_usable_picture_is_refused_with_its_reason(served: TestClient, name: str, way: str) -> None:
    make, status, kind = PICTURES[name]
    if way == "raw":
        answer = served.post(PREDICT, content=make(), headers={"Content-Type": "image/jpeg"})
    else:
        answer = served.post(PREDICT, files={"file": ("x.jpg", make(), "image/jpeg")})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (status, kind), answer.text


def test_other_requests_that_do_not_fit_are_refused(served: TestClient) -> None:
    def refused(status: int, kind: str, answer: object, words: str) -> None:
        assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
        error = answer.json()["error"]  # type: ignore[attr-defined]
        assert error["kind"] == kind
        assert words in error["message"]

    one = {"file": ("x.png", picture(), "image/png")}
    refused(404, "unknown-model", served.post("/api/models/shape/predict", files=one), "did you mean 'shapes'?")
    refused(415, "content-type", served.post(PREDICT, content=b"x", headers={"Content-Type": "text/plain"}), "curl -F")
    refused(415, "content-type", served.post(PREDICT, content=b"x"), "no Content-Type")
    refused(415, "content-type", served.post(DATASETS, content=b"x", headers={"Content-Type": "text/plain"}), "curl -F")
    many = [("file", (f"{i}.png", picture(), "image/png")) for i in range(21)]
    refused(413, "too-many-files", served.post(PREDICT, files=many), "at most 20")
    thousand = [("file", (f"cat/{i}.png", b"x", "image/png")) for i in range(1001)]
    refused(413, "too-many-files", served.post(DATASETS, files=thousand), "at most 1,000")
    refused(413, "too-large", served.post(PREDICT, content=bytes(600_000), headers={"Content-Type": "image/png"}), "600,000")
    refused(422, "no-pictures", served.post(PREDICT, files={"file": (None, b"text")}), "without a file")
    for path in ("/api/datasets/none", "/api/runs/none", "/api/piles/none"):
        assert served.get(path).status_code == 404
    refused(404, "unknown-address", served.get("/api/nothing"), "openapi.json")
    refused(422, "request", served.post("/api/runs", json={"dataset": 3}), "dataset")
    refused(422, "unknown-name", served.post("/api/runs", json={"dataset": "x", "plan": {"head": "liner"}}), "Did you mean")
    secret = {"dataset": "x", "plan": {"weights": "/etc/passwd"}}
    refused(422, "unknown-name", served.post("/api/runs", json=secret), "default, random")


@pytest.mark.parametrize(
    ("plan", "kind", "words"),
    [
        ({"class_weight": "balance"}, "unknown-name", "Did you mean 'balanced'"),
        ({"engine": "tensorrt"}, "unknown-name", "auto, openvino, pytorch"),
        ({"precision": "int8"}, "unknown-name", "auto, bf16, f32"),
        ({"class_weight": "balance", "engine": "tensorrt", "precision": "int8"}, "usage", "tensorrt.*int8.*balance"),
        ({"cut": "stag5"}, "unknown-name", "has no cut 'stag5'"),
        ({"cut": "pooled", "augment": "flip"}, "usage", "nothing of it is trained"),
        ({"cut": "pixels", "head": "svm"}, "usage", "no features for a head"),
        ({"cut": "auto", "head": "svm"}, "usage", "leaves the recipe to what is measured"),
        ({"threshold": 0.4}, "usage", "name it with --positive"),
        ({"cut": "stage5", "training": {"epochs": 1.5}}, "usage", "expected a whole number"),
        ({"batch_size": 2000}, "usage", "at most 1024"),
        ({"positive": "\ud800"}, "usage", "lone surrogates"),
    ],
)
def test_a_plan_that_no_run_can_be_made_of_is_refused_at_once_and_starts_no_job(
    served: TestClient, plan: dict[str, object], kind: str, words: str
) -> None:
    before = served.get("/api/runs").json()
    answer = served.post(
        "/api/runs", content=json.dumps({"dataset": "x", "plan": plan}), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["kind"]) == (422, kind)
    assert re.search(words, answer.json()["error"]["message"])
    assert served.get("/api/runs").json() == before


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n' + picture()[:200], "truncated-upload"),
        (b"not a form at all", "malformed-form"),
        (b"", "truncated-upload"),
    ],
)
def test_a_form_that_ends_early_is_refused_and_leaves_nothing(
    served: TestClient, disk: Callable[[], object], body: bytes, kind: str
) -> None:
    before = disk()
    for address in (PREDICT, DATASETS):
        answer = served.post(address, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (400, kind)
    assert served.post(PREDICT, content=body, headers={"Content-Type": "multipart/form-data"}).status_code == 400
    assert disk() == before


def test_the_header_of_a_part_is_bounded_whichever_parser_reads_it() -> None:
    reader = body._FormReader(10, 10, None)
    reader._begin()
    for _ in range(100):
        reader._value(b"x" * 1000, 0, 1000)
    assert reader.refusal is not None
    assert (reader.refusal.status, reader.refusal.kind) == (413, "too-large")
    assert len(reader._header_value) <= 8000


def test_only_folders_inside_the_allowed_roots_are_read(served: TestClient, shapes: Path, tmp_path: Path) -> None:
    outside = [str(tmp_path), "/etc", "/nowhere", f"{shapes}/../../..", "shapes", "\0"]
    (shapes.parent / "way-out").symlink_to(tmp_path)
    for folder in [*outside, str(shapes.parent / "way-out")]:
        answer = served.post(DATASETS, json={"folder": folder})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "outside-roots"), folder
    answer = served.post(DATASETS, json={"folder": str(shapes)})
    assert answer.status_code == 201
    assert answer.json()["images"] == 24
    address = f"{DATASETS}/{answer.json()['id']}"
    assert served.get(f"{address}/pictures/0").status_code == 200
    served.delete(address)
    assert len(list(shapes.rglob("*.png"))) == 12  # not ours to remove
