import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_io.errors import CheckpointMismatch
from engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engine.novelty import fit_distribution


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the weights and vouch for them, as a wrong export would."""
    save_file(tensors, folder / "model.safetensors")
    digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    config = json.loads((folder / "config.json").read_text())
    edit_config(folder, sha256=config["sha256"] | {"model.safetensors": digest})


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
        loaded.novelty(features)["stage4"], distribution.novelty(features)["stage4"]
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


def test_weights_that_nobody_vouches_for_are_refused(folder: Path) -> None:
    edit_config(folder, sha256={})
    with pytest.raises(CheckpointMismatch, match="vouches for no"):
        load_checkpoint(folder)


def test_another_format_is_refused(folder: Path) -> None:
    edit_config(folder, format=99)
    with pytest.raises(CheckpointMismatch, match="format 99"):
        load_checkpoint(folder)


def test_a_config_that_makes_no_sense_is_refused(folder: Path) -> None:
    edit_config(folder, preprocess={"size": [1, 2]})
    with pytest.raises(CheckpointMismatch, match="cannot be understood"):
        load_checkpoint(folder)


def test_a_missing_tensor_is_named(checkpoint: Checkpoint, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    rewrite_weights(folder, tensors)
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.norm\.weight"):
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
