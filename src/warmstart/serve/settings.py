"""What a server serves, where it keeps things, and how much it takes from whoever asks."""

import ipaddress
from dataclasses import dataclass, field, fields
from pathlib import Path

from warmstart.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request may bring, and how much may wait. What goes over is refused with a message; nothing is cut off silently."""

    body_bytes: int = 64_000_000  # of a request that brings pictures
    picture_bytes: int = 32_000_000
    picture_pixels: int = 50_000_000
    pictures: int = 256  # in one request
    request_s: float = 8.0  # from the last byte of a request with pictures to its answer
    stuck_s: float = 3.0  # at one picture or batch; where every thread is, the server says that it is not ready
    header_s: float = 10.0  # until all of a request's header is there
    body_s: float = 10.0  # until the first bytes of a body; from there on they come at least as fast as that:
    body_bytes_per_s: int = 1000
    header_bytes: int = 64_000
    json_bytes: int = 8_000_000
    json_depth: int = 32
    pictures_waiting: int = 256  # for the engine, of all requests together
    batch: int = 64  # pictures that one call of the engine gets
    upload_bytes: int = 4_000_000_000  # of a data set, packed
    upload_files: int = 100_000
    unpacked_bytes: int = 16_000_000_000
    unpacked_ratio: float = 200.0  # of an entry of a zip; pictures hardly shrink at all
    jobs_waiting: int = 32
    models_in_memory: int = 8
    event_streams: int = 64
    explain_s: float = 120.0

    def __post_init__(self) -> None:
        wrong = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if not getattr(self, f.name) > 0]
        if wrong:
            raise UsageError(f"a limit must be above 0, found {', '.join(wrong)}")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """`warmstart serve`, as plain data."""

    models: tuple[str, ...] = ()  # model folders, run folders or 'imagenet:NAME'; or NAME=FOLDER
    models_folder: Path | None = None  # every model in it
    home: Path = Path("warmstart-home")  # data sets, runs, corrections and the database
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    roots: tuple[Path, ...] = ()  # folders of this machine that may be trained on
    allowed_hosts: tuple[str, ...] = ()  # names, beside its own, under which the server may be asked
    download: bool = False  # weights may be fetched from their hub
    look_every_s: float = 1.0  # for models that have changed
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port {self.port} is outside 0 … 65535")
        if self.api_key is not None and len(self.api_key) < 8:
            raise UsageError("an API key of fewer than 8 characters can be guessed; give a longer one")
        missing = [str(root) for root in self.roots if not root.is_dir()]
        if missing:
            raise UsageError(f"--root {missing[0]} is no folder; name one that is there")
        if self.models_folder is not None and not self.models_folder.is_dir():
            raise UsageError(f"--models {self.models_folder} is no folder; name one that holds models")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
