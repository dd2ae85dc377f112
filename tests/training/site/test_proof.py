"""Nothing that identifies leaves: planted wherever it can stand, searched in every byte."""

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from tests.ct import ct_slice
from tests.forked import Forked
from tests.training.site.planted import MARK, NUMBER, PLANTED, VALUES, found_in, plant, plant_meta
from tests.training.site.studies import Patient, write_study, write_table
from training.site.deidentify.headers import deidentify, origin, quiet
from training.site.deidentify.keys import Key
from training.site.deidentify.survivors import CLEANED, tag_of

KEY = Key(b"k" * 32)
ALIAS = f"{MARK}müller"
REPORTS = (
    f"FINDINGS: Mr. {ALIAS.upper()}, Erika (* 17.11.1971, MRN {NUMBER}) was seen by Dr. {MARK}smith"
    f" at {MARK} General Hospital. Nodule of 7 mm. Crohn's disease of {MARK}mueller.\n"
    f"IMPRESSION: Benign. Discussed with {MARK}jones.\nElectronically signed by: {MARK}doe, MD",
    f"BEFUND: Frau {MARK}mueller-{MARK}meier, geb. 17. November 1971, Fallnummer {NUMBER[:5]}. "
    f"Rundherd von 8 mm. Überwiesen aus dem {MARK} Klinikum, {MARK}straße 12, 79106 {MARK}stadt.\n"
    f"BEURTEILUNG: Kein Infiltrat.\ngez. OA Dr. {MARK}huber\nTel.: 0761 / {NUMBER}",
    f"RÉSULTATS : Madame {MARK}dupont, née le 17/11/1971, dossier n° {NUMBER}. Nodule de 9 mm.\n"
    f"CONCLUSION : Pas d'embolie. Validé par le Dr {MARK}picard, {MARK}.{MARK}@chu-{MARK}.fr",
    f"HALLAZGOS: Paciente: {MARK}garcía López, Erika. DNI {NUMBER}Z. Nódulo de 10 mm el 17 de "
    f"noviembre de 1971.\nIMPRESIÓN: Benigno. Firmado por Dra. {MARK}pérez.",
    f"REPERTI: Sig.ra {MARK}rossi, nata a {MARK}ia il 17-11-1971. Nodulo di 11 mm.\n"
    f"CONCLUSIONI: Benigno. Refertato da Dott. {MARK}bianchi",
    f"FINDINGS: {MARK}^Erika^^Dr. {MARK}. ID {NUMBER[:4]}-{NUMBER[4:]}. 12 mm nodule.\n"
    f"IMPRESSION: http://{MARK}/x?{NUMBER}, \\\\{MARK}\\share\\{MARK}.dcm. PACS 10.77.66.55.",
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> tuple[Path, Path]:
    """Six studies with planted objects, and a table of their reports."""
    root = tmp_path_factory.mktemp("planted")
    patients = [Patient(n) for n in range(1, len(REPORTS) + 1)]
    rows = []
    for patient, text in zip(patients, REPORTS, strict=True):
        folder = root / "archive" / f"{MARK}^Erika {NUMBER}" / f"{MARK}_{patient.number}"
        write_study(
            folder,
            patient,
            PatientName=f"{ALIAS}^Erika",
            PatientID=f"{NUMBER}-{patient.number}",
            PatientBirthDate="19711117",
        )
        for number, path in enumerate(sorted(folder.iterdir())):
            image = pydicom.dcmread(path)
            if number == patient.number:
                plant(image)
            plant_meta(image)
            image.SpecificCharacterSet = "ISO_IR 192"
            with quiet():
                image.save_as(folder / f"{MARK}{path.name}", enforce_file_format=True)
            path.unlink()
        capture = pydicom.dcmread(next(folder.iterdir()))
        capture.SOPClassUID, capture.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
        capture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        capture.file_meta.MediaStorageSOPInstanceUID = capture.SOPInstanceUID
        capture.SeriesInstanceUID = generate_uid()
        with quiet():
            capture.save_as(folder / f"{MARK}capture", enforce_file_format=True)
        (folder / f"{MARK}.txt").write_text(MARK)
        rows.append({"accession": patient.accession, "text": text, "status": "F"})
    return root / "archive", write_table(root / f"{MARK}.csv", rows)


def ran(words: list[str]) -> tuple[int | None, str]:
    """Run `ctscribe`; returns its status, and all that it wrote."""
    process = Forked(["plugin", *words])
    output, _ = process.communicate(300)
    return process.returncode, output


@pytest.fixture(scope="module")
def prepared(archive, tmp_path_factory) -> tuple[Path, str]:
    """The data set that the command makes, and everything that it said."""
    out = tmp_path_factory.mktemp("proof") / "out"
    studies, table = archive
    command = ["prepare", "site", str(studies)]
    said = ""
    for more in ([], ["--accept-all"]):
        status, output = ran([*command, str(out), "--reports", str(table), *more])
        said += output
        assert status == 0, said
    return out, said.replace(str(studies), "SOURCE").replace(str(table), "TABLE")


def test_every_study_is_taken(prepared):
    _, said = prepared
    assert f"{len(REPORTS)} studies seen, {len(REPORTS)} taken, 0 rejected" in said


def test_nothing_that_was_planted_is_in_the_bytes_of_the_data_set(prepared):
    out, _ = prepared
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        assert found_in(path.read_bytes()) == [], path.name
        assert found_in(str(path.relative_to(out)).encode()) == []


def test_nothing_that_was_planted_is_said(prepared):
    _, said = prepared
    assert found_in(said.encode()) == []


def test_verify_finds_nothing_with_all_that_is_known(prepared):
    out, _ = prepared
    work = out.with_name("out.private")
    assert ran(["prepare", "verify", str(out), "--work", str(work)]) == (0, "sound\n")


def test_what_the_reports_say_of_the_disease_is_still_there(prepared):
    out, _ = prepared
    texts = (out / "texts.jsonl").read_text()
    for size in range(7, 13):
        assert f"{size} mm" in texts
    for words in ("Crohn's disease", "Kein Infiltrat", "Pas d'embolie", "Benigno"):
        assert words in texts


def test_every_element_of_the_standard_was_planted():
    assert plant(Dataset()) > 3000


def test_no_planted_value_survives_in_a_header(caplog):
    caplog.set_level(logging.DEBUG)
    image = ct_slice(np.zeros((4, 4)), (0, 0, 0))
    plant(image)
    after = deidentify(image, KEY)
    del after.PixelData
    shown = f"{after}{after.file_meta}{after.to_json()}{origin(after)}"
    assert found_in(shown.encode()) == []
    assert found_in(caplog.text.encode()) == []


# another class or another number of samples is no CT image, and is refused
@pytest.mark.parametrize("keyword", sorted(set(CLEANED) - {"SOPClassUID", "SamplesPerPixel"}))
def test_an_element_that_survives_does_not_survive_with_a_text(keyword):
    vr = dictionary_VR(tag_of(keyword)).split(" or ")[-1]
    image = ct_slice(np.zeros((4, 4)), (0, 0, 0))
    with quiet():
        image.add(DataElement(tag_of(keyword), vr, VALUES[vr]))
    after = deidentify(image, KEY)
    del after.PixelData
    assert not any(value.casefold() in str(after).casefold() for value in PLANTED)


_TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
_WORDS = st.sampled_from(
    (
        "Manufacturer",
        "ManufacturerModelName",
        "SeriesDescription",
        "ProtocolName",
        "ImageType",
        "StudyDescription",
        "ConvolutionKernel",
        "PatientSex",
        "PatientAge",
        "StudyDate",
        "StackID",
        "StudyTime",
        "AcquisitionDateTime",
        "PatientID",
        "PatientPosition",
        "BodyPartExamined",
        "RescaleType",
        "ContrastBolusAgent",
        "ContrastBolusRoute",
        "PatientName",
        "StationName",
        "ImageComments",
        "InstitutionName",
        "OperatorsName",
        "KVP",
        "SeriesNumber",
    )
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_WORDS, st.tuples(_TEXTS, _TEXTS), max_size=8), st.booleans())
def test_no_generated_header_keeps_what_a_person_typed(typed, nested):
    image = ct_slice(np.zeros((4, 4)), (0, 0, 0))
    target = Dataset() if nested else image
    for keyword, (before, after) in typed.items():
        vr = dictionary_VR(tag_of(keyword))
        text = f"{before} {MARK}x{NUMBER} {after}"
        with quiet():
            try:
                target.add(DataElement(tag_of(keyword), vr, text))
            except (ValueError, TypeError, OverflowError):
                continue
    if nested:
        image.SharedFunctionalGroupsSequence = pydicom.Sequence([target])
    clean = deidentify(image, KEY)
    del clean.PixelData
    assert found_in(f"{clean}{origin(clean)}".encode()) == []
    assert deidentify(image, KEY) == deidentify(image, KEY)
