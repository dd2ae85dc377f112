import pytest

from training.findings import Score, asserted, section, strict_scores

REPORT = "Technique: axial, delayed. Findings: There is ascites. Impression: Ascites."


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        ("Technique", "axial, delayed."),
        ("Findings", "There is ascites."),
        ("Impression", "Ascites."),
        ("Comparison", ""),
    ],
)
def test_a_section_ends_where_the_next_begins(heading, text):
    assert section(REPORT, heading) == text


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("The heart is enlarged.", {("cardiomegaly", None)}),
        ("There is no cardiomegaly.", set()),
        ("No pleural effusion, but ascites is present.", set()),  # strict: a negation before it
        ("Small left pleural effusion.", {("pleural effusion", "left")}),
        ("Pleural effusions, left and right.", {("pleural effusion", "bilateral")}),
        ("There is a pleural effusion.", {("pleural effusion", None)}),
        ("Fatty liver. Enlarged spleen.", {("hepatic steatosis", None), ("splenomegaly", None)}),
    ],
)
def test_findings_are_read_with_negation_and_side(sentence, found):
    assert asserted(sentence) == found


def test_a_wrong_side_is_wrong_twice():
    left, right = (frozenset({("pleural effusion", side)}) for side in ("left", "right"))
    score = strict_scores([left], [right], ["pleural effusion"])["pleural effusion"]
    assert score == Score(0, 1, 1)
    assert score.f1 == 0


def test_all_is_the_sum_of_the_counts():
    ascites, heart = frozenset({("ascites", None)}), frozenset({("cardiomegaly", None)})
    scores = strict_scores([ascites, heart], [ascites, frozenset()], ["ascites", "cardiomegaly"])
    assert scores["all"] == Score(1, 0, 1)
    assert scores["all"].f1 == pytest.approx(2 / 3)


def test_nothing_said_and_nothing_true_scores_zero_not_an_error():
    assert Score(0, 0, 0).f1 == 0
