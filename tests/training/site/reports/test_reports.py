import pytest

from training.site.deidentify.known import KnownValues
from training.site.reports.reports import NoReport, SignedReport, reading_of


def report(text: str, **attributes) -> SignedReport:
    return SignedReport("A1", text, **attributes)


def test_a_final_report_is_read():
    reading = reading_of(
        [report("Findings: a\nImpression: b", known=KnownValues(names=("Doe^J",)))]
    )
    assert (reading.text, reading.known.names) == ("Findings: a\nImpression: b", ("Doe^J",))


def test_the_latest_report_takes_the_place_of_those_before():
    first = report("Findings: wrong", written="20240101")
    second = report("Findings: right", written="20240102", status="corrected")
    assert reading_of([second, first]).text == "Findings: right"


def test_a_report_that_names_what_it_replaces_needs_no_time():
    old, new = report("Findings: old", name="1"), report("Findings: new", replaces=("1",))
    assert reading_of([new, old]).text == "Findings: new"


def test_copies_of_a_report_are_one():
    assert reading_of([report("Findings: a"), report("Findings: a ")]).text == "Findings: a"


def test_two_reports_without_an_order_are_refused():
    with pytest.raises(NoReport, match="which of them holds cannot be told"):
        reading_of([report("Findings: a"), report("Findings: b")])


def test_two_reports_of_one_moment_are_refused():
    with pytest.raises(NoReport, match="cannot be told"):
        reading_of([report("Findings: a", written="2"), report("Findings: b", written="2")])


def test_a_preliminary_report_is_never_taken():
    with pytest.raises(NoReport, match="signed"):
        reading_of([report("Findings: a", status="preliminary")])


def test_a_preliminary_report_does_not_replace_a_final_one():
    later = report("Findings: draft", status="preliminary", written="3")
    assert reading_of([later, report("Findings: a", written="2")]).text == "Findings: a"


def test_a_withdrawn_report_is_none():
    with pytest.raises(NoReport, match="withdrawn"):
        reading_of(
            [report("Findings: a", written="1"), report("", status="withdrawn", written="2")]
        )


def test_no_report_is_said():
    with pytest.raises(NoReport, match="no report"):
        reading_of([])


def test_an_addendum_is_applied_in_its_time():
    reports = [
        report("The cyst is 4 mm.", addendum=True, written="3"),
        report("Findings: a\nImpression: b", written="1"),
        report("Impression: c", addendum=True, written="2"),
    ]
    assert reading_of(reports).text == "Findings: a\nImpression: c The cyst is 4 mm."


def test_an_addendum_to_a_report_that_was_replaced_is_not_applied():
    reports = [
        report("Findings: a", written="1"),
        report("old remark", addendum=True, written="2"),
        report("Findings: b", written="3"),
    ]
    assert reading_of(reports).text == "Findings: b"


def test_an_addendum_alone_is_no_report():
    with pytest.raises(NoReport, match="without the report"):
        reading_of([report("remark", addendum=True)])


def test_a_report_without_findings_is_none():
    with pytest.raises(NoReport, match="neither findings nor an impression"):
        reading_of([report("Technique: CT.")])


def test_nothing_of_a_report_is_in_its_repr():
    text = repr(
        report(
            "Findings: Miller",
            known=KnownValues(names=("Miller",)),
            patient_ids=("P7",),
            written="2024",
        )
    )
    assert not any(secret in text for secret in ("Miller", "P7", "A1", "2024"))


def test_an_addendum_without_a_date_adds_to_the_only_report():
    only = report("Impression: a", written="20240101")
    added = report("The cyst is 4 mm.", addendum=True)
    assert reading_of([only, added]).text == "Impression: a The cyst is 4 mm."


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([report("Impression: b", written="2025")], "without a date"),
        ([report("One more.", addendum=True, written="2025")], "order cannot be told"),
        ([report("Another one.", addendum=True)], "order cannot be told"),
    ],
)
def test_an_addendum_without_a_date_is_never_dropped(others, said):
    only = report("Impression: a", written="2024")
    with pytest.raises(NoReport, match=said):
        reading_of([only, report("The cyst is 4 mm.", addendum=True), *others])


def test_a_day_beside_a_time_of_that_day_is_refused():
    with pytest.raises(NoReport, match="a day here and a time of that day there"):
        reading_of(
            [
                report("Impression: a", written="20240101120000"),
                report("Impression: b", written="20240101"),
            ]
        )
