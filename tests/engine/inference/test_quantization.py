from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dicom_io.errors import EngineError
from engine.checkpoints.checkpoint import Checkpoint
from engine.inference.local import LocalEngine
from engine.inference.quantization import quantize
from engine.protocol import Quantization, Sampling
from tests.engine.conftest import input_for

CPU = torch.device("cpu")
PROMPT = torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("kind", "error"), [("int8", 1e-3), ("nf4", 2e-2)])
@torch.inference_mode()
def test_logits_stay_close(checkpoint: Checkpoint, kind: Quantization, error: float) -> None:
    exact = checkpoint.model(PROMPT)
    quantize(checkpoint.model, kind, CPU)
    off = (checkpoint.model(PROMPT) - exact).norm() / exact.norm()
    assert 0 < off < error


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8), ("nf4", 4)])
def test_a_weight_has_as_many_bits(checkpoint: Checkpoint, kind: Quantization, bits: int) -> None:
    weights = sum(p.numel() for p in linear_weights(checkpoint.model.llm_layers))
    quantize(checkpoint.model, kind, CPU)
    kept = sum(p.numel() * p.element_size() for p in linear_weights(checkpoint.model.llm_layers))
    assert kept * 8 == weights * bits


def test_only_the_layers_of_the_language_model_change(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    changed = {f"model.layers.{name}" for name, _ in model.llm_layers.named_parameters()}
    before = {n: p.clone() for n, p in model.named_parameters() if n not in changed}
    quantize(model, "nf4", CPU)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], parameter) for name, parameter in before.items())


def test_the_image_embedding_does_not_depend_on_it(folder: Path) -> None:
    exact, quantized = (
        LocalEngine.load(folder, device="cpu", quantization=kind).report(
            input_for(LocalEngine.load(folder, device="cpu").preprocess), Sampling(4)
        )
        for kind in ("none", "int8")
    )
    assert np.array_equal(exact.image_embedding, quantized.image_embedding)
    assert quantized.text


def test_the_identity_says_so(folder: Path) -> None:
    exact, quantized = (
        LocalEngine.load(folder, device="cpu", quantization=kind).identity.version
        for kind in ("none", "nf4")
    )
    assert quantized == f"{exact} (nf4)"


def test_an_unknown_kind_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(EngineError, match="one of none, int8, nf4, got 'int3'"):
        quantize(checkpoint.model, "int3", CPU)  # type: ignore[arg-type]


def linear_weights(layers: nn.ModuleList) -> list[nn.Parameter]:
    return [p for name, p in layers.named_parameters() if name.endswith("proj.weight")]
