import json

import numpy as np
import pytest

from training.data.questions import TYPES
from training.evaluation.compare import compare
from training.evaluation.folder import Output, read_outputs
from training.evaluation.items import Item, question_items
from training.evaluation.metrics.bootstrap import Bootstrap
from training.evaluation.metrics.text_metrics import BLEU_1, ROUGE_1
from training.evaluation.setting import Setting
from training.evaluation.systems import ModelSystem, Predictions
from training.evaluation.tasks.questions import (
    by_type,
    commonest,
    evaluate_questions,
    first_word,
    leniently,
    letter_alone,
    letter_occurs,
)

CLOSED = Item(
    "k", "i", "c", "closed", "right lung", "Where?", ("left", "right lung"), "B", "location"
)
YES = Item("k", "i", "c", "yes/no", "Yes", "Is there?", type="abnormality")


def answer(text: str) -> Output:
    return Output("k", text)


@pytest.mark.parametrize(
    ("text", "first", "lenient"),
    [
        ("Yes.", True, True),
        ("Yes, there is no doubt", True, True),
        ("There is, yes", False, True),
        ("Either yes or no", False, False),
        ("No", False, False),
        ("Eyes", False, False),
        ("", False, False),
    ],
)
def test_the_lenient_rule_takes_all_that_the_first_word_takes(text, first, lenient):
    assert (first_word(YES, answer(text)), leniently(YES, answer(text))) == (first, lenient)


@pytest.mark.parametrize(
    ("text", "occurs", "alone"),
    [
        ("B. right lung", True, True),
        (" B. right lung", True, True),
        ("B", False, False),
        ("right lung", False, False),
        ("A. left", False, False),
        ("A. left B. right lung", True, False),  # the paper's rule takes every answer at once
        ("A. B. C. D.", True, False),
        ("The answer is B. right lung", True, False),
        ("", False, False),
        ("b. right lung", False, False),
    ],
)
def test_the_paper_s_rule_and_the_strict_one(text, occurs, alone):
    assert letter_occurs(CLOSED, answer(text)) is occurs
    assert letter_alone(CLOSED, answer(text)) is alone


def test_what_not_looking_earns_is_told_by_type_and_by_question():
    asked = [("Is there ascites?", "No"), ("Is there ascites?", "No"), ("Where?", "left")]
    items = [
        Item(str(i), "i", "c", "closed", answer, question, type="abnormality")
        for i, (question, answer) in enumerate(asked)
    ]
    assert commonest(items, lambda item: item.type).tolist() == [1, 1, 0]
    assert commonest(items, lambda item: item.question).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "right"),
    [("Yes", True), ("yes, it is", True), ("Yes.", True), ("No", False), ("", False)],
)
def test_yes_and_no_are_told_by_the_first_word(text, right):
    assert first_word(YES, answer(text)) is right


def test_the_mean_is_unweighted_over_types():
    kinds = ["plane"] * 8 + ["phase", "organ", "abnormality", "location"]
    scores = np.array([1.0] * 8 + [0.0] * 4)
    *types, mean = by_type(Bootstrap(tuple(map(str, range(12))), 50), kinds, scores)
    assert [cell.value for cell in types] == [100, 0, 0, 0, 0]
    assert mean.value == pytest.approx(20)


def test_a_type_that_was_not_asked_has_no_figure():
    *types, mean = by_type(Bootstrap(("c",), 10), ["plane"], np.array([1.0]))
    assert types[1:] == [None] * 4
    assert mean.value == 100


@pytest.fixture(scope="module")
def evaluated(store, engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions") / "out"
    setting = Setting(store, "paper", folder, limit=2, resamples=20)
    system = ModelSystem(engine, store, max_new_tokens=6, batch=16)
    return folder, evaluate_questions(setting, system, [BLEU_1, ROUGE_1])


def rows(results, name):
    found = next(table["rows"] for table in results["tables"] if table["name"] == name)
    return [row for row in found if row["source"] == "here"]


def test_tables_3_and_4_have_the_paper_s_columns(evaluated):
    _, results = evaluated
    assert list(rows(results, "table3")[0])[2:] == [
        "metric",
        *map(str.capitalize, TYPES.values()),
        "Mean",
    ]
    assert [row["metric"] for row in rows(results, "table3")][:4] == [
        "BLEU", "ROUGE", "METEOR", "BERTScore",
    ]  # fmt: skip
    assert [row["method"] for row in rows(results, "table4")] == [
        *(
            f"tiny ({decoding}{rule})"
            for decoding in ("greedy", "sampled")
            for rule in ("", ", strict", ", likeliest letter")
        ),
        "always the type's commonest answer",
        "always the question's commonest answer",
    ]


def test_the_closed_figure_is_the_share_of_right_letters(evaluated, store):
    folder, results = evaluated
    outputs = read_outputs(folder / "greedy.jsonl")
    items = question_items(store, "paper", 2)
    planes = [item for item in items if (item.task, item.type) == ("closed", "plane")]
    right = [f"{item.letter}." in outputs[item.key].text for item in planes]
    assert rows(results, "table4")[0]["Plane"]["value"] == pytest.approx(100 * np.mean(right))


def test_scores_of_open_and_closed_answers_can_be_compared(evaluated):
    folder, _ = evaluated
    rows_of = compare(folder, folder, resamples=5).rows
    labels = [label for label, _ in rows_of]
    assert {"ROUGE-1 (greedy)", "accuracy (greedy)", "accuracy, strict (sampled)"} <= set(labels)
    assert {difference.value for _, difference in rows_of} == {0}


def test_yes_and_no_stand_beside_the_commoner_answer(evaluated):
    _, results = evaluated
    assert [row["method"] for row in rows(results, "yes_no")][-1] in ("always “No”", "always “Yes”")


def test_every_table_has_its_plot(evaluated):
    folder, results = evaluated
    for table in results["tables"]:
        assert (folder / f"{table['name']}.svg").is_file()


def test_right_answers_from_elsewhere_score_everything(store, tmp_path):
    file = tmp_path / "oracle.jsonl"
    with file.open("w") as lines:
        for item in question_items(store, "grouped"):
            text = f"{item.letter}. {item.reference}" if item.task == "closed" else item.reference
            lines.write(json.dumps({"key": item.key, "text": text}) + "\n")
    setting = Setting(store, "grouped", tmp_path / "out", resamples=10)
    results = evaluate_questions(setting, Predictions(file), [BLEU_1])
    *given, by_type, by_question = (row["Mean"]["value"] for row in rows(results, "table4"))
    assert set(given) == {100}
    assert by_type <= by_question < 100
    assert rows(results, "table3")[0]["Mean"]["value"] == pytest.approx(100)
    assert rows(results, "yes_no")[0]["Mean"]["value"] == pytest.approx(100)
    assert rows(results, "yes_no")[1]["Mean"]["value"] == pytest.approx(100)  # lenient
    assert rows(results, "yes_no")[2]["Mean"]["value"] < 100
