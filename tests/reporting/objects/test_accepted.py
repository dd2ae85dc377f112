"""What a radiologist accepted: judged by the validators, and never taken for a draft."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_io.errors import NonConformantReport
from reporting.draft import DRAFT_NOTICE, SERIES_NOTICE
from reporting.forms.diagnostic_report import diagnostic_report
from reporting.forms.oru import oru_message
from reporting.forms.pdf import encapsulated_pdf
from reporting.forms.text_sr import text_sr
from reporting.objects.accepted import Acceptance, accepted_report
from reporting.objects.render import report_sections
from reporting.objects.sr import build_sr
from reporting.text.headings import Heading
from tests.reporting.studies import ct_header, draft_of, reread
from tests.reporting.validators import dciodvfy, dsr
from training.site.reports.sr import _status

MOMENT = datetime(2026, 11, 28, 9, 30, tzinfo=timezone(timedelta(hours=1)))
TEXTS = [
    (Heading.FINDINGS, "Kein Erguss.\n\nHerz normal groß."),
    (Heading.IMPRESSION, "Unauffällig."),
]


def draft() -> Dataset:
    return build_sr(draft_of(), [ct_header(SpecificCharacterSet="ISO_IR 192")])


def accepted(before: Sequence[Dataset] = (), **values: object) -> Dataset:
    given = Acceptance("Dr. Ann^Rey", MOMENT, edited=True, **values)  # type: ignore[arg-type]
    return accepted_report(draft(), TEXTS, given, before)


@pytest.mark.parametrize("verified_for", [None, "St. Mary"])
@pytest.mark.parametrize("final", [False, True])
def test_validators_find_nothing(final: bool, verified_for: str | None, tmp_path: Path) -> None:
    reread(accepted(final=final, verified_for=verified_for), tmp_path)
    path = tmp_path / "report.dcm"
    assert dciodvfy(path) == []
    complaints, shown = dsr("dsrdump", path)
    assert complaints == []
    assert "Kein Erguss." in shown


def test_it_says_who_accepted_it_and_replaces_the_draft() -> None:
    before = draft()
    made = accepted_report(before, TEXTS, Acceptance("Dr. Rey", MOMENT, edited=True))
    told = dict(report_sections(made))
    assert told["Summary"][0] == (
        "AI-assisted report. The text was edited and accepted by Dr. Rey on 2026-11-28 09:30."
    )
    assert told["Findings"] == ["Kein Erguss.", "Herz normal groß."]
    assert told["Impressions"] == ["Unauffällig."]
    (series,) = made.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    named = series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert named == before.SOPInstanceUID != made.SOPInstanceUID
    assert (made.VerificationFlag, made.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert "VerifyingObserverSequence" not in made
    assert made.AuthorObserverSequence[-1].PersonName == "Dr. Rey^"
    text = str(made)
    assert DRAFT_NOTICE not in text
    assert SERIES_NOTICE not in text
    assert before.SeriesDescription.startswith(SERIES_NOTICE)  # left as it was


def test_it_is_verified_only_where_the_site_says_so() -> None:
    made = accepted(final=True, verified_for="St. Mary")
    (verifier,) = made.VerifyingObserverSequence
    assert verifier.VerifyingOrganization == "St. Mary"
    assert verifier.VerificationDateTime == "20261128093000+0100"
    assert verifier.VerifyingObserverName == "Dr. Ann Rey^"
    assert _status(made) == "final"
    assert _status(accepted(final=True)) == "preliminary"


def test_other_forms_say_so_too() -> None:
    final, preliminary = accepted(final=True), accepted()
    assert diagnostic_report(final)["status"] == "final"
    assert diagnostic_report(preliminary)["status"] == "preliminary"
    assert diagnostic_report(final)["resultsInterpreter"][0]["display"] == "Dr. Ann Rey"
    statuses = [
        next(line for line in oru_message(one).split("\r") if line.startswith("OBR")).split("|")[25]
        for one in (final, preliminary, accepted([final], final=True))
    ]
    assert statuses == ["F", "C", "C"]
    parts = [
        {line.split("|")[11] for line in oru_message(one).split("\r") if line.startswith("OBX")}
        for one in (final, preliminary, accepted([final], final=True))
    ]
    assert parts == [{"F"}, {"P"}, {"C"}]
    for shown in (str(diagnostic_report(final)), oru_message(final)):
        assert DRAFT_NOTICE not in shown
        assert "accepted by Dr. Ann Rey, not verified" in shown
    assert encapsulated_pdf(final).DocumentTitle.startswith("AI-assisted report, accepted by")
    assert text_sr(final).SeriesDescription == final.SeriesDescription


def test_it_tells_its_language() -> None:
    german = accepted(language="de-DE")
    assert german.ContentSequence[1].ConceptCodeSequence[0].CodeMeaning == "German (Germany)"
    assert diagnostic_report(german)["presentedForm"][0]["language"] == "de-DE"
    assert diagnostic_report(draft())["presentedForm"][0]["language"] == "en-US"


def test_a_report_without_text_is_none() -> None:
    with pytest.raises(NonConformantReport, match="no text"):
        accepted_report(draft(), [(Heading.FINDINGS, " \n")], Acceptance("Dr. Rey", MOMENT))
