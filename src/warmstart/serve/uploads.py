"""Pictures that strangers send → a folder of class folders of our own making. Nothing of theirs is trusted as a path.

    zip    → its directory counted (zip_directory) → every entry checked → unpacked, counting → one common folder above taken away
    files  → every name checked ─────────────────────────↗

A zip with a single entry that is not as it should be (a path that leaves the folder, a link, a bomb) is refused whole: it was not made
by accident. Files that are no pictures are left out and counted.
"""

import errno
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from warmstart.data.formats import PICTURE_EXTENSIONS, SNIFF_BYTES, sniff
from warmstart.serve.body import Upload
from warmstart.serve.errors import ApiError
from warmstart.serve.settings import Limits
from warmstart.serve.zip_directory import check_directory, check_places, damaged, too_many_entries

DEEPEST = 12  # folders
LONGEST_NAME = 200  # bytes of a folder's or file's name
PIECE = 1 << 20
SPARE_BYTES = 200_000_000  # of the disk are left to others
RATIO_FROM_BYTES = 1_000_000  # smaller entries may shrink as they like
RATIO_OF_ALL_FROM_BYTES = 50_000_000  # and so may small zips as a whole
LONGEST_PATH = 1000  # bytes, folders and name together
_CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)  # of Windows
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags of an entry: its bytes, strongly, and the directory
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """What came of an upload."""

    pictures: int
    left_out: int  # files that are no pictures
    examples_left_out: tuple[str, ...]  # some of them
    bytes: int

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            "pictures": self.pictures,
            "left_out": self.left_out,
            "left_out_names": list(self.examples_left_out),
            "bytes": self.bytes,
        }


def safe_path(name: str, *, what: str = "an entry") -> PurePosixPath | None:
    """The relative path that ``name`` says, or None for a folder or clutter. Raises ApiError for one that could leave its place."""
    shown = name.encode("utf-8", "backslashreplace").decode()[:200]

    def refused(why: str) -> ApiError:
        return ApiError(
            422,
            "unsafe-path",
            found=f"{what} called {shown!r}, which {why}",
            expected="relative names such as cat/1.jpg",
            fix="pack the folder of class folders again",
        )

    text = name.replace("\\", "/")
    if text.startswith("/") or re.match(r"[A-Za-z]:", text):
        raise refused("is an absolute path")
    if _FORBIDDEN.search(text):
        raise refused("holds control characters")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refused("leads out of its folder")
    if len(parts) > DEEPEST:
        raise refused(f"lies deeper than {DEEPEST} folders")
    if any(_DEVICE.fullmatch(part) for part in parts):
        raise refused("is the name of a device on Windows")
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_NAME for part in parts):
        raise refused(f"has a name of more than {LONGEST_NAME} bytes")
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_PATH:
        raise refused(f"is longer than {LONGEST_PATH:,} bytes")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise refused("is not UTF-8") from None
    if text.endswith("/") or not parts or any(part.startswith(".") or part.lower() in _CLUTTER for part in parts):
        return None
    return PurePosixPath(*parts)


