from base64 import b64decode

import pytest
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from dicom_io.errors import NonConformantReport
from reporting.forms import diagnostic_report as module
from reporting.forms.diagnostic_report import diagnostic_report
from reporting.objects.render import report_text
from reporting.objects.sr import build_sr
from tests.reporting.studies import ct_header, draft_of


def report(**attributes):
    header = ct_header(SpecificCharacterSet="ISO_IR 192", **attributes)
    return build_sr(draft_of(), [header])


def test_the_schema_accepts_it_as_preliminary():
    resource = DiagnosticReport.model_validate(diagnostic_report(report()))
    assert resource.status == "preliminary"
    assert resource.code.text == "AI DRAFT - NOT VERIFIED"
    assert resource.conclusion == "AI DRAFT - NOT VERIFIED\nAscites."


def test_it_holds_the_whole_text():
    sr = report()
    (form,) = diagnostic_report(sr)["presentedForm"]
    assert b64decode(form["data"]).decode() == report_text(sr)
    assert "AI DRAFT - NOT VERIFIED" in diagnostic_report(sr)["text"]["div"]


def test_patient_study_and_order_are_named_by_their_numbers():
    resource = diagnostic_report(report(IssuerOfPatientID="KH"))
    assert resource["subject"]["identifier"] == {"value": "4711", "assigner": {"display": "KH"}}
    assert resource["subject"]["display"] == "Doe, Jane"
    assert resource["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.3"
    assert resource["basedOn"][0]["identifier"]["value"] == "A1"


def test_drafts_of_a_study_share_one_identifier_and_have_one_of_their_own():
    one, other = (diagnostic_report(report())["identifier"] for _ in range(2))
    assert one[0] == other[0]
    assert one[1] != other[1]


@pytest.mark.parametrize(
    "missing", ["PatientID", "PatientName", "AccessionNumber", "PatientBirthDate"]
)
def test_what_the_study_lacks_is_left_out(missing):
    DiagnosticReport.model_validate(diagnostic_report(report(**{missing: None})))


def test_a_resource_that_the_schema_refuses_does_not_leave(monkeypatch):
    monkeypatch.setattr(module, "writer", lambda sr: "")
    with pytest.raises(NonConformantReport) as raised:
        diagnostic_report(report())
    assert "Doe" not in str(raised.value)
