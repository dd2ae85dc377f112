import pytest
import torch

from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.inference.quantization import QUANTIZATIONS, quantize
from engine.protocol import Quantization, Sampling
from engine.sizes.memory import (
    ACTIVATIONS,
    KV_CACHE,
    PUBLISHED_MODEL,
    Load,
    kept_rows,
    memory_by_part,
    peak_bytes,
    weight_bytes,
)
from tests.engine.conftest import SIZE

GB = 10**9
LOAD = Load(texts=3, question_tokens=4, new_tokens=8)


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_weights_are_counted_as_they_are(checkpoint: Checkpoint, kind: Quantization) -> None:
    model = checkpoint.model
    counted = weight_bytes(model, kind)
    quantize(model, kind, torch.device("cpu"))
    state = model.state_dict()
    # what bitsandbytes writes into a file to know its format again, one offset a weight in it
    format_tensors = ("weight_format", "bitsandbytes__nf4")
    kept = sum(
        t.numel() * t.element_size() for k, t in state.items() if not k.endswith(format_tensors)
    )
    offsets = 4 * sum(name.endswith("bitsandbytes__nf4") for name in state)
    assert sum(counted.values()) == kept + offsets


@torch.inference_mode()
def test_keys_and_values_are_counted_as_they_are(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    generator = Generator(model, Decoding())
    prompts = [torch.rand(model.image_token_count + LOAD.question_tokens, 16)] * LOAD.texts
    prefix = generator.read(prompts)
    generator.write(prefix, Sampling(LOAD.new_tokens))
    layers = [layer for kept in generator._shapes.values() for layer in kept.layers]
    caches = [(layer.keys, layer.values) for layer in layers] + prefix.keys_values
    kept = sum(t.numel() * t.element_size() for pair in caches for t in pair if t is not None)
    assert memory_by_part(model.config, torch.float32, load=LOAD)[KV_CACHE] == kept


@torch.inference_mode()
def test_activations_are_those_of_a_real_run(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    volume = torch.rand(1, 1, *SIZE)
    held = [*model.parameters(), *model.buffers(), volume]
    alive = peak_bytes(lambda: model.image_tokens(model.encode_image(volume)), held)
    counted = memory_by_part(model.config, torch.float32, load=LOAD)[ACTIVATIONS]
    assert counted == pytest.approx(alive, rel=0.05)


def test_what_is_freed_is_not_counted_twice() -> None:
    def twice() -> torch.Tensor:
        torch.empty(1000)
        return torch.empty(1000) + 1

    assert peak_bytes(twice, []) == 8000


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_the_published_model_fits_a_card_of_12_gb(kind: Quantization) -> None:
    half_a_gb_for_cuda = GB // 2
    total = sum(memory_by_part(PUBLISHED_MODEL, torch.bfloat16, kind).values())
    assert total + half_a_gb_for_cuda < 12 * GB


def test_the_published_model_has_seven_billion_weights() -> None:
    parts = memory_by_part(PUBLISHED_MODEL, torch.bfloat16)
    weights = sum(v for k, v in parts.items() if k not in (KV_CACHE, ACTIVATIONS))
    assert 15.2 * GB < weights < 15.5 * GB


def test_caches_of_smaller_batches_stay_and_are_counted():
    # at work: a bucket of as many texts, filled up; kept beside it: three smaller ones at most
    assert [kept_rows(texts) for texts in (1, 2, 3, 4, 8, 16)] == [0, 1, 1 + 3, 3, 7, 2 + 4 + 8]
