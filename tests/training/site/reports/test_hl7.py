from pathlib import Path

import pytest

from dicom_io.errors import UnusableData
from training.site.reports.hl7 import read_messages
from training.site.reports.reports import NoReport, SignedReport, reading_of

PATIENT = "PID|1||MRN1^^^H~OLD7^^^X||Miller^John^Q||19500317|M|||Long Lane 3|||0551-123456"
OBX = "OBX|{n}|{type}|{name}||{text}||||||{status}|||20240301||123^Doe^Jane^^^Dr."


def header(time: str = "20240301120000", kind: str = "ORU^R01", charset: str = "") -> str:
    return f"MSH|^~\\&|RIS|H|X|Y|{time}||{kind}|1|P|2.5.1||||||{charset}".rstrip("|")


def obx(
    text: str, *, n: int = 1, name: str = "R^Report", status: str = "F", type: str = "TX"
) -> str:
    return OBX.format(n=n, type=type, name=name, text=text, status=status)


def message(*observations: str, accession: str = "ACC1", status: str = "F", **head: str) -> str:
    order = segment("OBR", {2: "PL9", 3: f"{accession}^RIS", 16: "77^Ward^Anna", 25: status})
    return "\r".join([header(**head), PATIENT, "ORC|RE|PL9|ACC1", order, *observations])


def segment(kind: str, fields: dict[int, str]) -> str:
    return "|".join([kind, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def read(folder: Path, *messages: str | bytes, field: str = "OBR-3") -> list[SignedReport]:
    for number, content in enumerate(messages):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"Miller_{number}.hl7").write_bytes(data)
    return list(read_messages(folder, field))


def test_a_report_is_read_line_by_line(tmp_path):
    lines = [obx("FINDINGS: Liver normal.", n=1), obx(" ", n=2), obx("IMPRESSION: Normal.", n=3)]
    (report,) = read(tmp_path, message(*lines))
    assert (report.accession_number, report.status, report.addendum) == ("ACC1", "final", False)
    assert report.patient_ids == ("MRN1", "OLD7")
    assert reading_of([report]).text == "Findings: Liver normal.\nImpression: Normal."


def test_everybody_and_every_number_of_the_message_is_known(tmp_path):
    (report,) = read(tmp_path, message(obx("Findings: a")))
    assert {"Miller^John^Q", "Doe^Jane", "Ward^Anna"} <= set(report.known.names)
    assert {"MRN1", "OLD7", "PL9", "ACC1", "0551-123456"} <= set(report.known.numbers)


def test_repetitions_and_formatting_are_lines(tmp_path):
    text = r"Findings: a \T\ b~c \S\ d\.br\e \H\bold\N\ \F\ \E\ \R\ "
    (report,) = read(tmp_path, message(obx(text, type="FT")))
    assert report.text == "Findings: a & b\nc ^ d\ne bold | \\ ~"


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("", "utf-8"),
        ("", "cp1252"),
    ],
)
def test_the_character_set_is_that_of_the_message(tmp_path, charset, codec):
    content = message(obx("Befund: Größe 3 mm, Ödem"), charset=charset).encode(codec)
    (report,) = read(tmp_path, content)
    assert report.text == "Befund: Größe 3 mm, Ödem"


def test_hexadecimal_escapes_are_in_the_character_set_of_the_message(tmp_path):
    (report,) = read(tmp_path, message(obx(r"Gr\XF6\\XDF\e"), charset="8859/1"))
    assert report.text == "Größe"


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n"])
def test_lines_may_end_in_any_way(tmp_path, ending):
    content = message(obx("Findings: a")).replace("\r", ending)
    assert len(read(tmp_path, content)) == 1


def test_a_line_break_that_was_not_escaped_continues_the_text(tmp_path):
    (report,) = read(tmp_path, message(obx("Findings: a\nb and OBXtra")))
    assert report.text.splitlines() == ["Findings: a", "b and OBXtra"]


def test_batches_and_frames_are_opened(tmp_path):
    one, two = message(obx("a")), message(obx("b"), accession="ACC2")
    batch = "\r".join(["FHS|^~\\&|", "BHS|^~\\&|", one, two, "BTS|2", "FTS|1"])
    framed = b"\x0b" + message(obx("c"), accession="ACC3").encode() + b"\x1c\r"
    found = [report.accession_number for report in read(tmp_path, batch, framed)]
    assert found == ["ACC1", "ACC2", "ACC3"]


