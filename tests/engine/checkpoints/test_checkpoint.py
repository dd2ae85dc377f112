import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engine.checkpoints.folder import seal
from engine.network.families.med3dvlm import Med3DVLM
from engine.network.out_of_distribution import fit_distribution
from tests.engine.conftest import tiny_llm


def edit_config(folder: Path, **changes: object) -> None:
    """Change config.json and vouch for it, as another version would."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    seal(folder)


def rewrite_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the weights and vouch for them, as a wrong export would."""
    save_file(tensors, folder / "model.safetensors")
    seal(folder)


def test_what_was_saved_is_what_is_loaded(checkpoint: Checkpoint, folder: Path) -> None:
    loaded = load_checkpoint(folder)
    assert loaded.card == checkpoint.card
    assert loaded.prompt == checkpoint.prompt
    assert loaded.preprocess == checkpoint.preprocess
    saved = checkpoint.model.state_dict()
    assert all(torch.equal(t, saved[n]) for n, t in loaded.model.state_dict().items())
    assert not loaded.model.training


def test_a_loaded_model_computes_what_the_saved_one_did(
    checkpoint: Checkpoint, folder: Path
) -> None:
    prompt = torch.rand(1, 9, 16)
    assert torch.equal(load_checkpoint(folder).model(prompt), checkpoint.model(prompt))


