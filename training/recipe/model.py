"""Tables of a recipe that say what is trained: sizes, and which weights it begins with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.network.families.med3dvlm import Splice
from engine.network.projector import Kind as ProjectorKind
from engine.network.towers.dcformer import VARIANTS, DCFormerConfig
from engine.network.towers.vision import VisionConfig
from engine.network.towers.vit3d import ViT3DConfig

Positive = Annotated[int, Field(gt=0)]

DCFORMER_SIZES = ("blocks", "channels", "kernels", "stem", "stem_refinements", "layer_scale")


class Table(BaseModel):
    """A table of the file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ViT3D(Table):
    """Sizes of M3D-LaMed's vision tower; see `engine.network.towers.vit3d.ViT3DConfig`."""

    patch: tuple[Positive, Positive, Positive]
    width: Positive
    layers: Positive
    heads: Positive


class Vision(Table):
    """The vision tower: a variant of the paper, or sizes; see `network.dcformer.DCFormerConfig`.

    With `vit3d` it is a ViT3D, and everything else is left out.
    """

    variant: Literal["nano", "naive", "tiny", "small", "base", "large"] = "small"
    blocks: tuple[int, int, int, int] | None = None
    channels: tuple[int, int, int, int, int] | None = None
    kernels: tuple[int, int, int, int] | None = None
    stem: Literal["decomposed", "patch"] | None = None
    stem_refinements: int | None = None
    layer_scale: float | None = None
    vit3d: ViT3D | None = None

    def config(self, size: tuple[int, int, int]) -> VisionConfig:
        """Sizes for inputs of `size` (D, H, W)."""
        if self.vit3d is not None:
            return ViT3DConfig(size, **self.vit3d.model_dump())
        own = self.model_dump(exclude={"variant", "vit3d"}, exclude_none=True)
        given = {name: getattr(VARIANTS[self.variant], name) for name in DCFORMER_SIZES}
        return DCFormerConfig(**{**given, **own, "input_size": size})


class DistilBert(Table):
    """Sizes of a text encoder that begins without weights."""

    dim: Positive
    hidden_dim: Positive
    n_layers: Positive
    n_heads: Positive
    dropout: float = 0.1
    attention_dropout: float = 0.1


class TextEncoder(Table):
    """The text encoder of stage 1.

    Parameters
    ----------
    pretrained : str, optional
        A DistilBERT with its tokenizer: a folder, or `OWNER/NAME@COMMIT` on the hub.
    sizes : DistilBert, optional
        In its place, one without weights; `pretrained` then names a folder with a tokenizer only.
    max_tokens : int
        Longer reports are cut there.
    """

    pretrained: str
    sizes: DistilBert | None = None
    max_tokens: Positive = 512


class LanguageModelSizes(Table):
    """Of a Qwen2 that has learnt nothing yet."""

    hidden_size: Positive
    intermediate_size: Positive
    num_hidden_layers: Positive
    num_attention_heads: Positive
    num_key_value_heads: Positive
    max_position_embeddings: Positive = 512
    tie_word_embeddings: bool = False


class LanguageModel(Table):
    """What stage 2 puts behind the projector.

    Parameters
    ----------
    pretrained : str
        A Qwen2 with its tokenizer: a folder, or `OWNER/NAME@COMMIT` on the hub.
    sizes : LanguageModelSizes, optional
        Where that folder holds a tokenizer only: one of these sizes that has learnt nothing.
    splice : {"clean", "published"}
        How image tokens enter the prompt (`network.med3dvlm.Med3DVLMConfig`). Stage 3 goes on with
        what its checkpoint has.
    before_question : str
        What stands between the image tokens and a question (`checkpoints.description.Prompt`).
        Stage 3 goes on with what its checkpoint has.
    """

    pretrained: str
    sizes: LanguageModelSizes | None = None
    splice: Splice = "clean"
    before_question: str = ""


class Mixer(Table):
    """The projector: tokens after each mixer layer of its two streams (paper, figure 2)."""

    kind: ProjectorKind = "mixer"
    low: tuple[Positive, ...] = (192, 128)
    high: tuple[Positive, ...] = (64, 128)
