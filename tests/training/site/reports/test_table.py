import json
from pathlib import Path

import pytest

from dicom_io.errors import UnusableData
from training.site.reports.reports import SignedReport
from training.site.reports.table import read_table

TEXT = 'Befund: "Größe" 3 mm; Ödem\nBeurteilung: gut'


def table(folder: Path, content: str, encoding: str = "utf-8", name: str = "r.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


def read(path: Path, **columns: str) -> list[SignedReport]:
    return list(read_table(path, columns))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_of_every_kind_are_read(tmp_path, delimiter, encoding):
    quoted = TEXT.replace('"', '""')
    rows = [["accession", "text"], ["A1", f'"{quoted}"']]
    content = "\r\n".join(delimiter.join(row) for row in rows)
    (report,) = read(table(tmp_path, content, encoding))
    assert (report.accession_number, report.text) == ("A1", TEXT)


def test_json_lines_are_read(tmp_path):
    line = json.dumps({"accession": 17, "text": TEXT, "patient_id": "P1", "other": None})
    (report,) = read(table(tmp_path, f"{line}\n\n", name="r.jsonl"))
    assert report == SignedReport("17", TEXT, patient_ids=("P1",))


def test_columns_may_have_other_names(tmp_path):
    path = table(tmp_path, "Auftrag Nr,Befundtext\nA1,ok\n")
    (report,) = read(path, accession="auftrag nr", text="Befundtext")
    assert report.accession_number == "A1"


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("F", "final"),
        ("Final", "final"),
        ("", "final"),
        ("corrected", "corrected"),
        ("X", "withdrawn"),
        ("P", "preliminary"),
        ("AI draft", "preliminary"),
    ],
)
def test_a_status_is_understood_or_taken_as_preliminary(tmp_path, status, meaning):
    (report,) = read(table(tmp_path, f"accession,text,status\nA1,t,{status}\n"))
    assert report.status == meaning


def test_addenda_and_times_are_read(tmp_path):
    path = table(tmp_path, "accession,text,addendum,written\nA1,t,yes,2024-01-02T03:04\n")
    (report,) = read(path)
    assert (report.addendum, report.written) == (True, "20240102030400")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no row"),
        ("acc no,text\nMiller,t\n", "no column accession"),
        ("accession,body\nMiller,t\n", "no column text"),
        ("accession,text\nMiller,\n", "line 2: accession number or text is empty"),
        ("accession,text\nMiller,a,b\n", "line 2: as many values"),
        ("accession,text\nMiller\n", "line 2: as many values"),
        ('accession,text\nMiller,"a\n', "no CSV"),
    ],
)
def test_a_table_that_is_none_is_refused_by_line(tmp_path, content, why):
    with pytest.raises(UnusableData, match=why) as refusal:
        read(table(tmp_path, content))
    assert "Miller" not in str(refusal.value)


def test_a_line_that_is_no_json_is_refused_without_quoting_it(tmp_path):
    with pytest.raises(UnusableData, match="line 1: no JSON object") as refusal:
        read(table(tmp_path, '{"accession": "Miller"', name="r.jsonl"))
    assert "Miller" not in str(refusal.value)


def test_columns_of_staff_are_known(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text(
        'accession,text,Read by,Typist\nA1,Findings: a,"Doe, Jane; Roe, R.",Tina Well\n'
    )
    (report,) = read_table(path, {"staff": "Read by,Typist"})
    assert report.known.staff == ("Doe, Jane", "Roe, R.", "Tina Well")


def test_a_column_of_staff_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text("accession,text,Typist\nA1,Findings: a,Tina Well\n")
    with pytest.raises(UnusableData, match="for the staff"):
        list(read_table(path, {"staff": "Typist,Reader"}))
