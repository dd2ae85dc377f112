"""A recipe: everything that decides a training run, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dicom_io.errors import RecipeError
from dicom_io.preprocess import PreprocessSpec
from engine.contrastive import Loss
from engine.dcformer import VARIANTS, DCFormerConfig
from engine.med3dvlm import Splice
from engine.projector import Kind as ProjectorKind
from engine.projector import ProjectorConfig, StreamConfig
from engine.protocol import Quantization
from engine.vision import VisionConfig
from engine.vit3d import ViT3DConfig
from training.data.splits import PARTS
from training.data.splits import Part as DataPart
from training.report_questions import M3D_REPORT_QUESTIONS

FOLDER = Path(__file__).parent / "recipes"

Positive = Annotated[int, Field(gt=0)]


Kind = Literal["reports", "open", "closed", "yes_no"]
"""What stages 2 and 3 learn to answer."""

Part = Literal["vision tower", "projector", "embeddings", "layers", "head"]
"""Of a model, as `ctscribe model info` names them."""


class Table(BaseModel):
    """A table of the file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ViT3D(Table):
    """Sizes of M3D-LaMed's vision tower; see `engine.vit3d.ViT3DConfig`."""

    patch: tuple[Positive, Positive, Positive]
    width: Positive
    layers: Positive
    heads: Positive


class Vision(Table):
    """The vision tower: a variant of the paper, or sizes; see `engine.dcformer.DCFormerConfig`.

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


DCFORMER_SIZES = ("blocks", "channels", "kernels", "stem", "stem_refinements", "layer_scale")


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


class Run(Table):
    """How a run is executed; none of it changes what is learned, but for the rounding.

    Parameters
    ----------
    precision : {"bf16", "fp32"}
        Of the arithmetic (autocast). The trained weights and the optimizer stay in float32.
    zero : {0, 1, 2, 3}
        DeepSpeed's ZeRO stage where several processes work: what each keeps a part of only.
        0 nothing, 1 the optimizer's state, 2 the gradients too, 3 the weights too.
    workers : int
        Processes that read ahead, for each rank.
    save_every, keep : int
        Steps between two states on disk, and how many of the latest stay.
    log_every : int
        Steps between two lines in the log.
    validate_every : int
        Steps between two validations; 0 leaves it to the end.
    validation_items : int
        The first so many of the validation part are looked at.
    check_memory : bool
        Whether a stage that does not fit the GPU, by `ctscribe train memory`, is refused.
    trackers : tuple of str
        What Accelerate reports to beside TensorBoard, e.g. "wandb", "mlflow".
    """

    precision: Literal["bf16", "fp32"] = "bf16"
    zero: Literal[0, 1, 2, 3] = 2
    workers: Annotated[int, Field(ge=0)] = 4
    save_every: Positive = 500
    keep: Positive = 2
    log_every: Positive = 10
    validate_every: Annotated[int, Field(ge=0)] = 0
    validation_items: Positive = 1000
    check_memory: bool = True
    trackers: tuple[str, ...] = ()


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


class Phantoms(Table):
    """The synthetic patients of each part of a store: first and last seed, half open."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


class Novelty(Table):
    """The training distribution, outside of which the exported model abstains.

    Parameters
    ----------
    images : int
        The first so many of the training part are measured; the validation part sets the limit.
    """

    images: Positive


class Card(Table):
    """What the exported model says of itself.

    Parameters
    ----------
    name : str, optional
        By default that of the recipe, with the stage.
    version : str
    findings : tuple of str
        The only ones that it may write; empty where there is no closed list.
    questions : tuple of str
        The only ones that it can be asked, likewise.
    """

    name: str | None = None
    version: str = "1"
    findings: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


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
    statements : bool
        Whether single statements are learnt beside whole reports; for phantoms alone.
    """

    loss: Loss = "siglip"
    width: Positive = 768
    t_prime: float = 2.302585092994046
    bias: float = -10.0
    augment: bool = False
    statements: bool = False


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
        How image tokens enter the prompt (`engine.med3dvlm.Med3DVLMConfig`). Stage 3 goes on with
        what its checkpoint has.
    """

    pretrained: str
    sizes: LanguageModelSizes | None = None
    splice: Splice = "clean"


