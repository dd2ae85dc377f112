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

FOLDER = Path(__file__).parent / "recipes"

Positive = Annotated[int, Field(gt=0)]


class Table(BaseModel):
    """A table of the file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Vision(Table):
    """The vision tower: a variant of the paper, or sizes; see `engine.dcformer.DCFormerConfig`."""

    variant: Literal["nano", "naive", "tiny", "small", "base", "large"] = "small"
    blocks: tuple[int, int, int, int] | None = None
    channels: tuple[int, int, int, int, int] | None = None
    kernels: tuple[int, int, int, int] | None = None
    stem: Literal["decomposed", "patch"] | None = None
    stem_refinements: int | None = None
    layer_scale: float | None = None

    def config(self, size: tuple[int, int, int]) -> DCFormerConfig:
        """Sizes for inputs of `size` (D, H, W)."""
        own = self.model_dump(exclude={"variant"}, exclude_none=True)
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
    """

    loss: Loss = "siglip"
    width: Positive = 768
    t_prime: float = 2.302585092994046
    bias: float = -10.0
    augment: bool = False


class Recipe(Table):
    """The whole file; `preprocess` is checked against the store's before anything is read."""

    name: str
    seed: int = 0
    split: Literal["paper", "grouped"] | None = None
    preprocess: dict[str, Any]
    vision: Vision = Vision()
    text_encoder: TextEncoder | None = None
    run: Run = Run()
    contrastive: Contrastive | None = None

    @field_validator("preprocess")
    @classmethod
    def _makes_sense(cls, values: dict[str, Any]) -> dict[str, Any]:
        PreprocessSpec.from_dict(values)
        return values

    @property
    def preprocess_spec(self) -> PreprocessSpec:
        return PreprocessSpec.from_dict(self.preprocess)

    @property
    def vision_config(self) -> DCFormerConfig:
        return self.vision.config(self.preprocess_spec.size)


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
        return Recipe.model_validate(values)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{path}: {'; '.join(_faults(error))}") from error


def shipped() -> list[str]:
    """Names of the recipes that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


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
