from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engine.judgement.baselines import (
    EVIDENCE,
    Baselines,
    Contrast,
    body_box,
    read_baselines,
)

WHOLE = ((0.0, 1.0),) * 3
ASCITES = Contrast("ascites", ("ascites", "free fluid"), ("There is no ascites.",))
SPLEEN = Contrast("splenomegaly", ("splenomegaly",), ("The spleen is of normal size.",))


def baselines(mean: torch.Tensor, box=WHOLE) -> Baselines:
    key = ("axial", "ascites")
    return Baselines((ASCITES, SPLEEN), {key: mean}, {key: box})


def test_a_sentence_speaks_of_one_finding_or_of_none():
    known = baselines(torch.zeros(1, 1, 1, 1))
    assert known.contrast("There is FREE FLUID.") is ASCITES
    assert known.contrast("A nodule.") is None
    assert known.contrast("Ascites and splenomegaly.") is None


def test_a_file_gives_back_what_was_saved(tmp_path: Path):
    box = ((0.0, 1.0), (0.25, 0.75), (0.125, 1.0))
    baselines(torch.arange(8.0).reshape(2, 2, 2, 1), box).save(tmp_path / EVIDENCE)
    read = read_baselines(tmp_path)
    assert read is not None
    assert read.contrasts == (ASCITES, SPLEEN)
    assert read.boxes == {("axial", "ascites"): box}
    assert torch.equal(read.means["axial", "ascites"].flatten(), torch.arange(8.0).half())


def test_a_checkpoint_keeps_its_baselines(checkpoint: Checkpoint, tmp_path: Path):
    known = replace(checkpoint, baselines=baselines(torch.zeros(8, 8, 16, 4)))
    save_checkpoint(known, tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.baselines is not None
    assert loaded.baselines.contrasts == (ASCITES, SPLEEN)


def test_a_damaged_file_is_refused(tmp_path: Path):
    (tmp_path / EVIDENCE).write_bytes(b"nothing")
    with pytest.raises(CheckpointMismatch, match="damaged"):
        read_baselines(tmp_path)


def test_no_file_is_no_baselines(tmp_path: Path):
    assert read_baselines(tmp_path) is None


def test_the_body_is_found_in_an_input():
    volume = torch.zeros(1, 1, 10, 20, 40)
    volume[..., 2:8, 5:15, 30:40] = 0.5
    assert body_box(volume) == ((0.2, 0.8), (0.25, 0.75), (0.75, 1.0))


def test_without_a_body_all_of_the_input_counts():
    assert body_box(torch.zeros(1, 1, 4, 4, 4)) == WHOLE


def test_the_mean_is_laid_on_the_body():
    mean = torch.zeros(8, 8, 8, 1)
    mean[2, 4, 4] = 1
    shifted = ((0.25, 1.25), (0.0, 1.0), (0.0, 1.0))
    moved = baselines(mean).aligned("axial", "ascites", shifted)
    assert moved is not None
    assert moved.shape == (1, 8, 8, 8, 1)
    assert (moved > 0.9).nonzero().tolist() == [[0, 4, 4, 4, 0]]


def test_a_body_in_its_place_changes_nothing():
    mean = torch.rand(4, 6, 8, 3)
    box = ((0.1, 0.9), (0.0, 1.0), (0.2, 0.7))
    moved = baselines(mean, box).aligned("axial", "ascites", box)
    assert moved is not None
    assert torch.allclose(moved[0], mean, atol=1e-5)


def test_a_plane_that_was_never_seen_has_no_mean():
    assert baselines(torch.zeros(1, 1, 1, 1)).aligned("sagittal", "ascites", WHOLE) is None
