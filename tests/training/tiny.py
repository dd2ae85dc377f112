"""A store, a language model and a recipe of a few thousand weights, for stages 2 and 3."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.description import ModelCard
from engine.checkpoints.folder import seal
from engine.checkpoints.layouts.native import native_config, write_config
from engine.checkpoints.weights import write_tensors
from engine.network.contrastive import ContrastiveConfig, ContrastivePair
from engine.network.projector import ProjectorConfig, StreamConfig
from engine.network.towers.dcformer import DCFormerConfig
from training.data.questions import Question, write_questions
from training.data.shards import Made, Planned, begun, fill, write_splits, write_texts
from training.data.store import Header, Store, open_store
from training.recipe.recipe import Recipe
from training.wording.tokenizer import build_tokenizer

SPEC = PreprocessSpec(size=(16, 32, 32))
VISION = DCFormerConfig(
    (1, 1, 1, 1), (4, 4, 8, 12, 16), stem="patch", layer_scale=0.3, input_size=SPEC.size
)
QWEN = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}
REPORTS = ("There is ascites.", "The spleen is enlarged.", "No abnormality is seen in the liver.")
HELD_OUT = ("The liver is enlarged.", "No ascites is seen.")
CHOICES = ("axial", "coronal", "sagittal", "oblique")
STAGE = {
    "steps": 4,
    "global_batch": 4,
    "micro_batch": 2,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "max_tokens": 48,
    "report_questions": ("Describe the findings.", "Write the report of this study."),
}


def question(image: str, number: int, *, yes_no: bool = False) -> Question:
    if yes_no:
        answer = "yes" if number % 2 else "no"
        return Question(image, 4, "Is there ascites?", answer, source="M3D_VQA_yn_train")
    letter = "ABCD"[number % 4]
    plane = CHOICES[number % 4]
    return Question(image, 1, "Which plane is this?", plane, CHOICES, letter, "M3D_VQA_train")


def write_store(folder: Path, images: int = 8) -> Store:
    """Images of noise; the last two are validation and test."""
    planned = [Planned(f"c{i}/s", f"c{i}", f"c{i}/t", str(i)) for i in range(images)]
    keys = [image.key for image in planned]
    split = {"train": keys[:-2], "validation": keys[-2:-1], "test": keys[-1:]}

    def make(image: Planned) -> Made:
        return Made(np.random.default_rng(int(image.source)).random((1, *SPEC.size), np.float32))

    header = Header(SPEC, "uint8", "phantoms", "plan")
    with begun(folder, header):
        texts = [*(REPORTS[i % 3] for i in range(images - 2)), *HELD_OUT]
        write_texts(folder, {f"c{i}/t": text for i, text in enumerate(texts)})
        fill(folder, header, planned, make, processes=1)
        (folder / "questions").mkdir(exist_ok=True)
        for name, yes_no in (("M3D_VQA_train", False), ("M3D_VQA_yn_train", True)):
            asked = [question(key, i, yes_no=yes_no) for i, key in enumerate(keys)]
            write_questions(folder / "questions" / f"{name}.csv", asked)
        write_splits(folder, {"grouped": split}, {image.key: image for image in planned})
    return open_store(folder)


def tokenizer() -> Tokenizer:
    words = [*REPORTS, *STAGE["report_questions"], *CHOICES]
    words += ["Which plane is this? Choices: A. B. C. D.", "Is there ascites? yes no"]
    return build_tokenizer(words)


def write_llm(folder: Path) -> Path:
    """A Qwen2 as it lies on the hub: more rows than tokens, no placeholder of an image token."""
    folder.mkdir()
    words = tokenizer()
    config = Qwen2Config(vocab_size=words.get_vocab_size() + 3, **QWEN)
    torch.manual_seed(2)
    write_tensors(dict(Qwen2ForCausalLM(config).state_dict()), folder)
    config.to_json_file(folder / "config.json")
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')
    return folder


def write_pair(folder: Path) -> Path:
    """A contrastive pair, as stage 1 leaves it."""
    folder.mkdir()
    text = DistilBertConfig(vocab_size=30, dim=8, hidden_dim=16, n_layers=1, n_heads=2)
    config = ContrastiveConfig(VISION, text, 8)
    torch.manual_seed(1)
    write_tensors(dict(ContrastivePair(VISION, text, 8).state_dict()), folder)
    write_config(folder, native_config(config, ModelCard("pair", "1"), None, SPEC), "float32")
    tokenizer().save(str(folder / "tokenizer.json"))
    seal(folder)
    return folder


def recipe(llm: Path, **changes: object) -> Recipe:
    """Stages 2 and 3 at their smallest; `changes` are of both stages."""
    values = {
        "name": "tiny",
        "seed": 5,
        "preprocess": {"size": SPEC.size},
        "vision": {
            "blocks": VISION.blocks,
            "channels": VISION.channels,
            "stem": "patch",
            "layer_scale": 0.3,
        },
        "llm": {"pretrained": str(llm)},
        "mixer": {"low": (4, 4), "high": (2, 4)},
        "run": {
            "precision": "fp32",
            "exact_ranks": True,
            "workers": 0,
            "save_every": 2,
            "log_every": 1,
        },
        "projector": {**STAGE, "data": ("reports", "open", "closed"), **changes},
        "finetune": {
            **STAGE,
            "data": ("reports", "open", "closed", "yes_no"),
            "lora_rank": 2,
            "lora_alpha": 4,
            **changes,
        },
    }
    return Recipe.model_validate(values)


def projector_config() -> ProjectorConfig:
    """Of the recipe: eight image tokens."""
    (low, low_channels), (high, high_channels) = VISION.shapes[-2:]
    streams = StreamConfig(low, low_channels, (4, 4)), StreamConfig(high, high_channels, (2, 4))
    return ProjectorConfig(*streams, QWEN["hidden_size"])


def write_recipe(path: Path, llm: Path) -> Path:
    """The same as a file."""
    values = recipe(llm).model_dump(mode="json", exclude_none=True)
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, dict)]
    for table, keys in values.items():
        if isinstance(keys, dict):
            lines += [f"[{table}]", *(f"{k} = {json.dumps(v)}" for k, v in keys.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
