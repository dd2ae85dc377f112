"""CT headers as scanners and archives write them, and the models that read them."""

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from reporting.draft import Draft, DraftModel, make_draft

MODEL = DraftModel("phantom-med3dvlm", "1.0", "0123456789abcdef", demonstration=True)
TEXT = "Technique: axial. Findings: Ascites. No nodule. Impression: Ascites."


def ct_header(number: int = 1, **attributes: object) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    defaults: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"1.2.3.4.{number}",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "PatientName": "Doe^Jane",
        "PatientID": "4711",
        "PatientBirthDate": "19500101",
        "PatientSex": "F",
        "StudyDate": "20240101",
        "StudyTime": "120000",
        "StudyID": "1",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "",
        "Modality": "CT",
        "SeriesNumber": 2,
        "InstanceNumber": number,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 5.0 * number],
        "SliceThickness": 5,
        "KVP": 120,
    }
    for keyword, value in (defaults | attributes).items():
        if value is not None:
            setattr(header, keyword, value)
    return header


def draft_of(text: str = TEXT, **arguments: object) -> Draft:
    options = {"technique": ["CT scanner: A B."], "model": MODEL} | arguments
    return make_draft(text, **options)


def reread(dataset: Dataset, folder: Path) -> Dataset:
    path = folder / "report.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return dcmread(path)
