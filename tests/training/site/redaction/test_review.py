import csv
import io
import stat

import pytest

from dicom_io.errors import IdentifiedContent, UnusableData
from training.site.deidentify.known import KnownValues
from training.site.redaction.identifiers import find_identifiers
from training.site.redaction.review import Review

KNOWN = KnownValues(names=("Stein^Otto",), numbers=("00123",))
TEXT = "Otto Stein, 00123, =1+1.\nA stein in the ureter on 12.03.2021."


@pytest.fixture
def path(tmp_path):
    return tmp_path / "review.csv"


def proposed(path, text=TEXT) -> Review:
    review = Review.open(path)
    review.propose("s-1", text, find_identifiers(text, KNOWN), KNOWN)
    review.save()
    return review


def rows(path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def edit(path, change, *, delimiter=",", encoding="utf-8-sig") -> None:
    """As a person does in a spreadsheet."""
    edited = [change(dict(row)) for row in rows(path)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows(path)[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(edited)
    path.write_bytes(buffer.getvalue().encode(encoding))


def decide(decision, replacement=""):
    return lambda row: {**row, "decision": decision, "replacement": replacement}


def test_a_text_nobody_decided_on_is_not_given_out(path):
    with pytest.raises(UnusableData, match="study s-1, row 1: nobody"):
        proposed(path).text("s-1")


def test_accepting_all_gives_placeholders(path):
    text = proposed(path).text("s-1", accept_all=True)
    assert text == "[NAME], [ID], =1+1.\nA [NAME] in the ureter on [DATE]."


def test_the_list_is_for_its_owner_only(path):
    proposed(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_list_says_what_where_and_why(path):
    proposed(path)
    assert [row["original"] for row in rows(path)] == [
        "«Otto Stein»",
        "«00123»",
        "«stein»",
        "«12.03.2021»",
    ]
    assert rows(path)[2]["context"] == (
        "«Otto Stein, 00123, =1+1.\\nA [NAME] in the ureter on 12.03.2021.»"
    )
    assert rows(path)[2]["rule"] == "known name"


def test_no_cell_is_a_formula_a_date_or_a_number(path):
    text = "=HYPERLINK(1) 00123 @x -2+3 12.03.2021"
    proposed(path, text)
    for row in rows(path):
        assert not any(cell[:1] in "=+-@\t\r" for cell in row.values() if cell)
        assert row["original"].startswith("«")


def test_decisions_are_counted_and_stay(path):
    assert proposed(path).undecided == 4
    edit(path, decide("Accept "))
    assert proposed(path).undecided == 0
    assert proposed(path).text("s-1").startswith("[NAME], [ID]")


def test_a_change_that_is_kept_stays_in_the_text(path):
    proposed(path)
    edit(path, lambda row: decide("keep" if row["n"] == "3" else "accept")(row))
    assert "A stein in the ureter" in proposed(path).text("s-1")


def test_a_word_that_is_kept_frees_no_other_value(path):
    known = KnownValues(names=("Steinhauser^Otto",), numbers=("00123456",))
    text = "Steinhauser, 00123456"
    review = Review.open(path)
    review.propose("s-1", text, find_identifiers(text, known), known)
    review.save()
    edit(path, lambda row: decide("change", "Stein hauser")(row) if row["n"] == "1" else row)
    edit(path, lambda row: {**row, "decision": row["decision"] or "keep"})
    review = Review.open(path)
    review.propose("s-1", text, find_identifiers(text, known), known)
    with pytest.raises(IdentifiedContent):
        review.text("s-1")


def test_a_correction_takes_the_place_of_the_placeholder(path):
    proposed(path)
    edit(path, lambda row: decide("change", "[DATE], last year")(row))
    assert proposed(path).text("s-1").endswith("on [DATE], last year.")


def test_what_was_missed_can_be_added(path):
    proposed(path)
    edit(path, decide("accept"))
    with path.open("a", encoding="utf-8") as file:
        file.write("s-1,,[PLACE],ureter,,,add,,\n")
    assert "in the [PLACE] on" in proposed(path).text("s-1")
    assert "in the [PLACE] on" in proposed(path).text("s-1")


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8"), ("\t", "utf-16")])
def test_a_list_that_a_spreadsheet_saved_is_read(path, delimiter, encoding):
    proposed(path)
    edit(path, decide("accept"), delimiter=delimiter, encoding=encoding)
    assert proposed(path).undecided == 0


def test_rows_may_be_sorted(path):
    proposed(path)
    edit(path, decide("accept"))
    lines = path.read_text("utf-8-sig").splitlines(keepends=True)
    path.write_text("".join([lines[0], *reversed(lines[1:])]), "utf-8-sig")
    assert proposed(path).undecided == 0


def test_a_decision_on_another_text_is_refused_by_its_row(path):
    proposed(path)
    edit(path, decide("accept"))
    with pytest.raises(UnusableData, match="study s-1, row 1: the report or the row"):
        proposed(path, TEXT + " Addendum.")


def test_undecided_rows_of_another_text_are_replaced(path):
    proposed(path)
    assert proposed(path, "Stein").undecided == 1


def test_an_edited_original_is_refused_by_its_row(path):
    proposed(path)
    edit(path, lambda row: {**decide("accept")(row), "original": "«Otto»"})
    with pytest.raises(UnusableData, match="study s-1, row 1: its original was edited"):
        proposed(path)


def test_an_added_row_that_is_not_in_the_report_is_refused(path):
    proposed(path)
    with path.open("a", encoding="utf-8") as file:
        file.write("s-1,,[PLACE],bladder,,,add,,\n")
    with pytest.raises(UnusableData, match="study s-1, row added: what it names"):
        proposed(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("s-1,1,[NAME],x,,,perhaps,,", "line 6: the decision is none of"),
        ("s-1,one,[NAME],x,,,accept,,", "line 6: n is no number"),
        ("s-1,,[NAME],x,,,accept,,", "line 6: a row that was added has the decision add"),
        ("s-1,9,[NONE],x,,,accept,,", "line 6: the placeholder is none of"),
        ("s-1,9,[NAME],x,,,change,,", "line 6: change needs a replacement"),
        ("s-1,1,[NAME],x,,,accept,,", "study s-1, row 1 is there twice"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(path, line, reason):
    proposed(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(UnusableData, match=reason):
        Review.open(path)


def test_a_list_in_another_encoding_is_refused(path):
    proposed(path)
    path.write_bytes(path.read_text("utf-8-sig").encode("latin-1"))
    with pytest.raises(UnusableData, match="not UTF-8"):
        Review.open(path)


def test_a_correction_that_brings_a_name_back_is_refused(path):
    proposed(path)
    edit(path, decide("change", "a STEIN"))
    with pytest.raises(IdentifiedContent, match="study s-1: a value of its headers is left"):
        proposed(path).text("s-1")


def test_a_study_that_is_not_proposed_again_leaves_the_list(path):
    proposed(path)
    review = Review.open(path)
    review.propose("s-2", "Otto", find_identifiers("Otto", KNOWN))
    review.save()
    assert {row["study"] for row in rows(path)} == {"s-2"}
