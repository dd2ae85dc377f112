import json

import pytest

from dicom_io.errors import UnusableData
from training.evaluation.folder import FACTS as FACTS_FILE
from training.evaluation.folder import Output, append_outputs, claimed, read_outputs

FACTS = {"split": "paper", "seed": 0}


def test_the_same_evaluation_goes_on_with_its_outputs(tmp_path):
    facts = {**FACTS, "size": (8, 16, 16)}  # a tuple, which JSON does not have
    for key in "ab":
        with claimed(tmp_path / "out", facts):
            append_outputs(tmp_path / "out" / "greedy.jsonl", [Output(key, "one")])
    assert list(read_outputs(tmp_path / "out" / "greedy.jsonl")) == ["a", "b"]
    assert json.loads((tmp_path / "out" / FACTS_FILE).read_text())["size"] == [8, 16, 16]


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"split": "grouped", "seed": 0}, "split paper, not grouped"),
        ({"split": "paper", "seed": 1}, "seed 0, not 1"),
        ({"split": "paper", "seed": 0, "checkpoint": "b"}, "checkpoint None, not b"),
    ],
)
def test_another_evaluation_is_refused_by_name(tmp_path, facts, named):
    with claimed(tmp_path, FACTS):
        pass
    with (
        pytest.raises(UnusableData, match=f"holds an evaluation with {named}: take another --out"),
        claimed(tmp_path, facts),
    ):
        pass


def test_a_setting_within_a_table_is_named_alone(tmp_path):
    with claimed(tmp_path, {"recipe": {"name": "a", "stage": {"steps": 1, "clip": 1.0}}}):
        pass
    with (
        pytest.raises(UnusableData, match=r"with recipe\.stage\.steps 1, not 2: take another"),
        claimed(tmp_path, {"recipe": {"name": "a", "stage": {"steps": 2, "clip": 1.0}}}),
    ):
        pass


def test_two_processes_do_not_write_one_folder(tmp_path):
    with (
        claimed(tmp_path, FACTS),
        pytest.raises(UnusableData, match="another process is writing"),
        claimed(tmp_path, FACTS),
    ):
        pass


def test_outputs_are_read_back(tmp_path):
    outputs = [Output("a", "Ascites – klein."), Output("b", "", "eos", "unlike any", "C")]
    append_outputs(tmp_path / "greedy.jsonl", outputs[:1])
    append_outputs(tmp_path / "greedy.jsonl", outputs[1:])
    assert read_outputs(tmp_path / "greedy.jsonl") == {"a": outputs[0], "b": outputs[1]}


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_was_not_finished_is_written_again(tmp_path, cut):
    path = tmp_path / "greedy.jsonl"
    append_outputs(path, [Output("a", "one"), Output("b", "two")])
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(read_outputs(path)) == ["a"]
    append_outputs(path, [Output("b", "two")])
    assert [output.text for output in read_outputs(path).values()] == ["one", "two"]


def test_no_outputs_are_no_error(tmp_path):
    assert read_outputs(tmp_path / "greedy.jsonl") == {}