def test_other_messages_and_other_files_are_passed_over(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    assert read(tmp_path, message(obx("a"), kind="ADT^A01"), b"\x00\xff binary") == []


@pytest.mark.parametrize(
    ("observed", "requested", "meaning"),
    [
        ("F", "F", "final"),
        ("F", "", "final"),
        ("", "F", "final"),
        ("C", "C", "corrected"),
        ("F", "C", "corrected"),
        ("P", "P", "preliminary"),
        ("F", "P", "preliminary"),
        ("P", "F", "preliminary"),
        ("R", "R", "preliminary"),
        ("", "", "preliminary"),
        ("X", "F", "withdrawn"),
        ("D", "F", "withdrawn"),
        ("F", "X", "withdrawn"),
    ],
)
def test_only_what_is_final_in_both_places_is_signed(tmp_path, observed, requested, meaning):
    (report,) = read(tmp_path, message(obx("Findings: a", status=observed), status=requested))
    assert report.status == meaning


def test_an_observation_that_was_deleted_is_left_out(tmp_path):
    lines = [obx("Findings: a"), obx("wrong line", n=2, status="D")]
    (report,) = read(tmp_path, message(*lines))
    assert report.text == "Findings: a"


def test_a_correction_takes_the_place_of_the_first_report(tmp_path):
    first = message(obx("Findings: wrong"), time="20240301120000")
    second = message(obx("Findings: right", status="C"), status="C", time="202403021200+0100")
    assert reading_of(read(tmp_path, second, first)).text == "Findings: right"


def test_a_report_that_was_withdrawn_later_is_none(tmp_path):
    first = message(obx("Findings: a"))
    second = message(obx("", status="X"), time="20240302120000")
    with pytest.raises(NoReport, match="withdrawn"):
        reading_of(read(tmp_path, first, second))


@pytest.mark.parametrize("name", ["R&ADT^Report", "ADDENDUM^Addendum", "77^Nachtrag"])
def test_an_addendum_of_its_own_is_applied(tmp_path, name):
    report = message(obx("Findings: a\\.br\\Impression: b"))
    addendum = message(obx("A cyst.", name=name), time="20240305120000")
    found = read(tmp_path, report, addendum)
    assert [one.addendum for one in found] == [False, True]
    assert reading_of(found).text == "Findings: a\nImpression: b A cyst."


def test_observations_may_be_the_sections(tmp_path):
    lines = [
        obx("Cough", name="H^History", n=1),
        obx("Liver normal.", name="R&GDT^Text", n=2),
        obx("Spleen normal.", name="R&GDT^Text", n=3),
        obx("Normal.", name="R&IMP^Text", n=4),
    ]
    assert (
        reading_of(read(tmp_path, message(*lines))).text
        == "Findings: Liver normal. Spleen normal.\nImpression: Normal."
    )


def test_several_orders_of_a_message_are_several_reports(tmp_path):
    second = segment("OBR", {2: "PL8", 3: "ACC2", 25: "F"})
    content = "\r".join([message(obx("a")), second, obx("b")])
    found = read(tmp_path, content)
    assert [(one.accession_number, one.text) for one in found] == [("ACC1", "a"), ("ACC2", "b")]


def test_the_accession_number_may_stand_elsewhere(tmp_path):
    (report,) = read(tmp_path, message(obx("a"), accession=""))
    assert report.accession_number == "ACC1"
    (report,) = read(tmp_path, field="OBR-2")
    assert report.accession_number == "PL9"


@pytest.mark.parametrize(
    "content", [b"MSH|^~\\&|R|H|||2024||ORU|1|P|2.5||||||KLINGON\rPID|1||Miller", b"MSH|"]
)
def test_what_cannot_be_read_is_named_by_its_place(tmp_path, content):
    with pytest.raises(UnusableData, match="file 1 of 1") as refusal:
        read(tmp_path, content)
    assert "Miller" not in str(refusal.value)


def test_a_field_that_is_none_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="no field of HL7"):
        read(tmp_path, field="Accession")


def test_everybody_whom_any_segment_names_is_known(tmp_path):
    patient = segment(
        "PID",
        {
            3: "MRN1",
            5: "Miller^John^Q",
            6: "Quince^Ann",
            7: "19510417",
            9: "Mill^Johnny",
            11: "27B Larkspur Crescent&Larkspur&27B^^Dunmore^OH^44114",
            13: "^PRN^PH^jm@example.org^1^216^5550199",
        },
    )
    order = segment(
        "OBR",
        {
            3: "ACC1",
            16: "7^Ward^Anna",
            25: "F",
            28: "9^Copyman^Cora",
            32: "11&Reader&Rita&&&^202403011200",
            34: "12&Techman&Tom",
            35: "13&Typewell&Tina",
        },
    )
    lines = [
        *(header(), patient, "NK1|1|Miller^Jane|SPO|5 Elm Row^^Dunmore|0551-777001"),
        *("PV1|1|I|W4^12^2^Rosewood|||||8^Carer^Carl", "GT1|1||Payer^Paul", "IN1|1|POL99871"),
        *("ROL|1|AD|AT|21^Roller^Rolf", "PRT|1|AD||AP|22^Partner^Pia", "ZDS|1|Dr^Zett^Zoe"),
        *(order, obx("Findings: a")),
    ]
    (tmp_path / "a.hl7").write_text("\r".join(lines))
    (report,) = read_messages(tmp_path, staff=["ZDS-2"])
    staff = {"Ward^Anna", "Copyman^Cora", "Reader^Rita", "Techman^Tom", "Typewell^Tina"}
    staff |= {"Carer^Carl", "Roller^Rolf", "Partner^Pia", "Dr^Zett^Zoe", "Doe^Jane"}
    family = {"Miller^John^Q", "Quince^Ann", "Mill^Johnny", "Miller^Jane", "Payer^Paul"}
    known = report.known
    assert (set(known.staff), set(known.names)) == (staff, staff | family)
    assert {"2165550199", "0551-777001", "POL99871"} <= set(known.numbers)
    assert {"27B Larkspur Crescent", "Dunmore", "Rosewood", "5 Elm Row"} <= set(known.places)
    assert "19510417" in known.dates


