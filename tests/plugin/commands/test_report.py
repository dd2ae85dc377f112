"""`ctscribe report` and `ctscribe volume`: folders of DICOM files, as people have them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.uid import generate_uid
from transformers.models.phi3 import Phi3Config

from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from engine.checkpoints.tokenizer_files import read_tokenizer
from plugin.cli import main
from tests.engine.lamed import LLM, config_json, small, teach, write_folder, write_tokenizer
from tests.reporting.validators import dciodvfy

MATRIX = 32


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(11, matrix=MATRIX)


@pytest.fixture(scope="module")
def series(phantom, tmp_path_factory) -> Path:
    return write_study(phantom, tmp_path_factory.mktemp("study"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def report(*arguments: object) -> Result:
    return run("report", *arguments, "--model", "fake")


def only_sr(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_sr_lies_in_out_and_the_text_is_on_the_screen(series, tmp_path):
    result = report(series, "-o", tmp_path / "out")
    assert result.exit_code == 0
    path = only_sr(tmp_path / "out")
    assert "NOT VERIFIED" in result.stdout
    assert "Answer of the fake engine." in result.stdout
    assert str(path) in result.stdout


def test_the_sr_belongs_to_the_study(series, tmp_path):
    report(series, "-o", tmp_path)
    sr = dcmread(only_sr(tmp_path))
    source = dcmread(next(series.iterdir()), stop_before_pixels=True)
    assert sr.Modality == "SR"
    assert sr.VerificationFlag == "UNVERIFIED"
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
        assert sr[keyword].value == source[keyword].value


def test_the_sr_is_valid(series, tmp_path):
    report(series, "-o", tmp_path)
    assert dciodvfy(only_sr(tmp_path)) == []


def test_json_is_one_object_and_nothing_else(series, tmp_path):
    result = report(series, "-o", tmp_path, "--json")
    (study,) = json.loads(result.stdout)["studies"]
    assert result.stderr == ""
    assert study["state"] == "complete"
    assert Path(study["sr"]) == only_sr(tmp_path)
    assert study["model"]["name"] == "fake"
    assert study["sections"][0]["heading"] == "Impression"


def test_two_studies_make_two_reports(series, tmp_path):
    other = write_study(make_phantom(12, matrix=MATRIX), tmp_path / "other")
    result = report(series, other, "-o", tmp_path / "out", "--json")
    assert len(json.loads(result.stdout)["studies"]) == 2
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_study_without_a_volume_fails_with_its_reason_and_the_other_is_reported(series, tmp_path):
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    one = dcmread(next(series.iterdir()))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(one, keyword, generate_uid())
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.save_as(lonely / "1.dcm")
    result = report(series, lonely, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"ctscribe: study {one.StudyInstanceUID}: " in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_files_that_are_no_dicom_do_not_disturb(series, tmp_path):
    mixed = tmp_path / "mixed ünï"
    shutil.copytree(series, mixed)
    (mixed / "notes.txt").write_text("x")
    (mixed / "empty").write_bytes(b"")
    (mixed / ".DS_Store").write_bytes(bytes(10))
    assert report(mixed, "-o", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("content", [{}, {"a.txt": b"hello"}, {"e.dcm": b""}])
def test_a_folder_without_dicom_is_one_clear_error(tmp_path, content):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    result = report(folder, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("ctscribe: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_truncated_slice_is_named_and_the_draft_is_incomplete(series, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(series, folder)
    damaged = sorted(folder.iterdir())[5]
    damaged.write_bytes(damaged.read_bytes()[:-300])
    result = report(folder, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "Incomplete input: image 6: cut off, with " in result.stdout
    assert "1 slice is missing between image" in result.stdout


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path):
    assert report(tmp_path / "nowhere", "-o", tmp_path).exit_code == 2


def test_an_unknown_model_is_one_clear_error(series, tmp_path):
    result = run("report", series, "-o", tmp_path / "out", "--model", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_cannot_be_written_is_named(series, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = report(series, "-o", tmp_path / "locked" / "out")
    assert result.exit_code == 1
    assert "Permission denied" in result.stderr


def test_an_output_below_a_file_is_named(series, tmp_path):
    (tmp_path / "file").write_text("x")
    result = report(series, "-o", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "Not a directory" in result.stderr


def test_no_message_names_the_patient(series, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(series, folder)
    for path in sorted(folder.iterdir())[3:]:
        path.unlink()
    result = report(folder, "-o", tmp_path / "out")
    assert "PHANTOM" not in result.stderr


def test_the_volume_is_the_studys_in_hu(phantom, series, tmp_path):
    path = tmp_path / "v.nii.gz"
    result = run("volume", series, "-o", path)
    assert result.exit_code == 0
    image = nibabel.load(path)
    assert sorted(image.shape) == sorted(phantom.volume.hu.shape)
    data = np.asarray(image.dataobj)
    assert np.array_equal(np.sort(data, axis=None), np.sort(phantom.volume.hu, axis=None))
    ijk = np.array([3, 4, 5, 1])
    x, y, z, _ = image.affine @ ijk
    inverse = np.linalg.inv(phantom.volume.affine_lps)
    voxel = tuple(np.rint(inverse @ [-x, -y, z, 1])[:3].astype(int))
    assert data[tuple(ijk[:3])] == phantom.volume.hu[voxel]


def test_what_is_no_dicom_object_is_named(series, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("not DICOM")
    result = run("report", series, notes, "-o", tmp_path / "out", "--model", "fake")
    assert result.exit_code == 0
    assert "not read: notes.txt: not a DICOM file" in result.stderr


def test_a_file_name_is_made_harmless_before_it_is_shown(series, tmp_path):
    (tmp_path / "a\x1b[2J\udcff.txt").write_text("not DICOM")
    paths = (series, tmp_path / "a\x1b[2J\udcff.txt")
    result = run("report", *paths, "-o", tmp_path / "out", "--model", "fake")
    assert "not read: a\\x1b[2J\\udcff.txt: not a DICOM file" in result.stderr
    result = run("report", *paths, "-o", tmp_path / "out", "--model", "fake", "--json")
    (study,) = json.loads(result.stdout)["studies"]
    assert study["ignored"] == ["a\\x1b[2J\\udcff.txt: not a DICOM file"]


def test_the_volume_command_says_what_was_used(series, tmp_path):
    result = run("volume", series, "-o", tmp_path / "v.nii")
    assert "read series 2 (" in result.stderr
    assert "voxels of" in result.stdout


def test_the_model_input_is_what_the_spec_says(series, tmp_path):
    path = tmp_path / "m.nii.gz"
    assert run("volume", series, "-o", path, "--model-input", "--model", "fake").exit_code == 0
    image = nibabel.load(path)
    assert sorted(image.shape) == [16, 32, 32]
    assert 0 <= np.asarray(image.dataobj).min() <= np.asarray(image.dataobj).max() <= 1


def test_a_volume_of_two_studies_is_refused(series, tmp_path):
    other = write_study(make_phantom(12, matrix=MATRIX), tmp_path / "other")
    result = run("volume", series, other, "-o", tmp_path / "v.nii.gz")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_a_volume_file_of_another_kind_is_refused(series, tmp_path):
    result = run("volume", series, "-o", tmp_path / "v.png")
    assert result.exit_code == 2
    assert ".nii" in result.stderr
    assert not (tmp_path / "v.png").exists()


def test_an_unwritable_volume_file_is_named(series, tmp_path):
    result = run("volume", series, "-o", tmp_path / "nowhere" / "v.nii.gz")
    assert result.exit_code == 1
    assert "No such file" in result.stderr


def test_another_family_of_models_drafts_through_the_same_command(series, tmp_path):
    lamed = tmp_path / "lamed"
    lamed.mkdir()
    write_tokenizer(lamed)
    network = small(Phi3Config(**LLM), size=(32, 256, 256))
    teach(network, read_tokenizer(lamed), "the liver is fine.")
    write_folder(lamed, network, config_json("lamed_phi3", image_size=[32, 256, 256]))
    result = run("report", series, "-o", tmp_path / "out", "--model", lamed, "--json")
    assert result.exit_code == 0
    (study,) = json.loads(result.stdout)["studies"]
    assert study["model"]["name"] == "lamed"
    assert "the liver is fine." in str(study)
    assert only_sr(tmp_path / "out").is_file()
