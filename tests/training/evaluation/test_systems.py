import json

import numpy as np
import pytest

from dicom_io.errors import UnusableData
from engine.protocol import Sampling
from training.evaluation.folder import read_outputs
from training.evaluation.items import question_items, report_items
from training.evaluation.systems import ModelSystem, Predictions, seed_of, stored_input


@pytest.fixture
def system(engine, store) -> ModelSystem:
    return ModelSystem(engine, store, max_new_tokens=6, batch=4)


def test_texts_are_what_the_engine_writes_alone(system, store, engine, tmp_path):
    items = report_items(store, "paper")
    texts = system.texts(items, tmp_path)
    for item, output in zip(items, texts["greedy"], strict=True):
        alone = engine.report(stored_input(store, item.image), Sampling(max_new_tokens=6))
        assert output.text == alone.text


def test_answers_are_what_the_engine_answers_alone(system, store, engine, tmp_path):
    items = question_items(store, "paper", 1)
    outputs = system.texts(items, tmp_path)["sampled"]
    for item, output in zip(items, outputs, strict=True):
        drawn = Sampling(max_new_tokens=6, temperature=1, seed=seed_of(0, item.key))
        volume = stored_input(store, item.image)
        answer = engine.ask(volume, item.question, item.choices, drawn)
        assert output.text == answer.generation.text
        assert output.choice == (answer.choice.letter if answer.choice else "")


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_batch_changes_no_text(engine, store, batch, tmp_path):
    items = question_items(store, "paper", 2)
    texts = [
        ModelSystem(engine, store, max_new_tokens=4, batch=size).texts(items, tmp_path / str(size))
        for size in (batch, 2)
        if not (tmp_path / str(size)).mkdir()
    ]
    assert texts[0] == texts[1]


def test_a_killed_run_goes_on_where_it_was(system, store, tmp_path, monkeypatch):
    items = report_items(store, "paper")
    whole = system.texts(items, tmp_path)["greedy"]
    path = tmp_path / "greedy.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:10])
    wrote = []
    monkeypatch.setattr(
        ModelSystem,
        "_write",
        lambda self, batch, decoding, write=ModelSystem._write: (
            wrote.extend(batch) or write(self, batch, decoding)
        ),
    )
    assert system.texts(items, tmp_path)["greedy"] == whole
    assert wrote == items[3:]
    assert list(read_outputs(path).values()) == whole


def test_each_item_has_luck_of_its_own(system, store, tmp_path):
    assert len({seed_of(0, str(n)) for n in range(1000)}) == 1000
    assert 0 <= seed_of(0, "a") < 2**63
    assert seed_of(0, "a") != seed_of(1, "a")


def test_the_stored_input_is_the_input(store):
    key = next(iter(store.images))
    model_input = stored_input(store, key)
    assert model_input.spec == store.header.spec
    assert model_input.pixels.dtype == np.float32
    assert 0 <= model_input.pixels.min() < model_input.pixels.max() <= 1


def predictions(path, *rows) -> Predictions:
    file = path / "other.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Predictions(file)


def test_texts_from_elsewhere_are_found_by_their_key(store, tmp_path):
    items = report_items(store, "paper", 2)
    rows = [{"key": item.key, "text": f"text {n}", "more": 1} for n, item in enumerate(items)]
    outputs = predictions(tmp_path, *reversed(rows)).texts(items, tmp_path)
    assert [output.text for output in outputs["given"]] == ["text 0", "text 1"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"key": "a"}], r'line 1: not {"key": …, "text": …}'),
        ([["a"]], r'line 1: not {"key"'),
        ([{"key": "a", "text": None}], "line 1: key and text must be strings"),
        ([{"key": "a", "text": "x"}, {"key": "a", "text": "y"}], "has a twice"),
        ([{"key": "a", "text": "x"}, {"key": "a", "text": "x"}], "has a twice"),
        ([{"key": "a", "text": "x"}], "has no text for 6 of 6 items, the first of them phantom/1"),
    ],
)
def test_predictions_that_cannot_be_used_are_refused(store, tmp_path, rows, message):
    with pytest.raises(UnusableData, match=message):
        predictions(tmp_path, *rows).texts(report_items(store, "paper"), tmp_path)


def test_the_facts_change_with_the_texts(tmp_path):
    first = predictions(tmp_path, {"key": "a", "text": "x"}).facts
    assert first != predictions(tmp_path, {"key": "a", "text": "y"}).facts
