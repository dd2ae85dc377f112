from itertools import accumulate

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from dicom_io.errors import EngineError
from engine import EMBEDDED
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint
from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.inference.quantization import QUANTIZATIONS, quantize
from engine.judgement.evidence import Wordings, attributed, divided_tower
from engine.network.families.ct_chat import CTChatConfig
from engine.protocol import Quantization, Sampling
from engine.sizes.memory import (
    ACTIVATIONS,
    EVIDENCE,
    KV_CACHE,
    PUBLISHED_MODEL,
    SAID,
    Load,
    kept_rows,
    memory_by_part,
    peak_bytes,
    weight_bytes,
)
from tests.engine.conftest import SIZE
from tests.engine.ct_chat import VISION, llm

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


def test_the_search_for_evidence_takes_what_is_counted() -> None:
    """Measured by the allocator; attention takes less there than the plain one that is counted."""
    model = load_checkpoint(EMBEDDED).model
    parts = memory_by_part(model.config, torch.float32, load=Load(evidence=True))
    assert parts[EVIDENCE] > parts[ACTIVATIONS]
    tower = divided_tower(model)
    assert tower is not None
    written = model.image_token_count + Load.question_tokens + Load.new_tokens
    wordings = Wordings(torch.zeros(1, written, dtype=torch.long), SAID[0], SAID[1:])
    volume = torch.rand(1, 1, *model.config.vision.input_size)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        with torch.no_grad():
            own = tower.to_grid(volume)
        attributed(model, (own.clone(), own), wordings, steps=2)
    assert profiled.profiler is not None
    events = profiled.profiler.kineto_results.events()
    changes = [one.nbytes() for one in events if one.name() == "[memory]"]
    measured = max(accumulate(changes))
    assert 1 < (parts[ACTIVATIONS] + parts[EVIDENCE]) / measured < 1.5


def test_a_tower_that_cannot_be_entered_names_no_evidence() -> None:
    config = CTChatConfig(VISION, llm(), image_token=4)
    with pytest.raises(EngineError, match="cannot be entered"):
        memory_by_part(config, torch.float32, load=Load(evidence=True))


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
