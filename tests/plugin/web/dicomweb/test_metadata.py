"""What slices share is converted once, and reads as if it had been converted each time."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicom_io.slices.read import read_instance
from plugin.web.dicomweb.metadata import Conversion


def written(path: Path, *, name: str, characters: str, number: int, private: str) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = characters
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.4"
    dataset.PatientName, dataset.InstanceNumber = name, number
    dataset.private_block(0x0009, private, create=True).add_new(1, "SH", "same")
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return read_instance(path).header


def test_what_is_shared_reads_the_same(tmp_path: Path) -> None:
    told = {"characters": "ISO_IR 100", "private": "A"}
    slices = [
        {**told, "name": "Müller", "number": 1},
        {**told, "name": "Müller", "number": 2},
        # The same bytes, and another name
        {**told, "name": "Mьller", "number": 3, "characters": "ISO_IR 144"},
        {**told, "name": "Other", "number": 4, "private": "B"},
    ]
    conversion = Conversion()
    for one in slices:
        path = tmp_path / f"{one['number']}.dcm"
        header = written(path, **one)  # type: ignore[arg-type]
        alone = dcmread(path, stop_before_pixels=True).to_json_dict()
        assert dict(sorted(conversion.of(header).items())) == alone
