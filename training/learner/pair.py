"""The pair of encoders that stage 1 trains, as it is before the first step."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers.models.distilbert import DistilBertConfig, DistilBertModel
from transformers.models.distilbert.modeling_distilbert import TransformerBlock

from dicom_io.errors import RecipeError
from engine.checkpoints.checkpoint import load_pair
from engine.checkpoints.folder import checkpoint_folder
from engine.checkpoints.layouts.dec_clip import load_text_encoder
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.network.contrastive import ContrastivePair
from engine.network.towers.dcformer import Block, DCFormer, DecomposedConv
from training.recipe.model import TextEncoder
from training.recipe.recipe import Recipe
from training.recipe.stages import Contrastive
from training.run.dropout import ATTENTION
from training.run.recompute import recompute


def make_pair(
    recipe: Recipe, stage: Contrastive, start: str | None = None
) -> tuple[ContrastivePair, Tokenizer]:
    """Build both encoders, the text encoder with its weights, and the tokenizer.

    Parameters
    ----------
    recipe : Recipe
    stage : Contrastive
    start : str, optional
        A pair to go on from, in place of the recipe's encoders.

    Raises
    ------
    RecipeError
        The recipe has no text encoder, or reports may be longer than it reads.
    """
    table = recipe.text_encoder
    if table is None:
        raise RecipeError(f"recipe {recipe.name} has no table text_encoder")
    torch.manual_seed(recipe.seed)
    if start is not None:
        pair, tokenizer = load_pair(start), read_tokenizer(checkpoint_folder(start))
    else:
        encoder, tokenizer = make_text_encoder(table)
        pair = ContrastivePair(recipe.vision_config, encoder.config, stage.width, stage.loss)
        pair.language_encoder.load_state_dict(encoder.state_dict())
        _begin_at(pair, stage)
    positions = pair.language_encoder.config.max_position_embeddings
    if table.max_tokens > positions:
        raise RecipeError(
            f"text_encoder.max_tokens is {table.max_tokens}, and it reads {positions} at most"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(table.max_tokens)
    return pair.train(), tokenizer


def make_text_encoder(table: TextEncoder) -> tuple[DistilBertModel, Tokenizer]:
    """Load the pre-trained one, or build one without weights of the sizes given."""
    if table.sizes is None:
        return load_text_encoder(table.pretrained)
    tokenizer = read_tokenizer(checkpoint_folder(table.pretrained))
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=table.max_tokens,
        **table.sizes.model_dump(),
    )
    return DistilBertModel(config), tokenizer


def prepare_pair(
    pair: ContrastivePair, stage: Contrastive, *, exact_ranks: bool = False
) -> ContrastivePair:
    """Recompute what the stage does not keep; where ranks are exact, drop in attention by items.

    Parameters
    ----------
    pair : ContrastivePair
    stage : Contrastive
    exact_ranks : bool
        See `training.recipe.recipe.Run`.
    """
    if exact_ranks:
        pair.language_encoder.set_attn_implementation(ATTENTION)
    if stage.gradient_checkpointing:
        recompute(_costly(pair))
    return pair


def _costly(pair: ContrastivePair) -> list[nn.Module]:
    """What is worth computing twice: the blocks of both encoders, and the stem's convolutions."""
    blocks: list[nn.Module] = [m for m in pair.modules() if isinstance(m, Block | TransformerBlock)]
    if isinstance(pair.vision_encoder, DCFormer):
        stem = pair.vision_encoder.encoder.s0.modules()
        blocks += [m for m in stem if isinstance(m, DecomposedConv)]
    return blocks


def _begin_at(pair: ContrastivePair, stage: Contrastive) -> None:
    scalars = (
        {"t_prime": stage.t_prime, "bias": stage.bias}
        if stage.loss == "siglip"
        else {"logit_scale": stage.t_prime}
    )
    for name, value in scalars.items():
        getattr(pair, name).data.fill_(value)
