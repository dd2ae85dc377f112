import numpy as np
import pytest

from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS
from dicom_io.phantoms.detailed.phantom import draw_study
from dicom_io.phantoms.truth import FINDINGS, Finding, Truth, draw_truth
from tests.training.asserted import asserted
from training.data.phantoms.text import facts, facts_text, in_view, report_text, statements
from training.evaluation.findings.score import true_mentions
from training.evaluation.tasks.phantoms import section

HEALTHY = Truth("axial", "arterial", ())


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    rng = np.random.default_rng(3)
    return [draw_truth(rng) for _ in range(300)]


def test_findings_and_impression_assert_exactly_what_is_true(truths):
    rng = np.random.default_rng(4)
    for truth in truths:
        text = report_text(truth, rng)
        wanted = {(m.finding, m.side) for m in true_mentions(truth)}
        assert asserted(section(text, "Findings")) == wanted
        assert asserted(section(text, "Impression")) == wanted


def test_technique_names_plane_and_phase(truths):
    rng = np.random.default_rng(5)
    for truth in truths:
        technique = section(report_text(truth, rng), "Technique")
        assert technique == f"{truth.plane}, {truth.phase}."


def test_wording_varies():
    texts = {report_text(HEALTHY, np.random.default_rng(i)) for i in range(50)}
    assert len(texts) > 20


def test_facts_name_every_finding_once():
    truth = Truth("axial", "delayed", (Finding("pleural effusion", "left", 0.5),))
    assert [name for name, _ in facts(truth)] == ["plane", "phase", *FINDINGS]
    assert ("pleural effusion", "left") in facts(truth)
    assert ("ascites", "none") in facts(truth)


def test_facts_are_spelled_out():
    truth = Truth("coronal", "delayed", (Finding("pleural effusion", "left", 0.5),))
    assert facts_text(truth).startswith("coronal, delayed, no cardiomegaly, left pleural effusion,")


def test_as_many_statements_hold_as_there_are_facts(truths):
    for truth in truths:
        assert sum(s.holds(truth) for s in statements()) == 2 + len(FINDINGS)


@pytest.mark.parametrize("statement", statements(), ids=lambda s: f"{s.fact[0]} {s.fact[1]}")
def test_the_parser_reads_every_wording_as_it_was_meant(statement):
    name, side = statement.fact
    for wording in statement.wordings:
        if name in FINDINGS and side != "none":
            sides = ("left", "right") if side == "bilateral" else (side,)
            assert asserted(wording) == {(name, one) for one in sides}
        else:
            assert asserted(wording) == frozenset()


def test_of_a_detailed_phantom_is_said_what_is_in_view():
    rng, said = np.random.default_rng(0), statements(DETAILED_FINDINGS)
    for seed in range(60):
        truth = draw_study(seed).truth
        assert [name for name, _ in facts(truth)[2:]] == list(in_view(truth))
        assert sum(s.holds(truth) for s in said) == len(facts(truth))
        report = report_text(truth, rng)
        assert all(finding.name in report.lower() for finding in truth.findings)


def test_a_head_has_nothing_to_be_said_of_but_plane_and_phase():
    truth = draw_study(0, region="head").truth
    assert [name for name, _ in facts(truth)] == ["plane", "phase"]
    assert report_text(truth, np.random.default_rng(0)).startswith(f"Technique: {truth.plane}")


def test_what_is_out_of_view_is_neither_there_nor_absent():
    chest = draw_study(0, region="chest").truth
    stone = [s for s in statements(DETAILED_FINDINGS) if s.fact[0] == "kidney stone"]
    assert len(stone) == 3
    assert not any(s.holds(chest) for s in stone)
