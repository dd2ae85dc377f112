from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.checkpoints.checkpoint import Checkpoint
from engine.inference import cpu
from engine.inference.local import LocalEngine
from engine.network.out_of_distribution import Gaussian, TrainingDistribution
from engine.network.towers.inference_form import InferenceForm
from engine.protocol import Sampling
from tests.engine.conftest import input_for


def tower_of(folder: Path, dtype: str) -> InferenceForm:
    """The vision tower of an engine that runs on the CPU in a type."""
    modules = LocalEngine.load(folder, device="cpu", dtype=dtype)._model.modules()
    return next(module for module in modules if isinstance(module, InferenceForm))


def test_the_encoder_runs_in_bfloat16_where_the_processor_has_units_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16_units", lambda: True)
    assert {b.dtype for b in tower_of(folder, "bfloat16").buffers()} == {torch.bfloat16}
    assert {b.dtype for b in tower_of(folder, "float32").buffers()} == {torch.float32}
    engine = LocalEngine.load(folder, device="cpu", dtype="bfloat16")
    assert engine.identity.version.endswith(" (bfloat16 encoder)")
    full = LocalEngine.load(folder, device="cpu", dtype="float32")
    one, other = (
        e.report(input_for(e.preprocess), Sampling(max_new_tokens=1)).image_embedding
        for e in (engine, full)
    )
    assert not np.array_equal(one, other)
    assert np.linalg.norm(one - other) < 0.05 * np.linalg.norm(other)


def test_without_such_units_the_encoder_stays_in_float32_and_the_log_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16_units", lambda: False)
    assert tower_of(folder, "bfloat16").dtype is torch.float32
    assert "no AVX512-BF16 or AMX" in caplog.text


def test_a_model_abstains_by_its_limits_for_bfloat16_and_without_them_sees_in_float32(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16_units", lambda: True)
    one = torch.ones(1)
    known = {"pixels": Gaussian(one, one[None], torch.tensor(1.0), torch.tensor(2.0))}
    abstaining = replace(checkpoint, distribution=TrainingDistribution(known))
    used = cpu.on_cpu(deepcopy(abstaining), torch.bfloat16).distribution
    assert used is not None
    assert used.gaussians["pixels"].limit == 2.0
    old = {"pixels": Gaussian(one, one[None], torch.tensor(1.0))}
    kept = deepcopy(replace(checkpoint, distribution=TrainingDistribution(old)))
    assert cpu.on_cpu(kept, torch.bfloat16) is kept
    assert "no limits for bfloat16" in caplog.text
