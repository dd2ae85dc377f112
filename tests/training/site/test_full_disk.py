import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from dicom_io.errors import UnusableData
from tests.training.site.studies import Patient, report_rows, wanted, write_archive, write_table
from training.data.store import open_store
from training.site import build as build_module
from training.site.prepare import prepare_site

PATIENTS = [Patient(number) for number in (1, 2)]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("full")
    archive = write_archive(root / "archive", PATIENTS)
    return wanted(archive, write_table(root / "r.csv", report_rows(PATIENTS)))


def no_space(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_rejects_no_study_and_is_forgotten_when_there_is_space(
    data, tmp_path, monkeypatch
):
    out, work = tmp_path / "out", tmp_path / "work"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", no_space)
        with pytest.raises(UnusableData, match="No space left on device; the same command goes on"):
            prepare_site(data, out, work)
    assert list((work / "records").iterdir()) == []
    outcome = prepare_site(data, out, work)
    assert (outcome.taken, outcome.rejected) == (2, {})


def test_a_study_that_a_full_disk_cut_short_is_not_blamed(data, tmp_path, monkeypatch):
    out, work = tmp_path / "out", tmp_path / "work"
    with monkeypatch.context() as patched:
        patched.setattr("training.site.collect.read_study", lambda _: 1 / 0)
        patched.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 0))
        with pytest.raises(UnusableData, match="No space left"):
            prepare_site(data, out, work)
    assert list((work / "records").iterdir()) == []


def test_a_full_disk_under_the_data_set_is_one_clear_error(data, tmp_path, monkeypatch):
    out, work = tmp_path / "out", tmp_path / "work"
    with monkeypatch.context() as patched:
        patched.setattr(build_module, "write_texts", no_space)
        with pytest.raises(UnusableData, match="out: No space left on device"):
            prepare_site(data, out, work, accept_all=True)
    prepare_site(data, out, work, accept_all=True)
    assert len(open_store(out).images) == 2
