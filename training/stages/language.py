"""Before stage 2, where a recipe's language model knows nothing yet: it learns to write.

The facts of a study are spelled out in the places of the image tokens, and the report or the
answer follows. So stage 2 has only to turn an image into what the language model reads already.
Only phantoms come with their facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.qwen2 import Qwen2ForCausalLM

from dicom_io.errors import RecipeError, UnusableData
from dicom_io.phantoms.truth import Truth
from engine.checkpoints.layouts.native import write_end_of_text
from engine.checkpoints.tokenizer_files import TOKENIZER
from engine.checkpoints.weights import write_tensors
from training.data.phantoms.text import facts_text
from training.data.store import Store
from training.learner.language_model import Language, read_language_model
from training.learner.material import Material
from training.recipe.recipe import Recipe
from training.run.loop import train
from training.run.task import Task
from training.wording.conversation import IGNORED, Script, Turn, padded, turns


class Told(NamedTuple):
    """Facts, question and answer as tokens (B, n), and what of them is learnt."""

    ids: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Tales:
    """Turns whose images are told, as training data.

    Parameters
    ----------
    store : Store
        Its images have a truth in their origin.
    turns : list of Turn
    script : Script
    """

    store: Store
    turns: list[Turn]
    script: Script

    def __len__(self) -> int:
        return len(self.turns)

    def example(self, item: int, rng: np.random.Generator) -> Told:
        """Write a turn, its facts in the places of the image tokens.

        Raises
        ------
        UnusableData
            The store does not know what its image shows, or the facts do not fit.
        """
        turn, places = self.turns[item], self.script.image_tokens
        written = self.script.example(turn, rng)
        truth = self.store.images[turn.image].origin.get("truth")
        if truth is None:
            raise UnusableData(f"{self.store.folder} holds no facts of {turn.image}: no phantom")
        facts = self.script.tokenizer.encode(facts_text(Truth.from_dict(truth))).ids
        if len(facts) > places:
            raise UnusableData(f"{len(facts)} tokens of facts do not fit into {places} places")
        spelled = torch.tensor([*facts, *[0] * (places - len(facts))])
        return Told(torch.cat([spelled, written.ids[places:]]), written.labels)

    def collate(self, examples: list[Told]) -> Told:
        """Fill up at the right."""
        ids, labels = zip(*examples, strict=True)
        return Told(padded(ids, 0), padded(labels, IGNORED))


class Writing(nn.Module):
    """A language model alone, which is taught to go on."""

    def __init__(self, llm: Qwen2ForCausalLM) -> None:
        super().__init__()
        self.llm = llm

    def forward(self, ids: Tensor, labels: Tensor) -> Tensor:
        """(B, n) -> the cross-entropy of what is learnt, summed."""
        causal = {"full_attention": None}  # what is filled up at the right is never looked at
        hidden = self.llm.model(ids, attention_mask=causal, use_cache=False).last_hidden_state
        learnt = labels[:, 1:] != IGNORED
        logits = self.llm.lm_head(hidden[:, :-1][learnt])
        return F.cross_entropy(logits.float(), labels[:, 1:][learnt], reduction="sum")


def train_language(recipe: Recipe, material: Material, out: Path) -> Path:
    """Teach the recipe's language model, and leave it in `out/checkpoint`.

    Parameters
    ----------
    recipe : Recipe
        With its tables `language` and `llm`.
    material : Material
        A store of phantoms.
    out : Path
        Of the run.

    Returns
    -------
    Path
        Of the folder that `llm.pretrained` names for stage 2.
    """
    stage = recipe.language
    if stage is None:
        raise RecipeError(f"recipe {recipe.name} has no table language")
    llm = read_language_model(recipe)
    places = recipe.projector_config(llm.config.hidden_size).image_tokens
    script = Script(llm.tokenizer, llm.prompt, places, stage.max_tokens, stage.report_wordings)
    asked = turns(material.store, material.split, "train", stage.data)
    network = Qwen2ForCausalLM(llm.config)
    network.load_state_dict(dict(llm.tensors))
    task = Task(
        name="language",
        module=Writing(network),
        data=Tales(material.store, asked, script),
        weight=lambda told: float((told.labels[:, 1:] != IGNORED).sum()),
        loss=lambda module, told: module(*told),
    )
    about = {"data": material.describe(), "start": llm.digest}
    trained = train(task, stage, recipe, out, about)
    if trained is not None:
        _write(llm, trained.weights, out / "checkpoint")
    return out / "checkpoint"


def _write(llm: Language, weights: dict[str, Tensor], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors({n.removeprefix("llm."): w for n, w in weights.items()}, folder)
    llm.config.to_json_file(folder / "config.json")
    llm.tokenizer.save(str(folder / TOKENIZER))
    eos = llm.prompt.eos_token
    write_end_of_text(folder, eos, llm.tokenizer.token_to_id(eos))
