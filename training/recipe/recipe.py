"""A recipe: everything that decides a training run, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator

from dicom_io.errors import RecipeError
from dicom_io.model_input.preprocess import PreprocessSpec
from dicom_io.phantoms.truth import Kind
from engine.network.projector import ProjectorConfig, StreamConfig
from engine.network.towers.vision import VisionConfig
from training.data.splits import PARTS
from training.data.splits import Part as DataPart
from training.recipe.inherited import take_after
from training.recipe.model import LanguageModel, Mixer, Positive, Table, TextEncoder, Vision, ViT3D
from training.recipe.stages import Contrastive, Finetune, Projector, TextStage

FOLDER = Path(__file__).parent
PUBLISHED_SIZE = [128, 256, 256]
"""Input of the published weights (paper, section 3.4)."""


class Run(Table):
    """How a run is executed; none of it changes what is learned, but for rounding and dropout.

    Parameters
    ----------
    precision : {"bf16", "fp32"}
        Of the arithmetic (autocast). The trained weights and the optimizer stay in float32.
    zero : {0, 1, 2, 3}
        DeepSpeed's ZeRO stage where several processes work: what each keeps a part of only.
        0 nothing, 1 the optimizer's state, 2 the gradients too, 3 the weights too.
    exact_ranks : bool
        Whether several ranks learn what one does, dropout's masks included (`training.run.exact`).
        Without it batch norm and dropout are torch's own.
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
    keep_best : bool
        Whether the result has the weights of the validation with the lowest loss, in place of the
        last ones.
    check_memory : bool
        Whether a stage that does not fit the GPU, by `ctscribe train memory`, is refused.
    trackers : tuple of str
        What Accelerate reports to beside TensorBoard, e.g. "wandb", "mlflow".
    """

    precision: Literal["bf16", "fp32"] = "bf16"
    zero: Literal[0, 1, 2, 3] = 2
    exact_ranks: bool = False
    workers: Annotated[int, Field(ge=0)] = 4
    save_every: Positive = 500
    keep: Positive = 2
    log_every: Positive = 10
    validate_every: Annotated[int, Field(ge=0)] = 0
    validation_items: Positive = 1000
    keep_best: bool = False
    check_memory: bool = True
    trackers: tuple[str, ...] = ()


class Phantoms(Table):
    """The synthetic patients of each part of a store: first and last seed, half open.

    Parameters
    ----------
    train, validation, test : tuple of int
    kind : {"plain", "detailed"}
        Detailed ones are more like CT, with eleven findings.
    """

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]
    kind: Kind = "plain"


class OutOfDistribution(Table):
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


class Ablation(Table):
    """What `ctscribe eval ablation` needs beside the base recipe, which is the full model.

    Parameters
    ----------
    vit3d : ViT3D, optional
        What takes the place of DCFormer, where it has to be trained.
    reports : int
        The first so many test reports are written and scored.
    questions : int
        Likewise, of each type, open and closed.
    max_new_tokens : int
        A longer text is cut.
    seconds : dict
        Of a step or an item on a known machine, by the kind of the job: the first estimate.
    """

    vit3d: ViT3D | None = None
    reports: Positive = 100
    questions: Positive = 60
    max_new_tokens: Positive = 96
    seconds: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)


class Recipe(Table):
    """The whole file; `preprocess` is checked against the store's before anything is read."""

    name: str
    seed: int = 0
    split: Literal["paper", "grouped"] | None = None
    card: Card = Card()
    phantoms: Phantoms | None = None
    preprocess: dict[str, Any] = Field(default_factory=lambda: {"size": PUBLISHED_SIZE})
    vision: Vision = Vision()
    text_encoder: TextEncoder | None = None
    llm: LanguageModel | None = None
    mixer: Mixer = Mixer()
    run: Run = Run()
    out_of_distribution: OutOfDistribution | None = Field(
        None, validation_alias=AliasChoices("out_of_distribution", "novelty")
    )  # older recipes, and those that runs keep, have the second name
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
        named = self.phantoms.model_dump(exclude={"kind"}) if self.phantoms else {}
        return {part: range(*named[part]) for part in PARTS if part in named}

    @property
    def kind(self) -> Kind:
        """Of its phantoms."""
        return self.phantoms.kind if self.phantoms else "plain"

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


def load_recipe(name: str | Path, changes: Iterable[str] = (), model: str | None = None) -> Recipe:
    """Read and validate a recipe.

    Where it has no table `preprocess` or `vision`, or no questions that ask for a report, the model
    that the run begins with says them.

    Parameters
    ----------
    name : str or Path
        A file, or one of those that come along: "paper", "authors", "site".
    changes : iterable of str
        Keys to set otherwise, such as "contrastive.micro_batch=8"; values as in TOML.
    model : str, optional
        What the run begins with; a loose file says nothing.

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
        if model is not None and not Path(model).is_file():
            take_after(values, model)
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
