"""Real series of scanners, with invented reports beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_io.model_input.preprocess import prepare
from dicom_io.slices.read import read_study
from dicom_io.types import Study
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_volume
from tests.training.site.structured import FINDINGS, section, structured_report
from tests.training.site.studies import SPEC, wanted
from training.data.store import ImageRecord, Store, open_store, quantised, verify
from training.site.prepare import prepare_site

NAMES = {"philips_head": "spiral", "ge_head_tilt": "tilted"}


@pytest.fixture(scope="module")
def study_of(cases: Path) -> Callable[[str], Study]:
    return lambda name: read_study([cases / name])


@pytest.fixture(scope="module")
def prepared(study_of, tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("real")
    for name in NAMES:
        study = study_of(name)
        header = study.series[0].header
        report = structured_report(
            section(FINDINGS, f"The skull of {header.PatientID} in a {NAMES[name]} scan."),
            StudyInstanceUID=study.study_instance_uid,
            PatientID=header.PatientID,
            PatientName=header.PatientName,
            AccessionNumber="",
        )
        case = folder / "archive" / name
        case.mkdir(parents=True)
        report.save_as(case / "report.dcm", enforce_file_format=True)
        instances = (i for series in study.series for i in series.instances)
        for number, instance in enumerate(instances):
            (case / f"{number}.dcm").symlink_to(instance.path)
    out = folder / "out"
    outcome = prepare_site(wanted(folder / "archive"), out, folder / "work", accept_all=True)
    assert (outcome.taken, outcome.rejected) == (2, {})
    return open_store(out, SPEC)


def stored(store: Store, name: str) -> ImageRecord:
    return next(
        r for r in store.images.values() if store.texts[r.text].endswith(f"{NAMES[name]} scan.")
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_that_of_the_service(prepared, study_of, name):
    stack = choose_series(study_of(name)).stack
    volume = build_volume(stack)
    made = prepare(volume, SPEC, stack.window)
    record = stored(prepared, name)
    expected = quantised(torch.from_numpy(made.pixels[0]), "uint16")
    assert torch.equal(prepared.stored(record.key)[0], expected)
    np.testing.assert_allclose(record.affine_lps, made.affine_lps, atol=1e-6)
    assert record.notes == (*volume.notes, *made.steps)


@pytest.mark.parametrize("name", NAMES)
def test_the_patient_is_not_named(prepared, study_of, name):
    patient = str(study_of(name).series[0].header.PatientID)
    for path in prepared.folder.rglob("*"):
        assert not path.is_file() or patient.encode() not in path.read_bytes()
    assert prepared.texts[stored(prepared, name).text].startswith("Findings: The skull of [")


def test_the_store_is_sound(prepared):
    assert list(verify(prepared.folder)) == []
