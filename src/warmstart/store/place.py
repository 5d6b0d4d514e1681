"""Is this a folder where the store can work? It must exist, be writable and lie on a disk of this machine.

LMDB keeps its lock table in shared memory-mapped pages and trusts the system to show every process the same bytes. Network
file systems do not promise that; two machines on one store would silently destroy it. So they are refused.
"""

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

from warmstart.errors import MachineError, StoreError
from warmstart.refusals import NO_ROOM

# As Linux names them in /proc/mounts. FUSE programs appear as fuse.NAME.
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "davfs"}
)
_NETWORK_FUSE = frozenset(
    {"sshfs", "glusterfs", "s3fs", "gcsfuse", "rclone", "blobfuse", "blobfuse2", "goofys", "davfs2", "cephfs", "smbnetfs"}
)

_DEFAULT_BUDGET_BYTES = 20 * 2**30

CURE = "Set WARMSTART_CACHE to a folder that you can write, on a disk of this machine"


def prepare_folder(folder: Path) -> None:
    """Create ``folder`` if need be. Raises StoreError where it cannot be written or lies on a network drive."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create the cache folder {folder}: {error.strerror or error}. {cure(error)}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"cannot write in the cache folder {folder}: {_why_not(folder)}. {CURE}.")
    refuse_network_drive(folder)


def cure(error: OSError | MachineError) -> str:
    """What helps where the store cannot be written."""
    return f"Make room (warmstart cache prune removes stored recipes), or: {CURE}" if error.errno in NO_ROOM else CURE


def refuse_network_drive(folder: Path) -> None:
    """Raise StoreError where ``folder`` is on one."""
    file_system = network_file_system(PurePosixPath(folder.resolve()), _mounts()) if sys.platform == "linux" else None
    if file_system:
        raise StoreError(
            f"the cache {folder} is on a network drive ({file_system}), where several machines would damage it. {CURE}."
        )


def network_file_system(folder: PurePosixPath, mounts: str) -> str | None:
    """The type of the network file system that holds ``folder``, or None. ``mounts`` is the text of /proc/mounts."""
    found, depth = "", -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount_point = PurePosixPath(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        # `>=`: of two mounts on one point the later hides the earlier.
        if folder.is_relative_to(mount_point) and len(mount_point.parts) >= depth:
            found, depth = fields[2], len(mount_point.parts)
    kind, _, program = found.partition(".")
    return found if found in _NETWORK or (kind == "fuse" and program in _NETWORK_FUSE) else None


def default_budget_bytes(folder: Path, held_bytes: int) -> int:
    """20 GiB, or half of what the disk could give the store (what is free and what the store holds already) if that is less."""
    standing = next((place for place in (folder, *folder.parents) if place.is_dir()), Path())
    return min(_DEFAULT_BUDGET_BYTES, (shutil.disk_usage(standing).free + held_bytes) // 2)


def _why_not(folder: Path) -> str:
    """`os.access` does not tell a disk that can only be read from a permission."""
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "the file system can only be read"
    return "permission denied"


def _mounts() -> str:
    """Where /proc is not mounted nothing can be said, and nothing is refused."""
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
