"""What the spool lies on, by the kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin.state.files.file_system import FileSystem, file_system_of

MOUNTS = """\
22 27 0:21 / / rw,relatime - ext4 /dev/sda1 rw
36 22 0:32 / /srv rw,relatime shared:1 - xfs /dev/sdb1 rw
40 36 0:40 / /srv/the\\040spool rw,relatime shared:2 - nfs4 server:/spool rw,vers=4.2,hard
41 36 0:41 / /srv/old rw - nfs server:/old rw,vers=3,hard
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv", "xfs"),
        ("/srv/spool", "xfs"),
        ("/srv/the spool/instances", "nfs4"),
        ("/srv/old", "nfs"),
        ("/srvx", "ext4"),
    ],
)
def test_the_innermost_mount_counts(mounts, path, kind):
    found = file_system_of(Path(path), mounts)
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    ("kind", "options", "fault"),
    [
        ("ext4", "rw", None),
        ("nfs4", "rw,hard,vers=4.2", None),
        ("nfs4", "rw,soft", "nfs4 mounted with soft: a slow server loses"),
        ("nfs4", "rw,hard,local_lock=all", "nfs4 mounted with local_lock=all: locks"),
        ("nfs", "rw,vers=3", "nfs: locks of NFS 3"),
        ("cifs", "rw", "cifs: locks and renames"),
        ("fuse.s3fs", "rw", "fuse.s3fs: object storage"),
        ("ceph", "rw", None),
        ("lustre", "rw,flock", None),
        ("lustre", "rw,localflock", "lustre mounted with localflock"),
    ],
)
def test_what_hosts_cannot_share_is_known(kind, options, fault):
    found = FileSystem(kind, frozenset(options.split(","))).fault
    assert found is None if fault is None else str(found).startswith(fault)


def test_this_machine_tells_what_a_folder_lies_on(tmp_path):
    assert file_system_of(tmp_path) is not None


def test_a_kernel_that_does_not_tell_is_no_fault(tmp_path):
    assert file_system_of(tmp_path, tmp_path / "nothing") is None
