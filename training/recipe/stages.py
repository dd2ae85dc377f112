"""Tables of a recipe that say how each stage learns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.network.contrastive import Loss
from engine.protocol import Quantization
from training.data.wordings import M3D_REPORT_QUESTIONS
from training.recipe.model import Positive, Table

Kind = Literal["reports", "open", "closed", "yes_no"]
"""What stages 2 and 3 learn to answer."""

Part = Literal["vision tower", "projector", "embeddings", "layers", "head"]
"""Of a model, as `ctscribe model info` names them."""


class Stage(Table):
    """One optimisation: AdamW, linear warm-up, cosine to zero (paper, section 3.4).

    Parameters
    ----------
    epochs, steps : int
        How long; one of the two.
    global_batch : int
        Items of one step of the optimizer, over all ranks and passes.
    micro_batch : int
        Items of one pass on one rank. Passes a step = global_batch / (micro_batch · ranks).
    learning_rate, weight_decay : float
    warm_up : float
        Fraction of the steps.
    clip : float
        Largest norm of the gradient of all trained weights together.
    gradient_checkpointing : bool
        Compute activations again in the backward pass, for less memory.
    """

    epochs: Positive | None = None
    steps: Positive | None = None
    global_batch: Positive
    micro_batch: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.03
    clip: Annotated[float, Field(gt=0)] = 1.0
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _one_length(self) -> Stage:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class Contrastive(Stage):
    """Stage 1.

    Parameters
    ----------
    loss : {"siglip", "clip"}
    width : int
        Of the space shared by images and texts.
    t_prime, bias : float
        Where SigLIP's temperature (as its logarithm) and bias begin; for CLIP, `t_prime` alone.
    augment : bool
        The authors' random turns and flips, which contradict what reports say of sides, and
        changes of intensity.
    mask_equal : bool
        Whether an image does not count against reports of the same facts (of phantoms), or of the
        same words. The paper's losses call them wrong.
    statements : bool
        Whether single statements are learnt beside whole reports; for phantoms alone.
    dense : bool
        Whether the vision tower also learns where findings lie; goes with `statements`.
    """

    loss: Loss = "siglip"
    width: Positive = 768
    t_prime: float = 2.302585092994046
    bias: float = -10.0
    augment: bool = False
    mask_equal: bool = False
    statements: bool = False
    dense: bool = False

    @model_validator(mode="after")
    def _places_stay_the_same(self) -> Contrastive:
        if self.dense and (self.augment or not self.statements):
            raise ValueError("dense goes with statements, and not with augment")
        return self


class TextStage(Stage):
    """What every stage that learns to write shares.

    Parameters
    ----------
    data : tuple of str
        "reports", "open" and "closed" questions, and those with "yes_no". What is named several
        times is seen so much more often.
    report_questions : "m3d" or tuple of str
        What asks for a report: M3D's 42 sentences, or these. The first is the exported prompt.
    max_tokens : int
        Of a sequence, the image tokens included; longer answers are cut.
    """

    data: tuple[Kind, ...]
    report_questions: Literal["m3d"] | Annotated[tuple[str, ...], Field(min_length=1)] = "m3d"
    max_tokens: Positive = 512

    @property
    def report_wordings(self) -> tuple[str, ...]:
        """What asks for a report; the first is the prompt of the exported model."""
        if self.report_questions == "m3d":
            return M3D_REPORT_QUESTIONS
        return tuple(self.report_questions)


class AnswerStage(TextStage):
    """What stages 2 and 3 share.

    Parameters
    ----------
    train : tuple of str
        Parts that learn, beside adapters.
    batch_norm : {"frozen", "training"}
        Of a vision tower that is frozen: what stage 1 learnt, or the statistics of the batch.
    augment : bool
        The authors' flips, quarter turns and changes of grey, which contradict sides and planes.
    unknown : float
        Share of the answers' tokens that the tokenizer may not know; with more the run is refused.
    features : str, optional
        A folder that keeps what the frozen vision tower sees, so that each image is encoded once.
    """

    train: tuple[Part, ...] = ("projector",)
    batch_norm: Literal["frozen", "training"] = "frozen"
    augment: bool = False
    unknown: Annotated[float, Field(ge=0, le=1)] = 0.01
    features: str | None = None

    @model_validator(mode="after")
    def _features_stay_the_same(self) -> AnswerStage:
        changes = self.augment or self.batch_norm == "training" or "vision tower" in self.train
        if self.features and changes:
            raise ValueError("features: the vision tower changes, or its images do")
        return self


class Projector(AnswerStage):
    """Stage 2.

    Parameters
    ----------
    forget : tuple of str
        Parts that learn here and are as they were in the exported model: the authors' stage 3
        begins without the input embeddings of their stage 2.
    """

    forget: tuple[Part, ...] = ()


class Finetune(AnswerStage):
    """Stage 3: LoRA on every linear map of the language model (paper, section 3.4.3).

    Parameters
    ----------
    lora_rank, lora_alpha, lora_dropout
    quantization : {"none", "int8", "nf4"}
        Of the weights below the adapters (QLoRA).
    """

    lora_rank: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    quantization: Quantization = "none"
