"""M3D-LaMed in its published layouts, with small language models in place of theirs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.llama import LlamaConfig
from transformers.models.phi3 import Phi3Config

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe, load_checkpoint, save_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.layouts.m3d_lamed import load_vit3d
from engine.inference.local import LocalEngine
from engine.network.towers.vit3d import ViT3D, ViT3DConfig
from engine.protocol import Sampling
from tests.engine.conftest import input_for
from tests.engine.lamed import LLM, config_json, small, write_folder

LLMS = {"lamed_llama": LlamaConfig, "lamed_phi3": Phi3Config}


def write(folder: Path, model_type: str = "lamed_llama", **changes: Any) -> Path:
    write_folder(folder, small(LLMS[model_type](**LLM)), config_json(model_type, **changes))
    return folder


@pytest.mark.parametrize("model_type", LLMS)
def test_a_published_checkpoint_loads_tensor_by_tensor(model_type: str, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(write(tmp_path, model_type))
    stored = load_file(tmp_path / "model.safetensors")
    for name, tensor in checkpoint.model.state_dict().items():
        assert torch.equal(tensor, stored[name])
    assert checkpoint.preprocess.size == (8, 64, 64)


def test_the_segmentation_module_is_left_out_with_a_word(tmp_path: Path) -> None:
    left_out = describe(write(tmp_path)).card.provenance["left out"]
    assert left_out == "the segmentation module (2 tensors), which a report does not need"


def test_what_was_left_out_bars_the_way_back(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    convert(write(tmp_path / "published"), tmp_path / "native")
    assert load_checkpoint(tmp_path / "native").identity.name == "published"
    with pytest.raises(CheckpointMismatch, match="left out the segmentation module"):
        convert(tmp_path / "native", tmp_path / "back")


def test_a_loose_vision_tower_loads(tmp_path: Path) -> None:
    tower = ViT3D(ViT3DConfig(width=24, layers=2))
    torch.save(tower.state_dict(), tmp_path / "pretrained_ViT.bin")
    loaded = load_vit3d(tmp_path / "pretrained_ViT.bin")
    assert loaded.config == tower.config
    assert torch.equal(loaded.blocks[1].attn.qkv.weight, tower.blocks[1].attn.qkv.weight)


def test_another_loose_file_is_no_vision_tower(tmp_path: Path) -> None:
    torch.save({"linear.weight": torch.zeros(1)}, tmp_path / "other.bin")
    with pytest.raises(CheckpointMismatch, match="no vision tower of M3D-LaMed"):
        load_vit3d(tmp_path / "other.bin")


def test_weights_saved_with_a_newer_monai_load_too(tmp_path: Path) -> None:
    write(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for block in range(2):
        for name in ("weight", "bias"):
            stem = f"model.vision_tower.vision_tower.blocks.{block}.norm_cross_attn.{name}"
            tensors[stem] = torch.zeros(24)
    save_file(tensors, tmp_path / "model.safetensors")
    assert load_checkpoint(tmp_path).model.config.vision.unused_norms


def test_the_embeddings_say_how_many_tokens_there_are(tmp_path: Path) -> None:
    folder = write(tmp_path, "lamed_phi3", vocab_size=32064)
    assert load_checkpoint(folder).model.config.llm.vocab_size == 344


@pytest.mark.parametrize("model_type", LLMS)
def test_the_engine_drafts_with_it_as_with_any_other(model_type: str, tmp_path: Path) -> None:
    engine = LocalEngine.load(write(tmp_path, model_type))
    volume = input_for(engine.preprocess)
    report = engine.report(volume, Sampling(max_new_tokens=4))
    assert report.token_ids
    assert report.image_embedding.shape == (24,)
    samples = engine.report_samples(volume, 2, Sampling(max_new_tokens=4, temperature=1.0, seed=1))
    assert len(samples) == 2
    answer = engine.ask(volume, "the liver", ["fine", "large"], Sampling(max_new_tokens=2))
    assert sum(choice.probability for choice in answer.choices) == pytest.approx(1.0)


def test_in_bfloat16_the_vision_tower_stays_as_it_is(tmp_path: Path) -> None:
    engine = LocalEngine.load(write(tmp_path), dtype="bfloat16")
    volume, four = input_for(engine.preprocess), Sampling(max_new_tokens=4)
    exact = LocalEngine.load(tmp_path).report(volume, four)
    rounded = engine.report(volume, four)
    assert len(rounded.token_ids) == 4
    assert (rounded.image_embedding == exact.image_embedding).all()


def test_two_studies_in_one_batch_read_as_one_by_one(tmp_path: Path) -> None:
    engine = LocalEngine.load(write(tmp_path))
    volumes = [input_for(engine.preprocess, seed) for seed in (1, 2)]
    together = engine.report_batch(volumes, Sampling(max_new_tokens=4))
    alone = [engine.report(volume, Sampling(max_new_tokens=4)) for volume in volumes]
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]


def test_transformers_loads_the_native_form(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    convert(write(tmp_path / "published"), tmp_path / "native")
    checkpoint = load_checkpoint(tmp_path / "native")
    engine = LocalEngine(checkpoint)
    volume = input_for(checkpoint.preprocess)
    ids = engine._prompts.ids(checkpoint.prompt.report, 4)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "native")
    written = model.generate(
        ids, images=torch.from_numpy(volume.pixels)[None], max_new_tokens=4, do_sample=False
    )
    report = engine.report(volume, Sampling(max_new_tokens=4))
    assert tuple(written[0, ids.shape[1] :].tolist()) == report.token_ids


def test_the_prompt_begins_with_the_tokenizers_first_token(tmp_path: Path) -> None:
    engine = LocalEngine.load(write(tmp_path))
    ids = engine._prompts.ids("Describe", 8)[0].tolist()
    assert ids[:5] == [1, 340, 340, 340, 340]
    assert 340 not in ids[5:]


def test_it_goes_to_the_native_layout_and_back(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    published = load_checkpoint(write(tmp_path / "published"))
    save_checkpoint(published, tmp_path / "native")
    native = load_checkpoint(tmp_path / "native")
    assert native.model.config.vision == published.model.config.vision
    for name, tensor in native.model.state_dict().items():
        assert torch.equal(tensor, published.model.state_dict()[name])
    volume, four = input_for(published.preprocess), Sampling(max_new_tokens=4)
    texts = [LocalEngine(one).report(volume, four).text for one in (published, native)]
    assert texts[0] == texts[1]


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = load_file(write(tmp_path) / "model.safetensors")
    del tensors["model.mm_projector.projector.2.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.mm_projector\.projector\.2"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("proj_pooling_type", "sequence"), ("vision_tower", "swin"), ("vision_select_layer", -2)],
)
def test_a_part_that_is_not_known_is_refused(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=f"{key} is {value!r}"):
        describe(write(tmp_path, **{key: value}))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    config = config_json("lamed_llama")
    del config["proj_pooling_size"]
    write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointMismatch, match="proj_pooling_size"):
        describe(tmp_path)


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "tokenizer.model").write_bytes(b"\x00damaged")
    with pytest.raises(CheckpointMismatch, match=r"tokenizer\.model is no tokenizer"):
        load_checkpoint(tmp_path)
