"""Stages 2 and 3: image tokens become text (paper, section 3.4).

The vision tower is frozen, so its features are computed once. Before stage 2 the language model
learns the language of reports: facts, spelled out in place of the image tokens, become a report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from dicom_io.phantom import Truth
from engine.med3dvlm import Med3DVLM
from training.phantom_recipe import Finetune, Stage
from training.progress import Resumable, run_steps
from training.schedule import optimizer_and_schedule
from training.tokenizer import SPECIAL
from training.wording import PROMPT, facts_text, report_text

IGNORED = -100
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Every linear map of the language model (paper, section 3.4)."""


@dataclass(frozen=True)
class Features:
    """What the frozen vision tower sees in each training study.

    Parameters
    ----------
    low, high : Tensor, shape (studies, tokens, C)
        Outputs of stage 3 and stage 4.
    """

    low: Tensor
    high: Tensor


class Reader:
    """Turns truths into token ids, and image tokens into the loss of the report that follows."""

    def __init__(self, model: Med3DVLM, tokenizer: Tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.eos = SPECIAL.index("<eos>")
        self.slots = model.config.projector.image_tokens
        self.prompt = [SPECIAL.index("<im_patch>")] * self.slots + tokenizer.encode(PROMPT).ids

    def facts(self, truths: Sequence[Truth]) -> Tensor:
        """Spell facts out in the slots of the image tokens: (B, slots, hidden size)."""
        rows = [self.tokenizer.encode(facts_text(truth)).ids for truth in truths]
        ids = torch.tensor([row + [0] * (self.slots - len(row)) for row in rows])
        embeddings: Tensor = self.model.model.embed_tokens(ids)
        return embeddings

    def loss(
        self, image_tokens: Tensor, truths: Sequence[Truth], rng: np.random.Generator
    ) -> Tensor:
        """Cross-entropy of the reports' tokens and their end, given image tokens and prompt."""
        answers = [[*self.tokenizer.encode(report_text(t, rng)).ids, self.eos] for t in truths]
        longest = max(map(len, answers))
        ids = torch.tensor([self.prompt + a + [0] * (longest - len(a)) for a in answers])
        embeddings = self.model.embed_prompt(ids, image_tokens)
        logits = self.model(embeddings)[:, len(self.prompt) - 1 : -1]
        wanted = torch.tensor([a + [IGNORED] * (longest - len(a)) for a in answers])
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)


def pretrain_language(
    reader: Reader, plan: Stage, draw: Callable[[np.random.Generator], Truth], seed: int, out: Path
) -> None:
    """Teach the language model to write a report of facts that are spelled out."""
    model = reader.model
    train_only(model, (p for n, p in model.named_parameters() if not _is_visual(n)))

    def loss(rng: np.random.Generator) -> Tensor:
        truths = [draw(rng) for _ in range(plan.batch)]
        return reader.loss(reader.facts(truths), truths, rng)

    _run("language", model, plan, loss, seed, out)


def train_projector(
    reader: Reader, plan: Stage, features: Features, truths: Sequence[Truth], seed: int, out: Path
) -> None:
    """Stage 2: only the projector learns."""
    train_only(reader.model, reader.model.get_submodule("model.mm_projector").parameters())
    _run("projection", reader.model, plan, _seen(reader, plan, features, truths), seed, out)


def finetune(
    reader: Reader,
    plan: Finetune,
    features: Features,
    truths: Sequence[Truth],
    seed: int,
    out: Path,
) -> None:
    """Stage 3: projector and LoRA learn; LoRA is merged into the weights at the end."""
    model = reader.model
    lora = LoraConfig(
        r=plan.lora_rank,
        lora_alpha=plan.lora_alpha,
        lora_dropout=plan.lora_dropout,
        target_modules=list(LORA_TARGETS),
    )
    inject_adapter_in_model(lora, model.model)
    adapters = (p for n, p in model.named_parameters() if "lora_" in n)
    train_only(model, [*model.get_submodule("model.mm_projector").parameters(), *adapters])
    _run("finetune", model, plan, _seen(reader, plan, features, truths), seed, out)
    merge_adapters(model)


def merge_adapters(model: nn.Module) -> None:
    """Add every LoRA to the weights that it adapts, and take it away."""
    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())


def train_only(model: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Freeze everything but `parameters`."""
    model.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)


def _is_visual(name: str) -> bool:
    return "vision_tower" in name or "mm_projector" in name


def _seen(
    reader: Reader, plan: Stage, features: Features, truths: Sequence[Truth]
) -> Callable[[np.random.Generator], Tensor]:
    def loss(rng: np.random.Generator) -> Tensor:
        chosen = rng.choice(len(truths), plan.batch, replace=False)
        image_tokens = reader.model.project(features.low[chosen], features.high[chosen])
        return reader.loss(image_tokens, [truths[i] for i in chosen], rng)

    return loss


def _run(
    name: str,
    model: Med3DVLM,
    plan: Stage,
    loss: Callable[[np.random.Generator], Tensor],
    seed: int,
    out: Path,
) -> None:
    """Minimise `loss`. Frozen means eval mode: the vision tower's BatchNorm does not move."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer, schedule = optimizer_and_schedule(
        trained, plan.steps, plan.learning_rate, plan.weight_decay
    )
    model.train()
    model.get_submodule("model.vision_tower").eval()

    def step(i: int) -> float:
        torch.manual_seed(seed + i)
        optimizer.zero_grad(set_to_none=True)
        value = loss(np.random.default_rng((seed, i)))
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        return value.item()

    state: dict[str, Resumable] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    run_steps(name, plan.steps, step, state, out)
    model.eval()
