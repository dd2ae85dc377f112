"""A RoBERTa of a few thousand weights, filled by a formula, with the files of a real one."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers.models.roberta import RobertaConfig, RobertaModel

SENTENCES = [
    "The liver shows a cyst of 3 mm in the left lobe. No pleural effusion is seen.",
    "Right pleural effusion with atelectasis. The heart is enlarged.",
]


def write_roberta(folder: Path) -> Path:
    folder.mkdir(parents=True)
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        SENTENCES * 20, vocab_size=340, special_tokens=special, show_progress=False
    )
    tokenizer.save_model(str(folder))
    settings = {"model_max_length": 512, "tokenizer_class": "RobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    model = RobertaModel(
        RobertaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=514,
        ),
        add_pooling_layer=False,
    )
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.copy_(torch.from_numpy(filled(name, tuple(values.shape))))
    model.save_pretrained(folder)
    return folder


def filled(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    noise = rng.standard_normal(shape)
    if len(shape) > 1:
        return noise / np.sqrt(np.prod(shape[1:]))
    return 1 + 0.1 * noise if name.endswith("weight") else 0.1 * noise