class Mixer(Table):
    """The projector: tokens after each mixer layer of its two streams (paper, figure 2)."""

    kind: ProjectorKind = "mixer"
    low: tuple[Positive, ...] = (192, 128)
    high: tuple[Positive, ...] = (64, 128)


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
    features : str, optional
        A folder that keeps what the frozen vision tower sees, so that each image is encoded once.
    """

    train: tuple[Part, ...] = ("projector",)
    batch_norm: Literal["frozen", "training"] = "frozen"
    augment: bool = False
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


class Ablation(Table):
    """What `ctscribe eval ablation` needs beside the base recipe, which is the full model.

    Parameters
    ----------
    vit3d : ViT3D
        What takes the place of DCFormer.
    reports : int
        The first so many test reports are written and scored.
    questions : int
        Likewise, of each type, open and closed.
    max_new_tokens : int
        A longer text is cut.
    """

    vit3d: ViT3D
    reports: Positive = 100
    questions: Positive = 60
    max_new_tokens: Positive = 96


class Recipe(Table):
    """The whole file; `preprocess` is checked against the store's before anything is read."""

    name: str
    seed: int = 0
    split: Literal["paper", "grouped"] | None = None
    card: Card = Card()
    phantoms: Phantoms | None = None
    preprocess: dict[str, Any]
    vision: Vision = Vision()
    text_encoder: TextEncoder | None = None
    llm: LanguageModel | None = None
    mixer: Mixer = Mixer()
    run: Run = Run()
    novelty: Novelty | None = None
    contrastive: Contrastive | None = None
    language: TextStage | None = None
    projector: Projector | None = None
    finetune: Finetune | None = None
    ablation: Ablation | None = None

    @field_validator("preprocess")
    @classmethod
    def _makes_sense(cls, values: dict[str, Any]) -> dict[str, Any]:
        PreprocessSpec.from_dict(values)
        return values

    @model_validator(mode="after")
    def _quantized_weights_are_not_spread(self) -> Recipe:
        quantized = self.finetune is not None and self.finetune.quantization != "none"
        if quantized and self.run.zero == 3:
            raise ValueError("finetune.quantization and run.zero = 3 do not go together")
        return self

    @property
    def preprocess_spec(self) -> PreprocessSpec:
        return PreprocessSpec.from_dict(self.preprocess)

    @property
    def seeds(self) -> dict[DataPart, range]:
        """The phantoms of each part of its store; none where it is no recipe for phantoms."""
        named = self.phantoms.model_dump() if self.phantoms else {}
        return {part: range(*named[part]) for part in PARTS if part in named}

    @property
    def vision_config(self) -> VisionConfig:
        return self.vision.config(self.preprocess_spec.size)

    def projector_config(self, width: int) -> ProjectorConfig:
        """Projector between the vision tower and a language model of this width."""
        (low, low_channels), (high, high_channels) = self.vision_config.shapes[-2:]
        return ProjectorConfig(
            StreamConfig(low, low_channels, self.mixer.low),
            StreamConfig(high, high_channels, self.mixer.high),
            width,
            self.mixer.kind,
        )


def load_recipe(name: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Parameters
    ----------
    name : str or Path
        A file, or one of those that come along: "paper", "authors", "site".
    changes : iterable of str
        Keys to set otherwise, such as "contrastive.micro_batch=8"; values as in TOML.

    Raises
    ------
    RecipeError
        There is no such recipe, or a key is unknown, missing or makes no sense; the message names
        file and key.
    """
    path = FOLDER / f"{name}.toml" if str(name) in shipped() else Path(name)
    if not path.is_file():
        raise RecipeError(f"no recipe {name}: neither a file nor one of {', '.join(shipped())}")
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        for change in changes:
            _set(values, change)
        return Recipe.model_validate(_beside(path.parent, values))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{path}: {'; '.join(_faults(error))}") from error


def shipped() -> list[str]:
    """Names of the recipes that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _beside(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Let `pretrained` name a folder that lies beside the recipe."""
    for table in ("text_encoder", "llm"):
        named = values.get(table, {}).get("pretrained")
        if isinstance(named, str) and (folder / named).is_dir():
            values[table]["pretrained"] = str(folder / named)
    return values


def _set(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *tables, last = key.strip().split(".")
    if not equals:
        raise RecipeError(f"--set {change}: not KEY=VALUE")
    for name in tables:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {change}: {name} is no table")
    values[last] = _value(text)


def _value(text: str) -> Any:
    """A value as TOML writes it; a word without quotes is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors():
        key = ".".join(map(str, fault["loc"])) or "the recipe"
        unknown = fault["type"] == "extra_forbidden"
        yield f"{key}: {'unknown key' if unknown else fault['msg']}"
