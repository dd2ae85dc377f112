import pytest

from dicom_io.phantoms.truth import Finding, Truth
from training.evaluation.findings.reader import Mention, read_findings
from training.evaluation.findings.score import Counts, compare, finding_table, true_mentions
from training.evaluation.metrics.bootstrap import Bootstrap, Interval


def strict(reference: str, prediction: str) -> Counts:
    return compare(read_findings(reference), read_findings(prediction), "strict")


def lenient(reference: str, prediction: str) -> Counts:
    return compare(read_findings(reference), read_findings(prediction), "lenient")


@pytest.mark.parametrize(
    ("reference", "prediction", "counts"),
    [
        ("Left effusion.", "Left effusion.", Counts(1, 0, 0)),
        ("Left effusion.", "Right effusion.", Counts(0, 1, 1)),
        ("Left effusion.", "Bilateral effusions.", Counts(1, 1, 0)),
        ("Bilateral effusions.", "Left effusion.", Counts(1, 0, 1)),
        ("Left effusion.", "Effusion.", Counts(0, 1, 1)),
        ("Left effusion.", "No effusion.", Counts(0, 0, 1)),
        ("No effusion.", "Left effusion.", Counts(0, 1, 0)),
        ("No effusion.", "No effusion.", Counts(0, 0, 0)),
        ("Left effusion.", "Possible left effusion.", Counts(0, 0, 1)),
        ("No effusion.", "Possible left effusion.", Counts(0, 0, 0)),
        ("Left 8 mm nodule.", "Left 9 mm nodule.", Counts(1, 0, 0)),
        ("Left 8 mm nodule.", "Left 11 mm nodule.", Counts(0, 1, 1)),
        ("Left 30 mm nodule.", "Left 36 mm nodule.", Counts(1, 0, 0)),
        ("Left 30 mm nodule.", "Left 37 mm nodule.", Counts(0, 1, 1)),
        ("Left 0.8 cm nodule.", "Left 8 mm nodule.", Counts(1, 0, 0)),
        ("Left nodule.", "Left 8 mm nodule.", Counts(1, 0, 0)),
        ("Left 8 mm nodule.", "Left nodule.", Counts(0, 1, 1)),
        ("Left 5 mm nodule, left 9 mm nodule.", "Left 9 mm nodule.", Counts(1, 0, 1)),
        ("Left 5 mm nodule, right 5 mm nodule.", "Right 5 mm nodule, left 5 mm nodule.",
         Counts(2, 0, 0)),
    ],
)  # fmt: skip
def test_strict_minds_negation_side_and_size(reference, prediction, counts):
    assert strict(reference, prediction) == counts


@pytest.mark.parametrize(
    ("reference", "prediction", "counts"),
    [
        ("Left effusion.", "Right effusion.", Counts(1, 0, 0)),
        ("Left 8 mm nodule.", "Nodule.", Counts(1, 0, 0)),
        ("Left effusion.", "Possible effusion.", Counts(1, 0, 0)),
        ("Left effusion.", "No effusion.", Counts(0, 0, 1)),
        ("No effusion.", "Effusion.", Counts(0, 1, 0)),
    ],
)
def test_lenient_asks_only_whether_a_finding_is_named(reference, prediction, counts):
    assert lenient(reference, prediction) == counts


def test_what_the_impression_says_again_counts_once():
    report = "Findings: Left 8 mm nodule. Left effusion. Impression: Nodule and left effusion."
    assert strict("Left 8 mm nodule.", report.replace("effusion", "nodule")).true_positives == 1
    assert strict("Left effusion.", "Left effusion. Impression: effusion.") == Counts(1, 0, 0)


def test_ratios_of_nothing_are_zero_and_no_error():
    nothing = finding_table(Bootstrap(("a", "b")), [[], []], [[], []], ("ascites",), "Findings")
    (row,) = nothing.rows
    assert row[:3] == ("all", "0", "0")
    assert {figure.value for figure in row[3:]} == {0}


def test_the_truth_of_a_phantom_has_both_sides_of_a_bilateral_finding():
    truth = Truth("axial", "arterial", (Finding("pleural effusion", "bilateral", 0.5),))
    assert true_mentions(truth) == [
        Mention("pleural effusion", "present", "left"),
        Mention("pleural effusion", "present", "right"),
    ]


@pytest.fixture(scope="module")
def table():
    references = ["Left effusion. Ascites.", "Ascites.", "No effusion."]
    predictions = ["Right effusion. Ascites.", "Ascites. Splenomegaly.", "No effusion."]
    return finding_table(
        Bootstrap(("a", "b", "c")),
        [read_findings(text) for text in references],
        [read_findings(text) for text in predictions],
        ("pleural effusion", "splenomegaly", "ascites", "fracture"),
        "Findings",
    )


def test_the_table_has_each_finding_that_occurs_and_all_together(table):
    assert [row[:3] for row in table.rows] == [
        ("pleural effusion", "1", "1"),
        ("splenomegaly", "0", "1"),
        ("ascites", "2", "2"),
        ("all", "3", "4"),
    ]


def test_the_table_s_figures_are_those_of_the_summed_counts(table):
    at = table.columns.index
    values = {row[0]: row for row in table.rows}
    figure = values["all"][at("strict F1")]
    assert isinstance(figure, Interval)
    precision, recall = 2 / 4, 2 / 3
    assert figure.value == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    assert values["all"][at("lenient precision")].value == pytest.approx(75)
    assert values["all"][at("lenient recall")].value == 100
    assert values["pleural effusion"][at("strict F1")].value == 0
    assert values["splenomegaly"][at("strict recall")].value == 0
