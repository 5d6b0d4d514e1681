"""The body of a request, read piece by piece within limits: one picture as it is, or a form with fields and files.

Files of a form are kept in memory or streamed into a folder. Whatever is refused is refused as soon as it is seen, not after the
last byte; the caller removes the folder.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from warmstart.serve.errors import ApiError

FIELD_BYTES = 100_000
FIELDS = 100
PART_HEADER_BYTES = 8_000


@dataclass(kw_only=True)
class Upload:
    """One file of a form."""

    field: str
    name: str  # as the sender calls it: perhaps with folders, never to be trusted as a path
    content: bytes = b""  # where it is kept in memory
    path: Path | None = None  # where it was streamed to
    size_bytes: int = 0


@dataclass(kw_only=True)
class Form:
    """What a form brought."""

    fields: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)


def kind_of(request: Request) -> str:
    """The media type, without parameters, lower case; '' where none is given."""
    return parse_options_header(request.headers.get("content-type", ""))[0].decode("latin-1").lower()


async def read_bytes(request: Request, most: int) -> bytes:
    """The whole body. Raises ApiError 413."""
    pieces = [piece async for piece in _within(request, most)]
    return b"".join(pieces)


async def read_to_file(request: Request, path: Path, most: int) -> int:
    """Stream the body into a file; its size in bytes. Raises ApiError 413."""
    size = 0
    with path.open("wb") as file:
        async for piece in _within(request, most):
            size += len(piece)
            file.write(piece)
    return size


async def read_form(
    request: Request, *, most_bytes: int, most_files: int, most_file_bytes: int | None = None, folder: Path | None = None
) -> Form:
    """A multipart form. ``folder``: where files are streamed to, as 0, 1, …; None keeps them in memory. Raises ApiError 4xx."""
    boundary = parse_options_header(request.headers.get("content-type", ""))[1].get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise ApiError(
            400,
            "malformed-form",
            found="a multipart body without a usable boundary in Content-Type",
            fix="let the client library set Content-Type",
        )
    reader = _FormReader(most_files, most_file_bytes or most_bytes, folder)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        async for piece in _within(request, most_bytes):
            parser.write(piece)
            if reader.refusal:
                raise reader.refusal
    except FormParserError as reason:
        raise ApiError(400, "malformed-form", found=f"a form that cannot be read ({reason})", fix="send it again") from reason
    finally:
        reader.close()
    if not reader.ended:
        raise ApiError(
            400,
            "truncated-upload",
            found="a form that ends before its last boundary",
            expected="the whole form",
            fix="send it again",
        )
    return reader.form


async def _within(request: Request, most: int) -> AsyncIterator[bytes]:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > most:
        raise _too_large(f"a body of {int(announced):,} bytes", most)
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise _too_large("a body that is longer", most)
        if piece:
            yield piece


def _too_large(found: str, most: int) -> ApiError:
    return ApiError(413, "too-large", found=found, expected=f"at most {most:,} bytes", fix="send less at once")


class _FormReader:
    """Callbacks of the parser. A refusal is kept instead of raised: the parser is not to be left in the middle."""

    def __init__(self, most_files: int, most_file_bytes: int, folder: Path | None) -> None:
        self.form, self.ended = Form(), False
        self.refusal: ApiError | None = None
        self._most_files, self._most_file_bytes, self._folder = most_files, most_file_bytes, folder
        self._header_name, self._header_value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._upload: Upload | None = None
        self._name = ""
        self._pieces: list[bytes] = []
        self._size = self._header_bytes = 0
        self._file: BinaryIO | None = None

    def callbacks(self) -> dict[str, object]:
        """By the parser's names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header,
            "on_headers_finished": self._start,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def close(self) -> None:
        """Of whatever was being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers, self._pieces, self._size, self._header_bytes = {}, [], 0, 0
        self._upload = None

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += self._of_header(data[start:end])

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += self._of_header(data[start:end])

    def _of_header(self, piece: bytes) -> bytes:
        """As much of it as may be: parsers before python-multipart 0.0.27 take headers of any length."""
        self._header_bytes += len(piece)
        if self._header_bytes > PART_HEADER_BYTES:
            self._refuse(_too_large("the header of a part that is longer", PART_HEADER_BYTES))
            return b""
        return piece

    def _header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _start(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self.form.fields) >= FIELDS:
                self._refuse(ApiError(413, "too-many-fields", found="more fields", expected=f"at most {FIELDS}"))
            return
        if len(self.form.uploads) >= self._most_files:
            self._refuse(
                ApiError(
                    413,
                    "too-many-files",
                    found=f"more than {self._most_files:,} files in one request",
                    expected=f"at most {self._most_files:,}",
                    fix="send the others in another request",
                )
            )
            return
        self._upload = Upload(field=self._name, name=options[b"filename"].decode("utf-8", "replace"))
        if self._folder is not None:
            self._upload.path = self._folder / str(len(self.form.uploads))
            self._file = self._upload.path.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.refusal:
            return
        self._size += end - start
        if self._upload is None:
            if self._size > FIELD_BYTES:
                self._refuse(_too_large(f"a field {self._name!r} that is longer", FIELD_BYTES))
            self._pieces.append(data[start:end])
        elif self._size > self._most_file_bytes:
            self._refuse(_too_large(f"{self._upload.name!r}, which is larger", self._most_file_bytes))
        elif self._file is not None:
            self._file.write(data[start:end])
        else:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self.close()
        content = b"".join(self._pieces)
        if self._upload is None:
            self.form.fields[self._name] = content.decode("utf-8", "replace")
        else:
            self._upload.content, self._upload.size_bytes = content, self._size
            self.form.uploads.append(self._upload)

    def _finish(self) -> None:
        self.ended = True

    def _refuse(self, refusal: ApiError) -> None:
        self.refusal = self.refusal or refusal
