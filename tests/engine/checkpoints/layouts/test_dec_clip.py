"""Published contrastive pairs, with a small text encoder in place of ClinicalBERT."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers.models.distilbert import DistilBertConfig

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.checkpoint import load_checkpoint, load_pair
from engine.checkpoints.conversion import convert
from engine.checkpoints.inspection import inspect_checkpoint
from engine.checkpoints.weights import read_tensors, weight_files
from engine.network.contrastive import ContrastivePair
from engine.network.towers.dcformer import VARIANTS
from engine.network.towers.vit3d import AblationViT3DConfig
from tests.engine.golden import FIGURES, assert_equals_golden, filled, token_ids
from tests.engine.published import assert_same_bits, assert_same_state

GOLDEN = FIGURES["clip"]
TEXT = DistilBertConfig(**GOLDEN["distilbert_config"])


def write(folder: Path, state: dict[str, Tensor], **settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    config = {"model_type": "dec_clip", "vision_encoder": "dcformer", "n_heads": 4} | settings
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    pair = filled(ContrastivePair(VARIANTS["small"], TEXT), keep=("t_prime", "bias"))
    return pair.state_dict()


@pytest.fixture
def published(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    return write(tmp_path / "published", state)


def test_its_texts_have_the_authors_embeddings(published: Path) -> None:
    pair = load_pair(published)
    ids = token_ids(10, 200, 2, 24)
    mask = torch.ones_like(ids)
    mask[1, 18:] = 0
    with torch.inference_mode():
        assert_equals_golden(pair.encode_text(ids, mask), GOLDEN["text_embeds"])


def test_there_and_back_gives_the_same_bits(
    published: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    convert(published, tmp_path / "native")
    convert(tmp_path / "native", tmp_path / "again")
    assert_same_state(load_pair(tmp_path / "native"), state)
    assert_same_bits(read_tensors(weight_files(tmp_path / "again")), state)
    config = (tmp_path / "again" / "config.json").read_bytes()
    assert config == (published / "config.json").read_bytes()


def test_info_counts_both_encoders(published: Path) -> None:
    facts = inspect_checkpoint(published)
    assert (facts["layout"], facts["network"]["loss"], facts["faults"]) == (
        "dec_clip",
        "siglip",
        [],
    )
    assert facts["parameters"]["vision tower"] / 1e6 == pytest.approx(18.24, abs=0.005)
    assert facts["prompt"] is None


def test_the_clip_loss_is_told_by_its_temperature(tmp_path: Path) -> None:
    pair = ContrastivePair(VARIANTS["nano"], TEXT, loss="clip")
    state = pair.state_dict() | {"logit_scale": torch.tensor(14.0)}
    folder = write(tmp_path / "published", state, loss_type="nce")
    convert(folder, tmp_path / "native")
    for loaded in (load_pair(folder), load_pair(tmp_path / "native")):
        assert loaded.logit_scale.exp().item() == pytest.approx(14.0)


def test_the_vision_transformer_of_the_ablation_loads(tmp_path: Path) -> None:
    pair = ContrastivePair(AblationViT3DConfig(width=48, layers=2), TEXT)
    folder = write(
        tmp_path / "published", pair.state_dict(), vision_encoder="vit3d", dim=48, depth=2
    )
    assert_same_state(load_pair(folder), pair.state_dict())


def test_heads_come_from_the_text_encoder_that_is_named(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"n_heads": 4}')
    name = str(tmp_path / "bert")
    folder = write(tmp_path / "published", state, n_heads=None, language_model_name_or_path=name)
    assert load_pair(folder).language_encoder.config.n_heads == 4


def test_heads_that_nothing_states_are_not_guessed(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    folder = write(tmp_path / "published", state, n_heads=None)
    with pytest.raises(CheckpointMismatch, match="nothing states the heads"):
        load_pair(folder)


def test_heads_that_do_not_divide_the_width_are_refused(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    folder = write(tmp_path / "published", state, n_heads=12)
    with pytest.raises(CheckpointMismatch, match="cannot have 12 heads"):
        load_pair(folder)


def test_a_pair_writes_no_report(published: Path) -> None:
    with pytest.raises(EngineError, match="writes no report"):
        load_checkpoint(published)


def test_a_model_that_writes_is_no_pair(folder: Path) -> None:
    with pytest.raises(EngineError, match="holds no contrastive pair"):
        load_pair(folder)
