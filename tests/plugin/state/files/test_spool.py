from __future__ import annotations

import errno
import os
import time
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, CTImageStorage, ExplicitVRLittleEndian

from dicom_io.errors import StoreFull
from plugin.state.files import incoming as incoming_module
from plugin.state.files import spool as spool_module
from plugin.state.files.spool import Spool, digest_of, file_head, split_file
from tests.plugin.intake_objects import keep, make_slice, new_uid

STUDY, INSTANCE = "1.2.3", "1.2.3.4"


def test_an_instance_lies_under_its_study(spool: Spool) -> None:
    relative = keep(spool, STUDY, INSTANCE, b"bc", head=b"a")
    assert Path(relative).parent == Path("instances", STUDY)
    assert spool.absolute(relative).read_bytes() == b"abc"


def test_other_bytes_under_the_same_uid_get_another_file(spool: Spool) -> None:
    first = keep(spool, STUDY, INSTANCE, b"abc")
    other = keep(spool, STUDY, INSTANCE, b"xyz")
    assert first != other
    assert spool.absolute(first).read_bytes() == b"abc"


def test_every_instance_is_listed(spool: Spool) -> None:
    relative = keep(spool, STUDY, INSTANCE, b"abc")
    assert list(spool.instance_paths()) == [relative]


def test_an_incoming_file_knows_its_data_set_digest_and_size(spool: Spool) -> None:
    with closing(spool.begin_instance(b"head")) as file:
        file.write(b"ab")
        file.write(bytearray(b"c"))
        assert bytes(file.data_set()) == b"abc"
        assert file.digest == digest_of(b"abc")
        assert file.size == 7


def test_an_incoming_file_that_is_not_kept_is_removed(spool: Spool) -> None:
    spool.begin_instance(b"head").close()
    assert [path for path in spool.root.rglob("*") if path.is_file()] == []


def test_the_same_bytes_come_to_the_same_file(spool: Spool) -> None:
    again = [keep(spool, STUDY, INSTANCE, b"abc") for _ in range(2)]
    assert again[0] == again[1]
    assert list(spool.instance_paths()) == again[:1]


@pytest.mark.parametrize("ae_title", ["SENDER", "ODD"])
def test_the_head_of_a_file_is_that_of_pydicom(ae_title: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.FileMetaInformationVersion = b"\0\1"
    meta.FileMetaInformationGroupLength = 0
    meta.SourceApplicationEntityTitle = ae_title
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=False)
    head = file_head(CTImageStorage, "1.2.3", ExplicitVRLittleEndian, ae_title)
    assert head == bytes(128) + b"DICM" + buffer.getvalue()


def test_below_the_floor_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    spool = Spool(tmp_path, floor_bytes=1000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(spool_module.shutil, "disk_usage", lambda _: usage(2000, 1001, 999))
    with pytest.raises(StoreFull, match="its floor is"):
        keep(spool, STUDY, INSTANCE, b"abc")
    assert list(spool.instance_paths()) == []


def test_below_the_floor_a_draft_of_what_was_acknowledged_is_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, floor_bytes=2**62)
    assert spool.absolute(spool.write_draft(make_slice(INSTANCE))).is_file()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_half_written(spool: Spool, monkeypatch, number) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(incoming_module.os, "fsync", full)
    with pytest.raises(StoreFull, match="disk is full"):
        keep(spool, STUDY, INSTANCE, b"abc")
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


def test_a_file_that_arrives_slowly_is_no_leftover(spool: Spool) -> None:
    an_hour_ago = time.time() - 3600
    with closing(spool.begin_instance(b"head")) as file:
        (path,) = (spool.root / "incoming").iterdir()
        os.utime(path, (an_hour_ago, an_hour_ago))
        assert spool.remove_leftovers() == 0
        file.write(b"abc")
        spool.keep_instance(file, STUDY, INSTANCE)


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
    relative = keep(spool, STUDY, INSTANCE, b"abc")
    spool.root.rename(tmp_path / "elsewhere")
    assert Spool(tmp_path / "elsewhere").absolute(relative).read_bytes() == b"abc"


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.lstat().st_mode & 0o777
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink()
    }


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_nobody_else_reads_the_spool_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        spool = Spool(tmp_path / "spool")
        keep(spool, STUDY, INSTANCE, b"abc")
        spool.write_draft(make_slice(new_uid()))
        spool.set_all_known()
    finally:
        os.umask(before)
    assert {name: mode for name, mode in modes(spool.root).items() if mode & 0o077} == {}


def test_a_spool_that_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert modes(Spool(tmp_path).root)["."] == 0o700


def test_the_name_of_a_file_is_remembered_until_its_row_is_there(spool: Spool) -> None:
    relative = keep(spool, STUDY, INSTANCE, b"abc")
    assert spool.unrecorded() == [relative]
    spool.recorded(relative)
    assert spool.unrecorded() == []
    assert spool.absolute(relative).read_bytes() == b"abc"
