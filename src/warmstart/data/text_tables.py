"""A table in a text file, as spreadsheets and scripts write it → text, where its first line is, and its delimiter.

UTF-8 and UTF-16, each with a byte order mark or without; line ends LF, CRLF or CR; comma, semicolon, tab or bar; a first line `sep=;`, with
which Excel is told the delimiter.
"""

import codecs
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warmstart.data.formats import READABLE, UNREADABLE, sniff
from warmstart.errors import DataError

DELIMITERS = ",\t;|"
MAX_BYTES = 2**30  # ten million rows of a hundred characters
_FIRST_BYTES = 4096
_SEP = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class TextTable:
    """What `csv.reader` is to read."""

    text: str  # from the header on
    delimiter: str
    lines_before: int  # of the file, before the header


def read_text_table(path: str, columns: Sequence[str], *, expected: str) -> TextTable:
    """The table in a file that has some of these columns (lower case).

    ``expected``: what should stand there, for messages. Raises DataError.
    """
    text = _decoded(path, _content(path, expected), expected)
    lines_before, delimiter = 0, None
    while text.strip():
        line, text_after = _first_line(text)
        sep = _SEP.fullmatch(line)
        if line.strip() and not sep:
            break
        delimiter = sep[1] if sep else delimiter
        lines_before, text = lines_before + 1, text_after
    if not text.strip():
        raise DataError(f"{path!r} is empty, expected {expected}")
    # The delimiter with which the first line shows most of the known columns; a comma when none does.
    first = _first_line(text)[0]
    guess = max(DELIMITERS, key=lambda mark: _known(first.split(mark), columns))
    return TextTable(text, delimiter or guess, lines_before)


def check_is_readable(path: str, expected: str) -> None:
    """Raises DataError for what would be waited for in vain or never end: pipes, devices, gigabytes."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path!r} cannot be read ({reason}); expected {expected}: check it") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path!r} is a folder, expected {expected}: name a file")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path!r} is a pipe or device, expected {expected}: save it as a file first, then name that")
    if status.st_size > MAX_BYTES:
        raise DataError(
            f"{path!r} has {status.st_size:,} bytes, expected {expected} of at most {MAX_BYTES:,}: is it the right file? Else divide it"
        )


def _content(path: str, expected: str) -> bytes:
    try:
        check_is_readable(path, expected)
        with Path(path).open("rb") as file:
            start = file.read(_FIRST_BYTES)
            format_name = sniff(start)
            if format_name in READABLE or format_name in UNREADABLE or (b"\0" in start and _utf_16(start) is None):
                what = f"a {format_name} file" if format_name else "a binary file"
                raise DataError(f"{path!r} is {what}, expected {expected}: name another file, or a folder of class folders")
            return start + file.read()
    except OSError as error:
        raise DataError(f"{path!r} cannot be read ({error.strerror}); expected {expected}: check it") from error


def _decoded(path: str, content: bytes, expected: str) -> str:
    encoding = _utf_16(content[:_FIRST_BYTES])
    try:
        return content.decode(encoding or "utf-8-sig").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(
                f"{path!r} begins as UTF-16 and is damaged (byte {error.start:,}): save it as 'CSV UTF-8'"
            ) from error
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path!r} is not UTF-8 (line {line}), expected {expected}: save it as 'CSV UTF-8'") from error


def _utf_16(start: bytes) -> str | None:
    """'utf-16-le' or '-be', by a mark or because every other byte of the first letters is zero; None for anything else."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if start.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    even, odd = start[:16:2], start[1:16:2]
    if len(odd) >= 4 and not any(odd) and all(even):
        return "utf-16-le"
    if len(odd) >= 4 and not any(even) and all(odd):
        return "utf-16-be"
    return None


def _first_line(text: str) -> tuple[str, str]:
    line, *after = _LINE_END.split(text, maxsplit=1)
    return line, after[0] if after else ""


def _known(cells: Sequence[str], columns: Sequence[str]) -> int:
    return len({cell.strip().strip('"').strip().lower() for cell in cells} & set(columns))
