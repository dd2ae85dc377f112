"""M3D-LaMed in a few thousand weights, filled from their names, in its published layout."""

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from engine.network.families.m3d_lamed import M3DLaMed, M3DLaMedConfig
from engine.network.towers.vit3d import ViT3DConfig
from tests.engine.golden import filled

SENTENCES = [
    "Describe the findings of the medical image you see.",
    "the liver is fine.",
    "A. A A B. B B C. C C D. D D",  # so that a choice's letter is a piece, as in Llama's vocabulary
]
PIECES = 340
ADDED = ("<im_patch>", "<bx_start>", "<bx_end>", "[SEG]")

LLM: dict[str, Any] = {
    "vocab_size": PIECES + len(ADDED),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
VISION: dict[str, Any] = {
    "image_channel": 1,
    "image_size": [8, 64, 64],
    "patch_size": [4, 16, 16],
    "mm_hidden_size": 24,
    "vision_tower": "vit3d",
    "vision_select_layer": -1,
    "vision_select_feature": "patch",
    "mm_projector_type": "spp",
    "proj_layer_type": "mlp",
    "proj_layer_num": 2,
    "proj_pooling_type": "spatial",
    "proj_pooling_size": 2,
    "segmentation_module": "segvol",
    "seg_token_id": PIECES + 3,
}


def config_json(model_type: str, **changes: Any) -> dict[str, Any]:
    """What the authors' `save_pretrained` writes."""
    auto = {"AutoModelForCausalLM": f"modeling_{model_type}.Lamed"}
    return {"model_type": model_type, "auto_map": auto, **LLM, **VISION, **changes}


def small(llm: Any, *, size: tuple[int, int, int] = (8, 64, 64)) -> M3DLaMed:
    """The network that such a config.json describes."""
    vision = ViT3DConfig(size, width=24, layers=2, heads=12)
    network = M3DLaMed(M3DLaMedConfig(vision, llm))
    filled(network)
    return network


def segmentation() -> dict[str, torch.Tensor]:
    """Some of the tensors that a report does not need."""
    return {
        "model.seg_module.image_encoder.cls_token": torch.zeros(1, 1, 8),
        "model.seg_projector.0.weight": torch.zeros(16, 16),
    }


def write_folder(folder: Path, network: nn.Module, config: dict[str, Any]) -> None:
    """Write the published layout: config.json, safetensors, a slow Llama tokenizer."""
    (folder / "config.json").write_text(json.dumps(config))
    save_file(network.state_dict() | segmentation(), folder / "model.safetensors")
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    """What the slow tokenizer's `save_pretrained` writes: no tokenizer.json."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=PIECES,
        model_type="bpe",
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    tokens = {0: "<unk>", 1: "<s>", 2: "</s>"} | dict(enumerate(ADDED, start=PIECES))
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "eos_token": "</s>",
        "legacy": False,
        "added_tokens_decoder": {
            str(i): {"content": token, "special": token != "[SEG]", "normalized": False}
            for i, token in tokens.items()
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def teach(network: M3DLaMed, tokenizer: Tokenizer, sentence: str) -> None:
    """Let a network write one sentence again and again, after whatever ends as it does."""
    ids = tokenizer.encode(sentence, add_special_tokens=False).ids
    assert len(set(ids)) == len(ids) <= network.config.llm.hidden_size
    for name, weight in network.model.layers.named_parameters():
        if "o_proj" in name or "down_proj" in name:
            weight.data.zero_()  # each token sees itself alone
    embeddings, head = network.model.embed_tokens.weight.data, network.lm_head.weight.data
    head.zero_()
    for i, (token, following) in enumerate(zip(ids, [*ids[1:], ids[0]], strict=True)):
        embeddings[token] = torch.eye(embeddings.shape[1])[i]
        head[following] = embeddings[token]