def test_the_digest_changes_with_one_weight(checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = save_checkpoint(checkpoint, tmp_path / "a")
    assert save_checkpoint(checkpoint, tmp_path / "b") == first
    checkpoint.model.lm_head.weight.data[0, 0] += 1
    assert save_checkpoint(checkpoint, tmp_path / "c") != first
    assert load_checkpoint(tmp_path / "a").identity.digest == first


def test_weights_stored_in_half_precision_load_in_the_type_asked_for(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(checkpoint, tmp_path, dtype=torch.float16)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["lm_head.weight"].dtype is torch.float16
    assert all(t.dtype is torch.float32 for n, t in stored.items() if n.endswith("running_var"))
    assert load_checkpoint(tmp_path).model.lm_head.weight.dtype is torch.float32


def test_vision_tower_and_rotary_frequencies_stay_in_full_precision(folder: Path) -> None:
    model = load_checkpoint(folder, dtype=torch.bfloat16).model
    assert model.lm_head.weight.dtype is torch.bfloat16
    assert model.model.rotary_emb.inv_freq.dtype is torch.float32
    tower = model.model.vision_tower.state_dict()
    assert all(t.dtype is torch.float32 for t in tower.values() if t.is_floating_point())


def test_a_weight_that_half_precision_cannot_store_is_named(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    checkpoint.model.lm_head.weight.data[0, 0] = 1e6
    with pytest.raises(CheckpointMismatch, match=r"lm_head\.weight holds values"):
        save_checkpoint(checkpoint, tmp_path, dtype=torch.float16)


def test_every_user_of_the_machine_may_read_the_weights(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_mode & 0o044 == 0o044


def test_the_training_distribution_travels_along(checkpoint: Checkpoint, tmp_path: Path) -> None:
    features = {"stage4": torch.randn(50, 4)}
    distribution = fit_distribution(features, features)
    object.__setattr__(checkpoint, "distribution", distribution)
    save_checkpoint(checkpoint, tmp_path)
    loaded = load_checkpoint(tmp_path).distribution
    assert loaded is not None
    assert torch.allclose(
        loaded.over_limit(features)["stage4"],
        distribution.over_limit(features)["stage4"],
    )


def test_the_old_name_of_the_training_distribution_is_still_read(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    distribution = fit_distribution({"stage4": torch.rand(9, 4)}, {"stage4": torch.rand(3, 4)})
    save_checkpoint(replace(checkpoint, distribution=distribution), tmp_path)
    new = tmp_path / "out_of_distribution.safetensors"
    new.rename(tmp_path / "novelty.safetensors")
    seal(tmp_path)
    loaded = load_checkpoint(tmp_path).distribution
    assert loaded is not None
    features = {"stage4": torch.rand(2, 4)}
    assert torch.allclose(
        loaded.over_limit(features)["stage4"], distribution.over_limit(features)["stage4"]
    )


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(CheckpointMismatch, match=rf"{name} is damaged"):
        load_checkpoint(folder)


def test_one_flipped_bit_is_refused(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=r"model\.safetensors is damaged"):
        load_checkpoint(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointMismatch, match=r"lacks tokenizer\.json"):
        load_checkpoint(folder)


def test_a_file_that_nobody_vouches_for_is_refused(folder: Path) -> None:
    (folder / "added_tokens.json").write_text("{}")
    with pytest.raises(CheckpointMismatch, match=r"does not vouch for added_tokens\.json"):
        load_checkpoint(folder)


def test_a_changed_prompt_is_refused(folder: Path) -> None:
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("describe the liver", "describe the spleen"))
    with pytest.raises(CheckpointMismatch, match=r"config\.json is damaged or changed"):
        load_checkpoint(folder)


def test_a_folder_without_manifest_is_refused(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointMismatch, match="lacks SHA256SUMS"):
        load_checkpoint(folder)


def test_a_manifest_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointMismatch, match="not what sha256sum writes"):
        load_checkpoint(folder)


def test_coreutils_agree_with_the_manifest(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)


def test_a_manifest_cannot_point_outside_its_folder(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../model.safetensors\n")
    with pytest.raises(CheckpointMismatch, match="not what sha256sum writes"):
        load_checkpoint(folder)


def test_large_weights_are_stored_in_shards(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "one")
    save_checkpoint(checkpoint, tmp_path / "many", shard_bytes=4000)
    assert len(list((tmp_path / "many").glob("model-*.safetensors"))) > 2
    one, many = (load_checkpoint(tmp_path / name).model.state_dict() for name in ("one", "many"))
    assert all(torch.equal(tensor, many[name]) for name, tensor in one.items())


def test_saving_again_leaves_no_shard_of_before(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path, shard_bytes=4000)
    save_checkpoint(checkpoint, tmp_path)
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]


def test_a_head_that_is_the_embeddings_is_stored_once(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    config = replace(checkpoint.model.config, llm=tiny_llm())
    config.llm.tie_word_embeddings = True
    tied = replace(checkpoint, model=Med3DVLM(config).eval())
    tied.model.lm_head.weight = tied.model.model.embed_tokens.weight
    save_checkpoint(tied, tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded = load_checkpoint(tmp_path).model
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    prompt = torch.rand(1, 9, 16)
    assert torch.equal(loaded(prompt), tied.model(prompt))


def test_weights_in_the_type_asked_for_are_mapped_and_not_copied(folder: Path) -> None:
    load_checkpoint(folder)  # what is imported on the way maps files too
    model = load_checkpoint(folder).model
    assert str(folder / "model.safetensors") in Path("/proc/self/maps").read_text()
    assert model.lm_head.weight.sum().isfinite()


def test_another_format_is_refused(folder: Path) -> None:
    edit_config(folder, format=99)
    with pytest.raises(CheckpointMismatch, match="format 99"):
        load_checkpoint(folder)


def test_a_config_that_makes_no_sense_is_refused(folder: Path) -> None:
    edit_config(folder, preprocess={"size": [1, 2]})
    with pytest.raises(CheckpointMismatch, match="cannot be understood"):
        load_checkpoint(folder)


def test_sizes_that_make_no_network_are_refused(folder: Path) -> None:
    network = json.loads((folder / "config.json").read_text())["network"]
    network["vision"]["kernels"] = [0, 0, 0, 0]
    edit_config(folder, network=network)
    with pytest.raises(CheckpointMismatch, match=r"config\.json describes no network"):
        load_checkpoint(folder)


def test_a_size_of_another_kind_is_refused_by_its_key(folder: Path) -> None:
    network = json.loads((folder / "config.json").read_text())["network"]
    network["vision"]["blocks"] = [1]
    edit_config(folder, network=network)
    with pytest.raises(CheckpointMismatch, match=r"cannot be understood: blocks.1: Field required"):
        load_checkpoint(folder)


@pytest.mark.parametrize("key", ["splice", "vision", "projector"])
def test_a_part_that_config_json_leaves_out_is_named(folder: Path, key: str) -> None:
    network = json.loads((folder / "config.json").read_text())["network"]
    edit_config(folder, network={k: value for k, value in network.items() if k != key})
    with pytest.raises(CheckpointMismatch, match=f"cannot be understood: KeyError.*{key}"):
        load_checkpoint(folder)


def test_a_key_that_no_network_has_is_refused(folder: Path) -> None:
    network = json.loads((folder / "config.json").read_text())["network"]
    edit_config(folder, network=network | {"depth": 3})
    with pytest.raises(CheckpointMismatch, match="cannot be understood: depth: Unexpected"):
        load_checkpoint(folder)


def test_a_language_model_that_transformers_refuses_is_refused(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    edit_config(folder, text_config=text | {"layer_types": []})
    with pytest.raises(CheckpointMismatch, match=r"config\.json cannot be understood"):
        load_checkpoint(folder)


def test_a_layout_that_is_no_word_is_refused(folder: Path) -> None:
    edit_config(folder, model_type=["ctscribe"])
    with pytest.raises(CheckpointMismatch, match="has model_type"):
        load_checkpoint(folder)


def test_a_missing_tensor_is_named(checkpoint: Checkpoint, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    rewrite_weights(folder, tensors)
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.norm\.weight"):
        load_checkpoint(folder)


def test_a_message_names_five_tensors_and_its_details_all(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {n: t for n, t in tensors.items() if not n.startswith("model.layers.")}
    rewrite_weights(folder, kept)
    with pytest.raises(CheckpointMismatch, match=r"and \d+ more") as caught:
        load_checkpoint(folder)
    missing = tensors.keys() - kept.keys()
    assert caught.value.details == tuple(f"missing: {name}" for name in sorted(missing))


def test_a_count_that_only_training_reads_may_be_left_out(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    rewrite_weights(folder, kept)
    assert len(kept) < len(tensors)
    load_checkpoint(folder)


def test_an_unexpected_tensor_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    rewrite_weights(folder, tensors | {"model.extra": torch.zeros(1)})
    with pytest.raises(CheckpointMismatch, match=r"unexpected: model\.extra"):
        load_checkpoint(folder)


def test_a_mis_shaped_tensor_is_named_with_both_shapes(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    rewrite_weights(folder, tensors | {"model.norm.weight": torch.zeros(3)})
    with pytest.raises(CheckpointMismatch, match=r"model\.norm\.weight \(3,\) in place of \(16,\)"):
        load_checkpoint(folder)
