"""Loading what the authors' code published, and what their tools put around it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen2Tokenizer
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import load_checkpoint
from engine.inference.local import LocalEngine
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.network.projector import Kind, ProjectorConfig, StreamConfig
from engine.network.towers.dcformer import VARIANTS
from engine.network.towers.vit3d import AblationViT3DConfig
from tests.engine.published import (
    CONFIG,
    assert_same_state,
    published_model,
    write_settings,
    write_shards,
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published_model().state_dict()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Configuration and tokenizer; the weights are each test's own."""
    return write_settings(tmp_path / "published")


def test_one_safetensors_file_loads(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors")
    checkpoint = load_checkpoint(folder)
    assert_same_state(checkpoint.model, weights)
    assert checkpoint.model.config.splice == "published"
    assert checkpoint.preprocess.size == (128, 256, 256)
    assert checkpoint.prompt.eos_token == "<|im_end|>"
    assert not checkpoint.identity.demonstration
    assert LocalEngine(checkpoint).identity.digest == checkpoint.digest


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_load(weights: dict[str, Tensor], folder: Path, suffix: str) -> None:
    write_shards(weights, folder, suffix)
    assert_same_state(load_checkpoint(folder).model, weights)


def test_torch_weights_load(weights: dict[str, Tensor], folder: Path) -> None:
    torch.save(weights, folder / "pytorch_model.bin")
    assert_same_state(load_checkpoint(folder).model, weights)


def test_torch_weights_that_carry_code_do_not_run_it(folder: Path) -> None:
    torch.save({"lm_head.weight": Path("anything")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointMismatch, match=r"pytorch_model\.bin"):
        load_checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_loads_in_the_type_asked_for(
    weights: dict[str, Tensor], folder: Path, dtype: torch.dtype
) -> None:
    halved = {n: t.to(dtype) if t.is_floating_point() else t for n, t in weights.items()}
    save_file(halved, folder / "model.safetensors")
    model = load_checkpoint(folder, dtype=dtype).model
    assert model.lm_head.weight.dtype is dtype
    tower = model.model.vision_tower.state_dict()
    stem = "vision_tower.encoder.s0.0.0.c1.0.weight"
    assert torch.equal(tower[stem], halved[f"model.vision_tower.{stem}"].float())


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module.base_model.model."])
def test_what_wrappers_put_before_names_is_taken_off(
    weights: dict[str, Tensor], folder: Path, wrapper: str
) -> None:
    torch.save({wrapper + name: t for name, t in weights.items()}, folder / "pytorch_model.bin")
    assert_same_state(load_checkpoint(folder).model, weights)


def test_rotary_frequencies_of_older_releases_are_left_out(
    weights: dict[str, Tensor], folder: Path
) -> None:
    frequencies = {
        f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(8) for i in range(2)
    }
    save_file(weights | frequencies, folder / "model.safetensors")
    assert_same_state(load_checkpoint(folder).model, weights)


def test_a_vision_tower_beside_the_weights_takes_their_place(
    weights: dict[str, Tensor], folder: Path
) -> None:
    save_file(weights, folder / "model.safetensors")
    begin = "model.vision_tower."
    tower = {n.removeprefix(begin): t for n, t in weights.items() if n.startswith(begin)}
    scale = "vision_tower.encoder.s1.0.scale"
    torch.save(tower | {scale: torch.full_like(tower[scale], 0.5)}, folder / "vision_tower.bin")
    loaded = load_checkpoint(folder).model.state_dict()
    assert torch.equal(loaded[begin + scale], torch.full_like(tower[scale], 0.5))
    assert torch.equal(loaded["lm_head.weight"], weights["lm_head.weight"])


def test_a_tied_head_is_not_asked_for(weights: dict[str, Tensor], folder: Path) -> None:
    write_settings(folder, tie_word_embeddings=True)
    stored = {n: t for n, t in weights.items() if n != "lm_head.weight"}
    save_file(stored, folder / "model.safetensors")
    model = load_checkpoint(folder).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_files_of_a_slow_tokenizer_are_read(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors")
    (folder / "tokenizer.json").unlink()
    vocabulary = {"Ġ": 0, "a": 1, "b": 2, "ab": 3, "<|im_end|>": 4, "<im_patch>": 5}
    (folder / "vocab.json").write_text(json.dumps({t: i for t, i in vocabulary.items() if i < 4}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    added = {str(i): {"content": t, "special": True} for t, i in vocabulary.items() if i >= 4}
    config = {"added_tokens_decoder": added, "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_checkpoint(folder).tokenizer
    text = "<im_patch><im_patch>ab"
    assert tokenizer.encode(text).ids == [5, 5, 3]
    assert Qwen2Tokenizer.from_pretrained(folder)(text)["input_ids"] == [5, 5, 3]


def test_the_base_of_the_rotary_embedding_is_found_where_older_releases_put_it(
    weights: dict[str, Tensor], folder: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 1e6}))
    save_file(weights, folder / "model.safetensors")
    frequencies = load_checkpoint(folder).model.model.rotary_emb.inv_freq
    assert float(frequencies[1]) == pytest.approx(1e6 ** (-2 / 16))


def test_a_missing_shard_is_named(weights: dict[str, Tensor], folder: Path) -> None:
    write_shards(weights, folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointMismatch, match=r"lacks model-00002-of-00002\.safetensors"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_truncated_file_is_refused(weights: dict[str, Tensor], folder: Path, name: str) -> None:
    save = save_file if name.endswith("safetensors") else torch.save
    save(weights, folder / name)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-8])
    with pytest.raises(CheckpointMismatch, match=name.replace(".", r"\.")):
        load_checkpoint(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=r"holds no model\.safetensors"):
        load_checkpoint(folder)


def test_a_missing_tensor_is_named(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(
        {n: t for n, t in weights.items() if n != "lm_head.weight"}, folder / "model.safetensors"
    )
    with pytest.raises(CheckpointMismatch, match=r"missing: lm_head\.weight"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("mm_projector_type", "mhsa"), ("vision_select_layer", -1)]
)
def test_a_part_that_this_version_does_not_know_is_named(
    weights: dict[str, Tensor], folder: Path, key: str, value: object
) -> None:
    write_settings(folder, **{key: value})
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match=f"{key} is {value!r}"):
        load_checkpoint(folder)


def test_a_missing_key_is_named(weights: dict[str, Tensor], folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["num_key_value_heads"]
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match="num_key_value_heads"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("vision_tower", "projector_type"),
    [("dcformer", "low_high_mlp"), ("dcformer", "mlp"), ("vit3d", "mlp"), ("vit3d", "linear")],
)
def test_the_variants_of_the_ablations_load(
    tmp_path: Path, vision_tower: str, projector_type: Kind
) -> None:
    vision = VARIANTS["small"]
    if vision_tower == "vit3d":
        vision = AblationViT3DConfig(width=32, layers=2)
    low, high = (StreamConfig(*shape) for shape in vision.shapes[-2:])
    projector = ProjectorConfig(low, high, 64, projector_type)
    llm = Qwen2Config(**{k: v for k, v in CONFIG.items() if k in Qwen2Config().to_dict()})
    state = Med3DVLM(Med3DVLMConfig(vision, projector, llm)).state_dict()
    parts = {"vision_tower": vision_tower, "mm_projector_type": projector_type}
    folder = write_settings(tmp_path, **parts, dim=32, depth=2)
    save_file(state, folder / "model.safetensors")
    model = load_checkpoint(folder).model
    assert_same_state(model, state)
    assert model.image_token_count == projector.image_tokens


@pytest.mark.parametrize("variant", ["nano", "base"])
def test_the_variant_of_dcformer_is_told_by_its_tensors(folder: Path, variant: str) -> None:
    vision = VARIANTS[variant]
    streams = [StreamConfig(*shape) for shape in vision.shapes[-2:]]
    expected = published_model(vision, ProjectorConfig(*streams, 64, "low_high_mlp"))
    write_settings(folder, mm_projector_type="low_high_mlp")
    save_file(expected.state_dict(), folder / "model.safetensors")
    assert load_checkpoint(folder).model.config.vision == vision


def test_a_mixer_of_one_layer_loads(folder: Path) -> None:
    streams = [StreamConfig(256, 384, (128,)), StreamConfig(32, 768, (128,))]
    expected = published_model(projector=ProjectorConfig(*streams, 64))
    write_settings(folder, low_output_size=[128], high_output_size=[128])
    save_file(expected.state_dict(), folder / "model.safetensors")
    assert_same_state(load_checkpoint(folder).model, expected.state_dict())
