import numpy as np
import pytest

from dicom_io.phantoms.focal import FOCAL_FINDINGS
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS, Finding, Truth
from tests.training.asserted import asserted
from training.data.prose import present, study_findings
from training.evaluation.findings.score import true_mentions

SIDED = {"pleural effusion": ("left", "right", "bilateral")}
FOCAL_SIDED = ("pulmonary nodule", "renal cyst")
TRUTHS = [make_phantom(seed, matrix=24, focal=True).truth for seed in range(30)]


def wordings(finding: Finding) -> set[str]:
    return {present(finding, np.random.default_rng(i)) for i in range(40)}


@pytest.mark.parametrize("name", FOCAL_FINDINGS)
def test_every_wording_of_a_focal_finding_has_side_and_size(name):
    side = "left" if name in FOCAL_SIDED else None
    for text in wordings(Finding(name, side, 0.5, "upper pole", 23)):
        assert "23 mm" in text
        assert side is None or side in text.lower()
        assert "None" not in text
        assert "{" not in text


@pytest.mark.parametrize("name", FINDINGS)
def test_wording_varies(name):
    side = "left" if name in SIDED else None
    assert len(wordings(Finding(name, side, 0.5))) >= 2


@pytest.mark.parametrize("truth", TRUTHS, ids=range(30))
def test_a_report_asserts_what_is_true_and_no_other_finding(truth):
    report = study_findings(truth, np.random.default_rng(0))
    assert asserted(report) == {(m.finding, m.side) for m in true_mentions(truth)}


@pytest.mark.parametrize("truth", TRUTHS, ids=range(30))
def test_a_report_gives_every_size(truth):
    report = study_findings(truth, np.random.default_rng(0))
    for finding in truth.findings:
        assert finding.size_mm is None or f"{finding.size_mm} mm" in report


def test_reports_of_different_patients_differ():
    reports = {study_findings(truth, np.random.default_rng(i)) for i, truth in enumerate(TRUTHS)}
    assert len(reports) == len(TRUTHS)


def test_the_report_of_a_case_names_no_plane_and_no_phase():
    truth = Truth("coronal", "arterial", ())
    report = study_findings(truth, np.random.default_rng(1)).lower()
    assert "coronal" not in report
    assert "arterial" not in report
