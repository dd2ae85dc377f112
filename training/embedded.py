"""Train the embedded model from nothing: `python -m training.embedded --recipe R --out DIR`.

The three stages of the paper in their simplest form, on phantoms. A killed run goes on where it
stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from dicom_io.phantom import FINDINGS, draw_truth, make_phantom
from dicom_io.preprocess import PreprocessSpec, prepare
from engine.checkpoint import Checkpoint, ModelCard, Prompt, save_checkpoint
from engine.contrastive import ContrastivePair
from engine.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.novelty import fit_distribution, image_features
from engine.projector import ProjectorConfig, StreamConfig
from training.contrastive import ContrastiveStage, draw_batch
from training.data.phantoms import read_phantoms, write_phantoms
from training.data.store import as_unit_interval
from training.language import Features, Reader, finetune, pretrain_language, train_projector
from training.phantom_recipe import Recipe, load_recipe
from training.progress import Resumable, run_steps
from training.tokenizer import build_tokenizer
from training.wording import PROMPT, facts_text, report_text, statements


def vocabulary() -> Tokenizer:
    """Build the tokenizer from every wording of statements, facts and reports."""
    rng = np.random.default_rng(0)
    truths = [draw_truth(rng) for _ in range(4000)]
    texts = [report_text(truth, rng) for truth in truths] + [facts_text(t) for t in truths]
    return build_tokenizer([PROMPT, *texts, *(w for s in statements() for w in s.wordings)])


def train_vision(recipe: Recipe, tokenizer: Tokenizer, out: Path) -> ContrastivePair:
    """Stage 1; returns the pair in eval mode."""
    torch.manual_seed(recipe.seed)
    text = recipe.text.model_dump(exclude={"width"})
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=128, **text
    )
    pair = ContrastivePair(recipe.vision_config, config, recipe.text.width)
    plan = recipe.contrastive
    stage = ContrastiveStage(
        pair,
        tokenizer,
        steps=plan.steps,
        learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay,
    )
    inputs, truths = read_phantoms(out / "store", recipe.preprocess_spec)

    def step(i: int) -> float:
        rng = np.random.default_rng((recipe.seed, i))
        batch = draw_batch(inputs, truths, plan.batch, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return stage.step(batch, rng)

    state: dict[str, Resumable] = {
        "pair": pair,
        "head": stage.head,
        "optimizer": stage.optimizer,
        "schedule": stage.schedule,
    }
    run_steps("contrastive", plan.steps, step, state, out)
    return pair.eval()


def build_model(recipe: Recipe, tokenizer: Tokenizer, vision: nn.Module) -> Med3DVLM:
    """Put an untrained projector and language model behind the trained vision tower."""
    torch.manual_seed(recipe.seed)
    size, streams = recipe.vision_config, recipe.projector
    llm = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=512,
        tie_word_embeddings=False,
        **recipe.llm,
    )
    projector = ProjectorConfig(
        low=StreamConfig(size.tokens(3), size.channels[3], streams.low),
        high=StreamConfig(size.tokens(4), size.channels[4], streams.high),
        width=llm.hidden_size,
    )
    model = Med3DVLM(Med3DVLMConfig(size, projector, llm))
    model.get_submodule("model.vision_tower.vision_tower").load_state_dict(vision.state_dict())
    return model.eval()


def look(
    model: Med3DVLM, volumes: Iterable[Tensor], count: int
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Yield each volume (1, 1, D, H, W) with the hidden states of the frozen vision tower."""
    for volume in track(volumes, "vision tower", total=count):
        batch = volume[None]
        with torch.no_grad():
            hidden_states = model.encode_image(batch)
        yield batch, hidden_states


def see(model: Med3DVLM, inputs: Sequence[Tensor]) -> Features:
    """Compute what the projector learns from, once for all steps."""
    low, high = (torch.empty(len(inputs), *shape) for shape in model.config.vision.shapes[3:5])
    volumes = (as_unit_interval(stored) for stored in inputs)
    for i, (_, hidden_states) in enumerate(look(model, volumes, len(inputs))):
        low[i], high[i] = hidden_states[3][0], hidden_states[4][0]
    return Features(low, high)


def describe(model: Med3DVLM, seeds: range, spec: PreprocessSpec) -> dict[str, Tensor]:
    """Collect the `image_features` of phantoms made anew: the store's 8 bits have other texture."""
    volumes = (torch.from_numpy(prepare(make_phantom(seed).volume, spec).pixels) for seed in seeds)
    described = [
        image_features(batch, hidden_states)
        for batch, hidden_states in look(model, volumes, len(seeds))
    ]
    return {name: torch.cat([d[name] for d in described]) for name in described[0]}


def train(recipe: Recipe, out: Path) -> Checkpoint:
    """Run every stage, and save the checkpoint in `out/checkpoint`."""
    spec, seeds = recipe.preprocess_spec, range(*recipe.training_seeds)
    write_phantoms(out / "store", {"train": seeds}, spec, processes=2)
    tokenizer = vocabulary()
    vision = train_vision(recipe, tokenizer, out).vision_encoder
    model = build_model(recipe, tokenizer, vision)
    inputs, truths = read_phantoms(out / "store", spec)
    features = see(model, inputs)
    distribution = fit_distribution(
        describe(model, range(*recipe.distribution_seeds), spec),
        describe(model, range(*recipe.validation_seeds), spec),
    )
    reader = Reader(model, tokenizer)
    pretrain_language(reader, recipe.language, draw_truth, recipe.seed, out)
    train_projector(reader, recipe.projection, features, truths, recipe.seed, out)
    finetune(reader, recipe.finetune, features, truths, recipe.seed, out)
    card = ModelCard(
        name="ctscribe-phantom",
        version="1",
        demonstration=True,
        findings=FINDINGS,
        provenance={"recipe": recipe.model_dump(), "data": "synthetic phantoms of this project"},
    )
    checkpoint = Checkpoint(model, tokenizer, card, Prompt(PROMPT), spec, distribution)
    save_checkpoint(checkpoint, out / "checkpoint", dtype=torch.float16)
    return checkpoint


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    train(load_recipe(arguments.recipe), arguments.out)


if __name__ == "__main__":
    main()
