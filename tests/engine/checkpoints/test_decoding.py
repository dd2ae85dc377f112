"""What generation_config.json says, and what of it is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engine.checkpoints.decoding import GENERATION, Decoding, read_decoding
from engine.inference.local import LocalEngine
from engine.protocol import GREEDY, Sampling
from tests.engine.conftest import input_for

QWEN = {
    "bos_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.05,
    "temperature": 0.7,
    "top_k": 20,
    "top_p": 0.8,
}
"""What Qwen2.5-7B-Instruct comes with."""


def read(folder: Path, said: Any) -> Decoding:
    (folder / GENERATION).write_text(said if isinstance(said, str) else json.dumps(said))
    return read_decoding(folder)


def test_qwens_own(tmp_path: Path) -> None:
    assert read(tmp_path, QWEN) == Decoding(0.7, 0.8, 20, 1.05, frozenset({151645, 151643}))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Decoding()),
        ({"eos_token_id": 7}, Decoding(ends=frozenset({7}))),
        ({"eos_token_id": None, "top_k": None}, Decoding()),
        ({"do_sample": True}, Decoding(temperature=1.0)),
        ({"do_sample": False, "temperature": 0.7, "top_p": 0.5}, Decoding(top_p=0.5)),
        ({"repetition_penalty": 1.2, "max_length": 20}, Decoding(repetition_penalty=1.2)),
    ],
)
def test_what_is_left_out_changes_nothing(tmp_path: Path, said: Any, expected: Decoding) -> None:
    assert read(tmp_path, said) == expected


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_decoding(tmp_path) == Decoding()


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        "{",
        "[" * 100_000,
        {"eos_token_id": "</s>"},
        {"eos_token_id": [-1]},
        {"eos_token_id": {"a": 1}},
        {"top_k": -1},
        {"top_k": 2.5},
        {"top_p": 0},
        {"repetition_penalty": 0},
        {"repetition_penalty": "NaN"},
        {"do_sample": True, "temperature": float("inf")},
    ],
)
def test_nonsense_is_refused_and_names_the_file(tmp_path: Path, said: Any) -> None:
    with pytest.raises(CheckpointMismatch, match=GENERATION):
        read(tmp_path, said)


def test_a_native_checkpoint_keeps_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    eos = checkpoint.tokenizer.token_to_id("<eos>")
    decoding = Decoding(0.5, 0.9, 3, 1.5, frozenset({eos, 4}))
    digest = save_checkpoint(replace(checkpoint, decoding=decoding), tmp_path / "a")
    assert load_checkpoint(tmp_path / "a").decoding == decoding
    assert save_checkpoint(checkpoint, tmp_path / "b") != digest
    assert load_checkpoint(tmp_path / "b").decoding == Decoding(ends=frozenset({eos}))


def test_an_engine_writes_as_its_checkpoint_says(checkpoint: Checkpoint) -> None:
    checkpoint.model.lm_head.weight.data.div_(20)
    model_input, ten = input_for(checkpoint.preprocess), Sampling(max_new_tokens=10)
    greedy = replace(GREEDY, max_new_tokens=10)

    def ids(decoding: Decoding, sampling: Sampling = ten) -> tuple[int, ...]:
        engine = LocalEngine(replace(checkpoint, decoding=decoding))
        return engine.report(model_input, sampling).token_ids

    likeliest, hot = ids(Decoding()), Decoding(temperature=9.0)
    assert ids(hot) != likeliest
    assert ids(hot, greedy) == likeliest
    third = likeliest[2]
    assert ids(Decoding(ends=frozenset({third}))) == likeliest[: likeliest.index(third)]


def test_an_end_that_the_model_cannot_write_is_a_contradiction(checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointMismatch, match="token 99999"):
        LocalEngine(replace(checkpoint, decoding=Decoding(ends=frozenset({99999}))))
