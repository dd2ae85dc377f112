import json
from dataclasses import replace
from itertools import pairwise

import pytest

from dicom_io.errors import UnusableData
from training.evaluation.items import question_items, report_items, write_items


def test_reports_come_in_the_order_of_the_split(store):
    keys = store.split("paper")["test"]
    items = report_items(store, "paper")
    assert [item.key for item in items] == keys
    assert items[0].reference == store.report(keys[0])
    assert items[0].case == store.images[keys[0]].case


def test_a_limit_takes_the_first(store):
    assert [i.key for i in report_items(store, "paper", 2)] == store.split("paper")["test"][:2]


def test_a_question_with_choices_is_asked_openly_and_with_them(store):
    items = question_items(store, "paper")
    openly = [item for item in items if item.task == "open"]
    closed = [item for item in items if item.task == "closed"]
    assert [i.question for i in openly] == [i.question for i in closed]
    assert not any(item.choices for item in openly)
    assert all(i.choices["ABCD".index(i.letter)] == i.reference for i in closed)


def test_yes_and_no_are_asked_apart_and_without_choices(store):
    items = [item for item in question_items(store, "paper") if item.task == "yes/no"]
    assert {item.reference for item in items} == {"Yes", "No"}
    assert not any(item.choices for item in items)


def test_every_key_is_there_once(store):
    keys = [item.key for item in question_items(store, "paper")]
    assert len(keys) == len(set(keys))


def test_a_limit_of_questions_counts_each_task_and_type(store):
    items = question_items(store, "paper", 2)
    kinds = [(item.task, item.type) for item in items]
    assert max(kinds.count(kind) for kind in kinds) == 2
    assert set(kinds) == {(i.task, i.type) for i in question_items(store, "paper")}


def test_questions_on_one_image_stand_together(store):
    images = [item.image for item in question_items(store, "paper")]
    runs = 1 + sum(a != b for a, b in pairwise(images))
    assert runs == len(set(images))


@pytest.mark.parametrize("items_of", [report_items, question_items])
def test_a_store_with_nothing_to_test_is_refused(store, items_of, monkeypatch):
    monkeypatch.setattr(store, "split", lambda name: {"test": []})
    monkeypatch.setattr(store, "questions", lambda name, part: [])
    with pytest.raises(UnusableData, match="has no test"):
        items_of(store, "grouped")


def test_a_question_on_an_image_that_is_not_there_is_refused(store, monkeypatch):
    (question, *_) = store.questions("paper", "test")
    lost = replace(question, image="nowhere/1")
    monkeypatch.setattr(store, "questions", lambda name, part: [lost])
    with pytest.raises(UnusableData, match="asks about nowhere/1, which is not in"):
        question_items(store, "paper")


def test_items_are_written_for_systems_elsewhere(store, tmp_path):
    items = question_items(store, "paper")
    write_items(tmp_path / "items.jsonl", items)
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == [item.key for item in items]
    assert rows[0]["question"] == items[0].question
