import pydicom
import pytest
from pydicom import Dataset

from dicom_io.errors import UnusableData
from tests.training.site.studies import Patient, report_rows, wanted, write_study, write_table
from training.data.store import open_store
from training.site.deidentify.private import PrivateElement, kept_values, read_safe_list
from training.site.prepare import prepare_site
from training.site.verify import faults

SPEED = PrivateElement(0x0019, 0x23, "GEMS_ACQU_01")


def header(vr: str, value, creator: str = SPEED.creator) -> Dataset:
    dataset = Dataset()
    dataset.private_block(0x0019, creator, create=True).add_new(0x23, vr, value)
    return dataset


def test_a_list_names_elements_by_their_creator(tmp_path):
    path = tmp_path / "safe.txt"
    path.write_text("# table speed\n0019,xx23 GEMS_ACQU_01\n(0043,27) GEMS PARM 01 # tilt\n\n")
    assert read_safe_list(path) == (SPEED, PrivateElement(0x0043, 0x27, "GEMS PARM 01"))


@pytest.mark.parametrize("line", ["0018,xx23 GEMS", "0019,xx23", "speed"])
def test_a_line_that_names_none_is_refused(tmp_path, line):
    path = tmp_path / "safe.txt"
    path.write_text(f"\n{line}\n")
    with pytest.raises(UnusableData, match=r"safe.txt, line 2"):
        read_safe_list(path)


def test_numbers_of_listed_elements_are_kept():
    assert kept_values(header("DS", "1.5"), [SPEED]) == {"0019,xx23 GEMS_ACQU_01": 1.5}
    assert kept_values(header("FD", [1.0, 2.0]), [SPEED]) == {"0019,xx23 GEMS_ACQU_01": [1, 2]}


@pytest.mark.parametrize(
    "dataset",
    [Dataset(), header("LO", "12"), header("UN", b"12"), header("DS", "1.5", "OTHER")],
)
def test_nothing_else_is_kept(dataset):
    assert kept_values(dataset, [SPEED]) == {}


def test_a_listed_element_is_told_in_the_data_set(tmp_path):
    patient = Patient(1)
    folder = write_study(tmp_path / "archive", patient)
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        block = image.private_block(0x0019, SPEED.creator, create=True)
        block.add_new(0x23, "DS", "1.5")
        block.add_new(0x24, "LO", "Zyxwarthprivate")
        image.save_as(path)
    table = write_table(tmp_path / "r.csv", report_rows([patient]))
    out = tmp_path / "out"
    listed = wanted(tmp_path / "archive", table, private=(SPEED,))
    prepare_site(listed, out, tmp_path / "work", accept_all=True)
    (image,) = open_store(out).images.values()
    assert image.origin["private"] == {"0019,xx23 GEMS_ACQU_01": 1.5}
    assert list(faults(out, tmp_path / "work")) == []
