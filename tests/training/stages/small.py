"""A small store, text encoder and recipe: every part of a stage, in seconds."""

from pathlib import Path

import numpy as np
import torch
from transformers.models.distilbert import DistilBertConfig, DistilBertModel

from dicom_io.model_input.preprocess import PreprocessSpec
from training.data.shards import Made, Planned, begun, fill, write_splits, write_texts
from training.data.splits import grouped_split
from training.data.store import Header
from training.wording.tokenizer import build_tokenizer

SIZE = (8, 16, 16)
SPEC = PreprocessSpec(size=SIZE)
SIDES, ORGANS = ("left", "right"), ("kidney", "lung", "liver", "spleen", "aorta", "bladder")
IMAGES = 24


def report(i: int) -> str:
    """A report of its own for each image, and of another length."""
    organ = ORGANS[i // 2 % 6]
    return " ".join([f"{SIDES[i % 2]} {organ} lesion {i}.", *["Stable."] * (i % 5)])


def make_input(image: Planned) -> Made:
    rng = np.random.default_rng(int(image.source))
    return Made(rng.random((1, *SIZE), dtype=np.float32))


def write_store(folder: Path, images: int = IMAGES) -> Path:
    """A store of noise with a report for each image."""
    planned = [Planned(f"c{i}/s", f"c{i}", f"c{i}/t", str(i)) for i in range(images)]
    texts = {f"c{i}/t": report(i) for i in range(images)}
    header = Header(SPEC, "uint8", "test", "plan")
    with begun(folder, header):
        write_texts(folder, texts)
        fill(folder, header, planned, make_input, processes=1)
        split = grouped_split(planned, texts, held_out=0.15, seed=0)
        write_splits(folder, {"grouped": split}, {image.key: image for image in planned})
    return folder


def write_text_encoder(folder: Path) -> Path:
    """A DistilBERT as `save_pretrained` writes it, with dropout everywhere."""
    torch.manual_seed(1)
    tokenizer = build_tokenizer(report(i) for i in range(IMAGES))
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        dim=16,
        hidden_dim=32,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=32,
        dropout=0.2,
        attention_dropout=0.2,
    )
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def write_recipe(path: Path, text_encoder: Path) -> Path:
    """A recipe of few steps; tests change what they are about by `--set`."""
    path.write_text(
        f"""
name = "small"
seed = 5
split = "grouped"

[preprocess]
size = [8, 16, 16]

[vision]
blocks = [1, 1, 1, 1]
channels = [4, 4, 8, 12, 16]
layer_scale = 0.3

[text_encoder]
pretrained = "{text_encoder}"
max_tokens = 16

[run]
precision = "fp32"
exact_ranks = true
workers = 0
save_every = 2
log_every = 1

[contrastive]
epochs = 3
global_batch = 4
micro_batch = 4
learning_rate = 1e-3
weight_decay = 0.1
width = 8
"""
    )
    return path
