from copy import deepcopy

import pytest

from dicom_io.errors import NonConformantReport
from reporting.objects.sr import build_sr
from reporting.objects.template import check_report
from tests.reporting.studies import ct_header, draft_of


@pytest.fixture(scope="module")
def report():
    return build_sr(draft_of(), [ct_header()])


def swap(sr):
    items = list(sr.ContentSequence)
    items[-1], items[-2] = items[-2], items[-1]
    sr.ContentSequence = items


def drop_language(sr):
    del sr.ContentSequence[1]


def drop_sections(sr):
    sr.ContentSequence = list(sr.ContentSequence)[:-4]


def empty_section(sr):
    sr.ContentSequence[-1].ContentSequence = []


def empty_text(sr):
    sr.ContentSequence[-1].ContentSequence[0].TextValue = " "


def unsaid_draft(sr):
    sr.ContentSequence[-4].ContentSequence[0].TextValue = "Report"


def verified(sr):
    sr.VerificationFlag = "VERIFIED"


def final(sr):
    sr.PreliminaryFlag = "FINAL"


def latin(sr):
    sr.SpecificCharacterSet = "ISO_IR 100"


def long_description(sr):
    sr.CompletionFlagDescription = "x" * 65


def other_template(sr):
    sr.ContentTemplateSequence[0].TemplateIdentifier = "1500"


def wrong_element(sr):
    sr.ContentSequence[-1].ContentSequence[0].ConceptNameCodeSequence[0].CodeValue = "121073"


def context_after_section(sr):
    items = list(sr.ContentSequence)
    sr.ContentSequence = [*items[:4], *items[5:], items[4]]


def no_content(sr):
    del sr.ContentSequence


FAULTS = [swap, drop_language, drop_sections, empty_section, empty_text, unsaid_draft, verified]
FAULTS += [final, latin, long_description, other_template, wrong_element, context_after_section]
FAULTS += [no_content]


def test_a_report_that_was_built_passes(report):
    check_report(report)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:The value length")
def test_a_report_that_breaks_a_rule_does_not_leave(report, fault):
    broken = deepcopy(report)
    fault(broken)
    with pytest.raises(NonConformantReport):
        check_report(broken)
