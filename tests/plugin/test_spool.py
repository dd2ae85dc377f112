from __future__ import annotations

import errno
import os
import time
from collections import namedtuple
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_io.errors import StoreFull
from plugin import spool as spool_module
from plugin.spool import Spool, digest_of, split_file
from tests.plugin.intake_objects import make_slice, new_uid

STUDY, INSTANCE = "1.2.3", "1.2.3.4"
DIGEST = digest_of(b"abc")


def test_an_instance_lies_under_its_study(spool: Spool) -> None:
    relative = spool.write_instance(STUDY, INSTANCE, DIGEST, [b"a", memoryview(b"bc")])
    assert Path(relative).parent == Path("instances", STUDY)
    assert spool.absolute(relative).read_bytes() == b"abc"


def test_other_bytes_under_the_same_uid_get_another_file(spool: Spool) -> None:
    first = spool.write_instance(STUDY, INSTANCE, DIGEST, [b"abc"])
    other = spool.write_instance(STUDY, INSTANCE, digest_of(b"xyz"), [b"xyz"])
    assert first != other
    assert spool.absolute(first).read_bytes() == b"abc"


def test_every_instance_is_listed(spool: Spool) -> None:
    relative = spool.write_instance(STUDY, INSTANCE, DIGEST, [b"abc"])
    assert list(spool.instance_paths()) == [relative]


def test_below_the_floor_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    spool = Spool(tmp_path, floor_bytes=1000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(spool_module.shutil, "disk_usage", lambda _: usage(2000, 1001, 999))
    with pytest.raises(StoreFull, match="its floor is"):
        spool.write_instance(STUDY, INSTANCE, DIGEST, [b"abc"])
    assert list(spool.instance_paths()) == []


def test_below_the_floor_a_draft_of_what_was_acknowledged_is_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, floor_bytes=2**62)
    assert spool.absolute(spool.write_draft(make_slice(INSTANCE))).is_file()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_half_written(spool: Spool, monkeypatch, number) -> None:
    def full(path: Path, parts: object) -> None:
        path.write_bytes(b"ab")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(spool_module, "_write_durably", full)
    with pytest.raises(StoreFull, match="disk is full"):
        spool.write_instance(STUDY, INSTANCE, DIGEST, [b"abc"])
    assert list(spool.root.rglob("*.dcm")) == []
    assert list((spool.root / "incoming").iterdir()) == []


def test_leftovers_of_killed_processes_are_removed_and_young_files_stay(spool: Spool) -> None:
    old, young = (spool.root / "incoming" / name for name in ("old", "young"))
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    assert spool.remove_leftovers() == 1
    assert not old.exists()
    assert young.exists()


def test_a_draft_is_a_readable_dicom_file(spool: Spool) -> None:
    sr = make_slice(new_uid())
    relative = spool.write_draft(sr)
    assert dcmread(spool.absolute(relative)).SOPInstanceUID == sr.SOPInstanceUID


def test_a_file_is_split_where_its_data_set_begins(spool: Spool) -> None:
    sr = make_slice(new_uid())
    data = spool.absolute(spool.write_draft(sr)).read_bytes()
    dataset, start = split_file(data)
    assert data[start:] == dataset
    assert bytes(dataset[:4]) == b"\x08\x00\x05\x00"  # (0008,0005), the first element


def test_a_spool_can_be_moved(spool: Spool, tmp_path: Path) -> None:
    relative = spool.write_instance(STUDY, INSTANCE, DIGEST, [b"abc"])
    spool.root.rename(tmp_path / "elsewhere")
    assert Spool(tmp_path / "elsewhere").absolute(relative).read_bytes() == b"abc"
