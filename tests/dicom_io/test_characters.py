"""Names are decoded for certain, or not at all."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.charset import python_encoding

from dicom_io.characters import encoding_of, is_text, repaired_terms, settle_text
from dicom_io.errors import DicomError, UnreadableText

# pydicom tells of character sets that it does not know
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def read(name: bytes, charset: str | None = None) -> Dataset:
    """A header as pydicom reads it from a file, with these bytes as PatientName."""
    declared = b""
    if charset is not None:
        value = charset.encode() + b" " * (len(charset) % 2)
        declared = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
    name += b" " * (len(name) % 2)
    element = b"\x10\x00\x10\x00PN" + len(name).to_bytes(2, "little")
    return dcmread(BytesIO(declared + element + name), force=True)


def settled(name: bytes, charset: str | None = None, default: str | None = None) -> str:
    header = read(name, charset)
    settle_text(header, "PatientName", default)
    return str(header.PatientName)


# PS3.5 annexes H.3.1, H.3.2, I.2, J.3, K.2
@pytest.mark.parametrize(
    ("charset", "raw", "name"),
    [
        (
            "\\ISO 2022 IR 58",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
            "Zhang^XiaoDong=张^小东",
        ),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東"),
        ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        ("ISO_IR_144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (None, b"Doe^Jane", "Doe^Jane"),
        ("NONSENSE", b"Doe^Jane\0", "Doe^Jane"),
    ],
)
def test_the_standards_examples_come_out_without_escapes(charset, raw, name):
    assert settled(raw, charset).rstrip("=") == name


@pytest.mark.parametrize("declared", [None, "", "ISO_IR 6", "ISO 2022 IR 6"])
def test_undeclared_utf8_is_recognised(declared):
    assert settled("Müller^Jürgen".encode(), declared) == "Müller^Jürgen"
    assert settled("Müller^Jürgen".encode(), declared, "ISO_IR 100") == "Müller^Jürgen"


def test_what_is_undeclared_and_no_utf8_is_read_as_the_archive_does_or_not_at_all():
    assert settled(b"M\xfcller", None, "ISO_IR 100") == "Müller"
    assert settled("王^小东".encode("gb18030"), None, "GB18030") == "王^小东"
    with pytest.raises(UnreadableText, match="PatientName holds bytes outside of ASCII or UTF-8"):
        settled(b"M\xfcller")


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("ISO_IR 192", b"M\xfcller"),
        ("NONSENSE", b"M\xfcller"),
        ("\\ISO 2022 IR 58", b"M\xfcller"),
        ("\\ISO 2022 IR 58", b"\x1b$)C\xfb\xf3"),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xd5"),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xd5\xc5^\xd0\xa1"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3E"),
        ("ISO_IR 100", b"\x1b$)A\xd5\xc5"),
        ("ISO_IR 100", b"M\x81ller"),
        ("ISO_IR 100", b"Doe\nJane"),
        (None, b"Doe\x1b[31m"),
        (None, b"Do\0e"),
        (None, "Doe\ufffd".encode()),
        ("ISO_IR 192", "Doe\u202eJane".encode()),
        ("ISO_IR 192", "Doe\u2066Jane".encode()),
        ("ISO_IR 192", "Doe\u2028Jane".encode()),
        ("ISO_IR 192", "Doe\u2029Jane".encode()),
        ("ISO_IR 192", "Doe\ufffe".encode()),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused_without_its_value(charset, raw):
    with pytest.raises(UnreadableText) as refused:
        settled(raw, charset)
    assert "PatientName" in str(refused.value)
    assert "ller" not in str(refused.value)
    assert "Doe" not in str(refused.value)


@given(st.binary(max_size=40), st.sampled_from([None, *sorted(python_encoding)]))
def test_whatever_the_bytes_are_the_text_is_clean_or_refused(raw, charset):
    header = read(raw.replace(b"\\", b""), charset)
    try:
        settle_text(header, "PatientName")
    except UnreadableText:
        return
    assert is_text(str(header.PatientName).strip("\0 "))


def test_what_is_settled_stays_and_what_is_made_in_memory_is_trusted():
    header = read("Müller".encode())
    settle_text(header, "PatientName")
    settle_text(header, "PatientName")
    assert str(header.PatientName) == "Müller"
    made = Dataset()
    made.PatientID = "Ä1"
    settle_text(made, "PatientID")
    assert made.PatientID == "Ä1"


def test_a_character_set_that_there_is_none_of_is_refused():
    assert encoding_of("iso-ir 100") == "latin_1"
    with pytest.raises(DicomError, match="SpecificCharacterSet"):
        encoding_of("ISO_IR 999")


@pytest.mark.parametrize("charset", [None, "ISO_IR 192"])
def test_a_mark_of_the_byte_order_is_no_part_of_a_name(charset):
    assert settled("\ufeffMüller".encode(), charset) == "Müller"
    assert settled("\ufeffDoe^Jane".encode(), charset) == "Doe^Jane"


def test_joiners_that_scripts_need_stay():
    name = "می\u200cخواهم^क्\u200dष"
    assert settled(name.encode(), "ISO_IR 192") == name


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO 2022 IR 100", "\\ISO 2022 IR 100"])
def test_utf8_that_is_declared_as_latin_1_is_utf8(charset):
    for name in ("Müller^Jürgen", "Łukasz", "王^小东", "Иванов^Пётр"):
        assert settled(name.encode(), charset, "ISO_IR 144") == name


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 100", "Ærø"),
        ("ISO_IR 144", "ЯН^ТАТ"),  # these bytes are UTF-8, too
        ("ISO_IR 101", "Łąski"),
    ],
)
def test_other_text_is_what_is_declared(charset, name):
    encoding = {"ISO_IR 100": "latin_1", "ISO_IR 144": "iso8859_5", "ISO_IR 101": "iso8859_2"}
    assert settled(name.encode(encoding[charset]), charset) == name


@pytest.mark.parametrize(
    ("value", "terms"),
    [
        (b"ISO_IR\0 100", ["ISO_IR 100"]),
        (b"ISO_IR 1\x0092", ["ISO_IR 192"]),
        (b"ISO_IR 100\0garbage", ["ISO_IR 100"]),
        (b"\0ISO_IR 100 ", ["ISO_IR 100"]),
        (b"  iso-ir_100", ["ISO_IR 100"]),
        (b"utf-8", ["ISO_IR 192"]),
        (b"ISO-8859-1", ["ISO_IR 100"]),
        (b"\\ISO 2022 IR 87\0", ["", "ISO 2022 IR 87"]),
        (b"ISO_IR 100\\\xff\xfe", ["ISO_IR 100", ""]),
        (b"ISO_IR 999", [""]),
        (b"rot13", [""]),
        (b"\0\0", [""]),
        (b"\xff\xfe\0\x01", [""]),
    ],
)
def test_a_character_set_is_repaired_where_one_thing_can_be_meant(value, terms):
    assert repaired_terms(value) == terms
