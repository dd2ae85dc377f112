import pytest

from training.site.reports.matcher import Matcher
from training.site.reports.reports import NoReport, SignedReport
from training.site.sources.source import StudyReference


def study(number: str, patient: str = "P1", accession: str = "A1") -> StudyReference:
    return StudyReference(number, patient, accession)


def found(reports: list[SignedReport], *studies: StudyReference) -> int:
    return len(Matcher(reports, studies).reports_of(studies[0]))


def test_the_same_number_and_patient_match():
    assert found([SignedReport("A1", "t", patient_ids=("P1",))], study("1")) == 1


def test_white_space_around_a_number_counts_for_nothing():
    assert (
        found([SignedReport(" A1 ", "t", patient_ids=("P1 ",))], study("1", accession="A1 ")) == 1
    )


def test_a_report_that_gives_no_patient_matches_by_its_number():
    assert found([SignedReport("A1", "t")], study("1")) == 1


def test_one_of_several_patient_ids_is_enough():
    assert found([SignedReport("A1", "t", patient_ids=("OLD", "P1"))], study("1")) == 1


@pytest.mark.parametrize("number", ["a1", "A01", "A1.0", "A 1", "A11"])
def test_a_number_that_is_almost_the_same_is_another(number):
    with pytest.raises(NoReport, match="no report"):
        found([SignedReport(number, "t")], study("1"))


@pytest.mark.parametrize(
    ("reports", "studies", "why"),
    [
        ([SignedReport("A1", "t", patient_ids=("P2",))], [study("1")], "of another patient"),
        ([SignedReport("A1", "t")], [study("1", accession="")], "no accession number"),
        ([SignedReport("", "t")], [study("1", accession=" ")], "no accession number"),
        ([SignedReport("A1", "t")], [study("1"), study("2", "P2")], "several patients"),
        ([SignedReport("A1", "t")], [study("1"), study("2")], "several studies"),
    ],
)
def test_what_is_ambiguous_is_refused(reports, studies, why):
    with pytest.raises(NoReport, match=why) as refusal:
        found(reports, *studies)
    assert not any(secret in str(refusal.value) for secret in ("A1", "P1", "P2"))
