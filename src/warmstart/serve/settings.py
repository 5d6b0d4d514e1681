"""What a server serves, where it keeps things, and how much it takes from whoever asks."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

from warmstart.errors import UsageError
from warmstart.options import MEGA, Option, Range, settle

SERVE = ("serve",)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one request may bring, and how much may wait. What goes over is refused with a message; nothing is cut off silently."""

    body_bytes: Annotated[
        int, Option("Size of a request with pictures.", flag="--max-body-mb", metavar="MB", form=MEGA, verbs=SERVE)
    ] = 64_000_000
    picture_bytes: int = 32_000_000
    picture_pixels: Annotated[
        int,
        Option(
            "Size of a picture, read before it is decoded.",
            flag="--max-megapixels",
            metavar="MEGAPIXELS",
            form=MEGA,
            verbs=SERVE,
        ),
    ] = 50_000_000
    pictures: int = 256  # in one request
    request_s: Annotated[
        float,
        Option(
            "Until a prediction must be answered; later than that it is refused with 503.",
            flag="--timeout",
            metavar="SECONDS",
            verbs=SERVE,
        ),
    ] = 8.0  # from the last byte of a request with pictures
    stuck_s: float = 3.0  # at one picture or batch; where every thread is, the server says that it is not ready
    header_s: float = 10.0  # until all of a request's header is there
    body_s: float = 10.0  # until the first bytes of a body; from there on they come at least as fast as that:
    body_bytes_per_s: int = 1000
    header_bytes: int = 64_000
    json_bytes: int = 8_000_000
    json_depth: int = 32
    pictures_waiting: Annotated[
        int, Option("How many may wait; more are refused with 503.", flag="--queue", metavar="PICTURES", verbs=SERVE)
    ] = 256  # for the engine, of all requests together
    batch: Annotated[
        int, Option("How many of those waiting run together; 1: none.", flag="--batch", metavar="PICTURES", verbs=SERVE)
    ] = 64  # pictures that one call of the engine gets
    upload_bytes: Annotated[
        int, Option("Size of an uploaded data set.", flag="--max-upload-mb", metavar="MB", form=MEGA, verbs=SERVE)
    ] = 4_000_000_000  # packed
    upload_files: Annotated[
        int, Option("How many an uploaded data set may have.", flag="--max-files", metavar="FILES", verbs=SERVE)
    ] = 100_000
    unpacked_bytes: Annotated[
        int,
        Option("Size of all that an uploaded zip unpacks to.", flag="--max-unpacked-mb", metavar="MB", form=MEGA, verbs=SERVE),
    ] = 16_000_000_000
    unpacked_ratio: float = 200.0  # of an entry of a zip; pictures hardly shrink at all
    jobs_waiting: int = 32
    models_in_memory: int = 8
    event_streams: int = 64
    explain_s: float = 120.0

    def __post_init__(self) -> None:
        settle(self, "limit")
        wrong = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if not getattr(self, f.name) > 0]
        if wrong:
            raise UsageError(f"a limit must be above 0, found {', '.join(wrong)}")


def _check_key(key: str) -> None:
    if len(key) < 8:
        raise UsageError("an API key of fewer than 8 characters can be guessed; give a longer one")


def _check_roots(roots: Sequence[Path]) -> None:
    missing = [str(root) for root in roots if not root.is_dir()]
    if missing:
        raise UsageError(f"--root {missing[0]} is no folder; name one that is there")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """`warmstart serve`, as plain data."""

    models: tuple[str, ...] = ()  # model folders, run folders or 'imagenet:NAME'; or NAME=FOLDER
    models_folder: Annotated[
        Path | None,
        Option("Serve every model in it, also those that come later.", flag="--models", metavar="FOLDER", verbs=SERVE),
    ] = None
    home: Annotated[
        Path, Option("Where data sets, runs, corrections and the list of jobs are kept.", metavar="FOLDER", verbs=SERVE)
    ] = Path("warmstart-home")
    host: Annotated[str, Option("Address to listen on; 0.0.0.0 for every one of this machine.", verbs=SERVE)] = "127.0.0.1"
    port: Annotated[int, Option("0: any that is free.", range=Range(least=0, most=65535), verbs=SERVE)] = 8000
    api_key: Annotated[
        str | None,
        Option("What every request must bring.", metavar="KEY", envvar="WARMSTART_API_KEY", check=_check_key, verbs=SERVE),
    ] = None
    roots: Annotated[
        tuple[Path, ...],
        Option(
            "Folders in here may be trained on; repeatable. Default: none.",
            flag="--root",
            metavar="FOLDER",
            check=_check_roots,
            verbs=SERVE,
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Option(
            "A name that the server is asked under, behind a proxy; repeatable.",
            flag="--allowed-host",
            metavar="NAME",
            verbs=SERVE,
        ),
    ] = ()
    download: Annotated[bool, Option("Allow fetching weights from their hub; size and licence are shown.", verbs=SERVE)] = False
    look_every_s: float = 1.0  # for models that have changed
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        settle(self, "setting of the server")
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