def corrected(tmp_path, first: list[str], later: list[str]) -> str:
    messages = (
        message(*first, time="20240301120000"),
        message(*later, status="C", time="20240302120000"),
    )
    return reading_of(read(tmp_path, *messages)).text


def an_obx(number: int, name: str, text: str, status: str = "F") -> str:
    return segment("OBX", {1: str(number), 2: "TX", 3: name, 5: text, 11: status})


FIRST = [
    an_obx(1, "F&GDT", "The lungs are clear."),
    an_obx(2, "F&IMP", "Normal."),
]


def test_a_correction_of_one_section_leaves_the_other(tmp_path):
    text = corrected(tmp_path, FIRST, [an_obx(1, "F&IMP", "A nodule.", "C")])
    assert text == "Findings: The lungs are clear.\nImpression: A nodule."


def test_a_correction_of_all_sections_takes_their_place(tmp_path):
    later = [an_obx(1, "F&GDT", "A nodule.", "C"), an_obx(2, "F&IMP", "Nodule.", "C")]
    assert corrected(tmp_path, FIRST, later) == "Findings: A nodule.\nImpression: Nodule."


LINES = [
    an_obx(1, "R", "Findings: The lungs are clear."),
    an_obx(2, "R", "The heart is large."),
    an_obx(3, "R", "Impression: Normal."),
]


def test_a_correction_of_one_line_leaves_the_others(tmp_path):
    text = corrected(tmp_path, LINES, [an_obx(2, "R", "The heart is of normal size.", "C")])
    assert text == (
        "Findings: The lungs are clear. The heart is of normal size.\nImpression: Normal."
    )


def test_a_shorter_report_with_headings_takes_the_place_of_a_longer_one(tmp_path):
    later = [an_obx(1, "R", "Findings: None.", "C"), an_obx(2, "R", "Impression: None.", "C")]
    assert corrected(tmp_path, LINES, later) == "Findings: None.\nImpression: None."


def test_the_first_line_alone_may_be_all_and_is_refused(tmp_path):
    with pytest.raises(NoReport, match="some lines or of all"):
        corrected(tmp_path, LINES, [an_obx(1, "R", "The lungs are not clear.", "C")])


def test_a_correction_that_deletes_a_section_takes_it_away(tmp_path):
    later = [an_obx(1, "F&GDT", "", "D"), an_obx(2, "F&IMP", "No effusion.", "C")]
    assert corrected(tmp_path, FIRST, later) == "Impression: No effusion."
    assert corrected(tmp_path, FIRST, [an_obx(2, "F&IMP", "", "D")]) == (
        "Findings: The lungs are clear."
    )


def test_a_correction_after_a_withdrawal_brings_nothing_back(tmp_path):
    messages = (
        message(*FIRST, time="20240301120000"),
        message(an_obx(1, "F&GDT", "", "X"), status="X", time="20240302120000"),
        message(an_obx(1, "F&IMP", "A nodule.", "C"), status="C", time="20240303120000"),
    )
    assert reading_of(read(tmp_path, *messages)).text == "Impression: A nodule."


def test_a_section_of_several_lines_is_corrected_as_a_whole(tmp_path):
    first = [an_obx(n, "F&GDT", f"Line {n}.") for n in (1, 2)] + [an_obx(3, "F&IMP", "Old.")]
    text = corrected(tmp_path, first, [an_obx(1, "F&IMP", "New.", "C")])
    assert text == "Findings: Line 1. Line 2.\nImpression: New."


def test_lines_that_were_not_there_before_are_refused(tmp_path):
    with pytest.raises(NoReport, match="had not"):
        corrected(tmp_path, LINES, [an_obx(6, "R", "More.", "C")])
