from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_io.errors import CheckpointMismatch, EngineError
from engine import EMBEDDED
from engine.checkpoints.checkpoint import Checkpoint, load_checkpoint
from engine.checkpoints.inspection import inspect_checkpoint
from tests.engine.published import published_model, write_settings


def test_the_parameters_of_the_parts_are_those_of_the_model(
    checkpoint: Checkpoint, folder: Path
) -> None:
    counts = inspect_checkpoint(folder)["parameters"]
    model = checkpoint.model
    assert counts["total"] == sum(p.numel() for p in model.parameters())
    assert counts["vision tower"] == sum(
        p.numel() for p in model.get_submodule("model.vision_tower").parameters()
    )
    assert set(counts) == {"vision tower", "projector", "embeddings", "layers", "head", "total"}


def test_it_says_what_loading_would_say(folder: Path) -> None:
    facts, loaded = inspect_checkpoint(folder), load_checkpoint(folder)
    assert (facts["name"], facts["digest"]) == (loaded.identity.name, loaded.digest)
    assert facts["preprocess"] == loaded.preprocess.to_dict()
    assert facts["prompt"]["report"] == loaded.prompt.report
    assert facts["network"]["splice"] == "clean"
    assert facts["faults"] == []


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    folder = write_settings(tmp_path / "published")
    weights = published_model().state_dict()
    kept = {n: t for n, t in weights.items() if not n.startswith("model.layers.1.")}
    save_file(kept | {"odd": torch.ones(1)}, folder / "model.safetensors")
    facts = inspect_checkpoint(folder)
    assert facts["layout"] == "vlm_qwen"
    missing = [f"missing: {name}" for name in sorted(weights.keys() - kept.keys())]
    assert facts["faults"] == [*missing, "unexpected: odd"]


def test_types_are_counted_from_the_headers(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    floats = sum(t.is_floating_point() for t in stored.values())
    dtypes = inspect_checkpoint(folder)["dtypes"]
    assert dtypes == {"float32": floats, "int64": len(stored) - floats}


def test_no_weight_is_read(tmp_path: Path) -> None:
    """The file has the length that its header promises, and is a hole."""
    folder = write_settings(tmp_path / "published")
    save_file(published_model().state_dict(), folder / "model.safetensors")
    path = folder / "model.safetensors"
    size, header = path.stat().st_size, int.from_bytes(path.read_bytes()[:8], "little") + 8
    with path.open("r+b") as file:
        file.truncate(header)
        file.truncate(size)
    assert inspect_checkpoint(folder)["faults"] == []


def test_a_loose_file_is_told_by_its_tensors(tmp_path: Path) -> None:
    begin = "model.vision_tower.vision_tower."
    tower = {n: t for n, t in published_model().state_dict().items() if n.startswith(begin)}
    torch.save(
        {n.removeprefix(begin): t for n, t in tower.items()}, tmp_path / "pretrained_ViT.bin"
    )
    facts = inspect_checkpoint(tmp_path / "pretrained_ViT.bin")
    assert facts["layout"] == "vision tower"
    assert facts["parameters"]["total"] / 1e6 == pytest.approx(18.24, abs=0.005)


def test_the_shipped_model_is_a_native_checkpoint_like_any_other() -> None:
    facts = inspect_checkpoint(EMBEDDED)
    assert (facts["layout"], facts["demonstration"], facts["faults"]) == ("native", True, [])


def test_a_folder_without_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no config"):
        inspect_checkpoint(tmp_path)


def test_a_header_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 8 + b"{}")
    with pytest.raises(CheckpointMismatch, match="damaged"):
        inspect_checkpoint(tmp_path / "model.safetensors")
