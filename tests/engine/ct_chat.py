"""CT-CHAT in small, filled from its published names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers.models.llama import LlamaConfig

from engine.checkpoints.layouts.ct_chat import own_names
from engine.network.families.ct_chat import CTChat, CTChatConfig
from engine.network.towers.ct_vit import CTViT, CTViTConfig
from tests.engine.golden import FAMILIES, filled_tensor

GOLDEN: dict[str, Any] = FAMILIES["ct_chat"]
SIZES = GOLDEN["ct_vit"]["config"]
VISION = CTViTConfig(
    input_size=(15, 24, 18),
    patch=(SIZES["patch_size"],) * 2,
    slab=SIZES["temporal_patch_size"],
    width=SIZES["dim"],
    heads=SIZES["heads"],
    head_width=SIZES["dim_head"],
    spatial_layers=SIZES["spatial_depth"],
    temporal_layers=SIZES["temporal_depth"],
    codebook=SIZES["codebook_size"],
)
LLM = {key: value for key, value in GOLDEN["llava"]["config"].items() if key != "mm_hidden_size"}
ROPE = {**GOLDEN["llava"]["rope"]}

SPECIAL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
           "<|reserved_special_token_0|>")  # fmt: skip
RANK = 2


def llm() -> LlamaConfig:
    return LlamaConfig(**LLM, rope_parameters=ROPE)


def tower_tensors() -> dict[str, Tensor]:
    """What the tower's file holds, dead weight too."""
    return {n: filled_tensor(n, tuple(s)) for n, s in GOLDEN["ct_vit"]["layout"].items()}


def filled_tower() -> CTViT:
    tower = CTViT(VISION)
    begin = "model.vision_tower."
    own = own_names(tower_tensors())
    tower.load_state_dict({name.removeprefix(begin): value for name, value in own.items()})
    return tower.eval()


def write_folder(folder: Path) -> Path:
    """The four files, put together; a small vocabulary of letters, adapters of rank 2."""
    letters = [chr(code) for code in range(32, 127)] + ["\n"]
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *letters])}
    base = len(vocabulary)
    vocabulary["<report_generation>"] = base + 4
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="~"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([*SPECIAL, "<report_generation>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {**LLM, "vocab_size": base, "rope_scaling": ROPE, "rope_theta": ROPE["rope_theta"],
            "input_size": VISION.input_size, "temporal_patch_size": VISION.slab,
            "max_position_embeddings": 2048, "model_type": "ct_chat"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "system_prompt.txt").write_text("<|begin_of_text|>Be brief. ")
    _write_weights(folder, base)
    return folder


def _write_weights(folder: Path, vocabulary: int) -> None:
    config = LlamaConfig(**{**LLM, "vocab_size": vocabulary}, rope_parameters=ROPE)
    with torch.device("meta"):
        model = CTChat(CTChatConfig(VISION, config, image_token=4))
    shapes = {n: tuple(t.shape) for n, t in model.state_dict().items() if "vision_tower" not in n}
    filled = {name: filled_tensor(name, shape) for name, shape in shapes.items()}
    base = {n: t for n, t in filled.items() if "mm_projector" not in n}
    save_file(base, folder / "model.safetensors")
    trained = {f"base_model.model.{n}": t for n, t in filled.items() if "mm_projector" in n}
    torch.save(trained, folder / "non_lora_trainables.bin")
    layer = "base_model.model.model.layers.0.mlp.up_proj"
    rows, columns = base["model.layers.0.mlp.up_proj.weight"].shape
    save_file(
        {f"{layer}.lora_A.weight": filled_tensor("a", (RANK, columns)),
         f"{layer}.lora_B.weight": filled_tensor("b", (rows, RANK))},
        folder / "adapter_model.safetensors",
    )  # fmt: skip
    tower = {f"visual_transformer.{name}": value for name, value in tower_tensors().items()}
    text = {"temperature": torch.tensor(1.0), "to_text_latent.weight": torch.zeros(2, 2)}
    torch.save(tower | text, folder / "CT-CLIP_v2.pt")
