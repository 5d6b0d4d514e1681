import os
from pathlib import Path, PurePosixPath

import pytest

from warmstart.errors import StoreError
from warmstart.store import place
from warmstart.store.cache import Store

MOUNTS = r"""rootfs / rootfs rw 0 0
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/local xfs rw 0 0
//box/share /mnt/my\040share cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
overlay /var/lib/over overlay rw 0 0
portal /run/user/doc fuse.portal rw 0 0
C:\134 /mnt/c 9p rw 0 0
tmpfs /hidden nfs rw 0 0
tmpfs /hidden tmpfs rw 0 0
odd line
"""


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("/home/ann/.cache/warmstart", "nfs4"),
        ("/home/local/cache", None),
        ("/homely/cache", None),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/run/user/doc/x", None),
        ("/var/lib/over/x", None),
        ("/mnt/c/Users/ann", "9p"),
        ("/hidden/x", None),
        ("/var/cache", None),
    ],
)
def test_the_innermost_and_latest_mount_decides_whether_a_folder_is_on_a_network(folder, found):
    assert place.network_file_system(PurePosixPath(folder), MOUNTS) == found


def test_a_store_on_a_network_drive_is_refused_with_a_hint(tmp_path, monkeypatch):
    monkeypatch.setattr(place.sys, "platform", "linux")
    monkeypatch.setattr(place, "_mounts", lambda: f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path.resolve()} nfs rw 0 0\n")
    with pytest.raises(StoreError, match=r"network drive \(nfs\).*Set WARMSTART_CACHE"):
        Store(tmp_path / "store")


def test_a_folder_that_cannot_be_created_is_named_with_the_cure(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot create the cache folder .*file/store.*Set WARMSTART_CACHE"):
        Store(tmp_path / "file" / "store")


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path, monkeypatch):
    # `access` and not chmod: to root every folder is writable.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(StoreError, match=r"cannot write in the cache folder .*permission denied.*Set WARMSTART_CACHE"):
        Store(tmp_path)
