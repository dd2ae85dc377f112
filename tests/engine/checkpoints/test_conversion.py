"""Published to native and back: nothing is lost, bit for bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.weights import read_tensors, weight_files
from tests.engine.published import (
    assert_same_bits,
    assert_same_state,
    published_model,
    write_settings,
    write_shards,
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """In bfloat16, but for the vision tower's statistics, as mixed training leaves them."""
    state = published_model().state_dict()
    halved = {n for n, t in state.items() if t.is_floating_point() and "running" not in n}
    return {n: t.bfloat16() if n in halved else t for n, t in state.items()}


@pytest.fixture
def published(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    folder = write_settings(tmp_path / "published")
    save_file(weights, folder / "model.safetensors")
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2]}\n')
    return folder


def test_there_and_back_gives_the_same_bits(
    published: Path, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    convert(published, tmp_path / "native", shard_bytes=20_000_000)
    convert(tmp_path / "native", tmp_path / "again")
    for folder in (tmp_path / "native", tmp_path / "again"):
        assert_same_bits(read_tensors(weight_files(folder)), weights)
    for path in published.iterdir():
        if path.name != "model.safetensors":
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_the_native_form_is_asked_as_the_published_one(published: Path, tmp_path: Path) -> None:
    convert(published, tmp_path / "native")
    before, after = load_checkpoint(published), load_checkpoint(tmp_path / "native")
    assert (after.prompt, after.preprocess) == (before.prompt, before.preprocess)
    assert after.model.config.splice == "published"
    assert after.card.provenance["published"]["digest"] == before.digest
    assert_same_state(after.model, before.model.state_dict())


def test_torch_shards_become_safetensors(weights: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_settings(tmp_path / "published")
    write_shards({f"module.{name}": t for name, t in weights.items()}, folder, "bin")
    convert(folder, tmp_path / "native")
    assert_same_bits(read_tensors(weight_files(tmp_path / "native")), weights)
    assert not list((tmp_path / "native").glob("*.bin"))


def test_a_loose_vision_tower_goes_back_to_where_the_authors_read_it(
    published: Path, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    begin = "model.vision_tower."
    tower = {n.removeprefix(begin): t for n, t in weights.items() if n.startswith(begin)}
    torch.save(tower, published / "vision_tower.bin")
    convert(published, tmp_path / "native")
    convert(tmp_path / "native", tmp_path / "again")
    assert_same_bits(read_tensors([tmp_path / "again" / "vision_tower.bin"]), tower)


def test_nothing_is_written_where_a_tensor_is_missing(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    folder = write_settings(tmp_path / "published")
    kept = {n: t for n, t in weights.items() if n != "model.norm.weight"}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.norm\.weight"):
        convert(folder, tmp_path / "native")
    assert not (tmp_path / "native").exists()


def test_what_was_never_published_has_no_published_form(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="not converted from a published"):
        convert(folder, tmp_path / "published")


def test_a_folder_that_holds_something_is_left_alone(
    checkpoint: Checkpoint, published: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointMismatch, match="not empty"):
        convert(published, published)