def unpack(archive: Path, folder: Path, limits: Limits) -> Unpacked:
    """The pictures of a zip into ``folder``, which is there and empty. Raises ApiError 413 or 422; the caller removes the folder."""
    start = check_directory(archive, limits.upload_files)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            wanted = _wanted(entries, limits, archive.stat().st_size)
            check_places(entries, start)
            _check_room(folder, sum(entry.file_size for entry, _ in wanted))
            return _write_all(opened, wanted, folder, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as reason:
        raise damaged(str(reason)) from reason
    except OSError as reason:
        if reason.errno != errno.EINVAL:  # the server's disk, and not a place in the zip that there is not
            raise
        raise damaged(str(reason.strerror)) from reason


def place(uploads: Sequence[Upload], folder: Path) -> Unpacked:
    """Streamed files into ``folder`` under the names they came with. Raises ApiError 422."""
    wanted = [(upload, safe_path(upload.name, what="a file")) for upload in uploads]
    prefix = _common([path for _, path in wanted if path is not None])
    left_out: list[str] = []
    pictures = size = 0
    for upload, path in wanted:
        assert upload.path is not None
        if path is None or not _is_picture(path.name, upload.path):
            left_out.append(upload.name)
            continue
        target = folder.joinpath(*path.parts[prefix:])
        if not _free(target):
            left_out.append(upload.name)
            continue
        shutil.move(upload.path, target)
        pictures, size = pictures + 1, size + upload.size_bytes
    return _checked(pictures, left_out, size)


def _wanted(
    entries: Sequence[zipfile.ZipInfo], limits: Limits, packed_bytes: int
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The entries that are files, each with its safe path. Raises ApiError for the first that is not as it should be."""
    wanted = []
    seen: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    total = 0
    for entry in entries:
        path = safe_path(entry.filename)
        safe_path(entry.orig_filename)  # the library ends a name at its first NUL, and takes another from an extra field
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "a device or pipe"
            raise _refused("link", entry, f"which is {kind}", "ordinary files", "pack the files themselves")
        if mode & (stat.S_ISUID if entry.is_dir() else _SPECIAL):  # folders of a shared disk have the others
            raise _refused(
                "special-mode", entry, "which is marked setuid, setgid or sticky", "ordinary files", "chmod a-st them"
            )
        if entry.flag_bits & _ENCRYPTED:
            raise _refused("encrypted", entry, "which is encrypted", "a zip without password", "pack it without one")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused("compression", entry, "packed in an unusual way", "deflate or store", "use an ordinary zip program")
        if entry.file_size > RATIO_FROM_BYTES and entry.file_size > limits.unpacked_ratio * max(1, entry.compress_size):
            raise _bomb(f"{_shown(entry)} grows to {entry.file_size:,} bytes from {entry.compress_size:,}", limits)
        total += entry.file_size
        if total > limits.unpacked_bytes:
            raise _bomb(f"its entries grow to more than {limits.unpacked_bytes:,} bytes", limits)
        if path is not None:
            if path in seen:
                raise _refused("duplicate", entry, "which is there twice", "one entry for each name", "pack the folder again")
            seen.add(path)
            folders.update(path.parents)
            if len(folders) > limits.upload_files:
                raise too_many_entries(limits.upload_files)
            wanted.append((entry, path))
    if total > RATIO_OF_ALL_FROM_BYTES and total > limits.unpacked_ratio * packed_bytes:
        raise _bomb(f"its {packed_bytes:,} bytes grow to {total:,}", limits)
    return wanted


def _write_all(
    opened: zipfile.ZipFile, wanted: Sequence[tuple[zipfile.ZipInfo, PurePosixPath]], folder: Path, limits: Limits
) -> Unpacked:
    prefix = _common([path for _, path in wanted])
    left_out: list[str] = []
    pictures = written = 0
    for entry, path in wanted:
        target = folder.joinpath(*path.parts[prefix:])
        with opened.open(entry) as source:
            first = source.read(SNIFF_BYTES)
            if not _looks_like_picture(path.name, first) or not _free(target):
                left_out.append(str(path))
                continue
            with target.open("xb") as file:
                while first:
                    written += len(first)
                    if written > limits.unpacked_bytes:  # whatever the directory said
                        raise _bomb(f"its entries grow to more than {limits.unpacked_bytes:,} bytes", limits)
                    file.write(first)
                    first = source.read(PIECE)
        pictures += 1
    return _checked(pictures, left_out, written)


def _checked(pictures: int, left_out: Sequence[str], size: int) -> Unpacked:
    if not pictures:
        raise ApiError(
            422,
            "no-pictures",
            found=f"{len(left_out)} files, none of them a picture" if left_out else "nothing in the upload",
            expected="folders of pictures, one for each class: cat/1.jpg, dog/2.jpg",
            fix="check what was packed",
        )
    return Unpacked(pictures=pictures, left_out=len(left_out), examples_left_out=tuple(left_out[:20]), bytes=size)


def _common(paths: Sequence[PurePosixPath]) -> int:
    """How many folders above the class folders all paths share: photos/cat/1.jpg, photos/dog/2.jpg → 1."""
    depth = 0
    while paths and all(len(path.parts) > depth + 2 for path in paths) and len({path.parts[depth] for path in paths}) == 1:
        if len({path.parts[depth + 1] for path in paths}) == 1 and all(len(path.parts) == depth + 3 for path in paths):
            break  # photos/cat/1.jpg alone: one class in one folder
        depth += 1
    return depth


def _free(target: Path) -> bool:
    """Make the folder of ``target``; whether nothing of that name is there yet."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):  # a file and a folder of one name
        return False
    return not os.path.lexists(target)


def _is_picture(name: str, path: Path) -> bool:
    with path.open("rb") as file:
        return _looks_like_picture(name, file.read(SNIFF_BYTES))


def _looks_like_picture(name: str, first: bytes) -> bool:
    """By its name, so that broken ones are named later and not lost, or by its first bytes."""
    return PurePosixPath(name).suffix.lower() in PICTURE_EXTENSIONS or sniff(first) is not None


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise ApiError(
            413,
            "no-room",
            found=f"pictures of {size:,} bytes, and {free:,} bytes free on the server's disk",
            fix="send fewer, or make room under the server's --home",
        )


def _bomb(why: str, limits: Limits) -> ApiError:
    return ApiError(
        413,
        "zip-bomb",
        found=f"a zip that was not unpacked, because {why}",
        expected=f"at most {limits.unpacked_bytes:,} bytes in all and {limits.unpacked_ratio:g} times its packed size for an entry",
        fix="send the pictures as they are; JPEG and PNG hardly shrink",
    )


def _refused(kind: str, entry: zipfile.ZipInfo, found: str, expected: str, fix: str) -> ApiError:
    return ApiError(422, kind, found=f"{_shown(entry)} in the zip, {found}", expected=expected, fix=fix)


def _shown(entry: zipfile.ZipInfo) -> str:
    return repr(entry.filename.encode("utf-8", "backslashreplace").decode()[:200])
