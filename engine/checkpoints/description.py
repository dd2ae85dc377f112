"""What a checkpoint says of itself, whatever its layout, before any weight is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.decoding import GENERATION
from engine.checkpoints.folder import digest_of, read_json
from engine.checkpoints.tokenizer_files import eos_token, tokenizer_files
from engine.checkpoints.weights import TensorInfo, read_headers, read_tensors, weight_files
from engine.protocol import Region

CONFIG = "config.json"

# Above what any network has, and what a plain loop over layers can still build
_MOST_LAYERS, _LARGEST = 1000, 2**24
_LAYERS = ("layers", "num_hidden_layers", "n_layers", "depth", "blocks", "stem_refinements")
# Of its training, and the base of rotary frequencies
_NO_SIZES = ("card", "rope_theta", "rope_scaling", "rope_parameters")

LayoutName = Literal[
    "native",
    "vlm_qwen",
    "dec_clip",
    "qwen2",
    "lamed_llama",
    "lamed_phi3",
    "merlin_report",
    "pmc_clip",
    "nv_reason_ct",
    "merlin_pair",
    "ct_chat",
    "ct2rep",
    "radfm",
]

Renaming = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From names as they are stored to the network's own, with what belongs to no network left out."""


@checked(frozen=True, config={"extra": "forbid"})
class Prompt:
    """How the model is asked.

    Parameters
    ----------
    report : str
        The question that asks for a report; it follows the image tokens.
    image_token, eos_token : str
        Tokens of the tokenizer: the placeholder of an image token, and what ends a text.
    before_image, after_image, after_question : str
        What stands around the image tokens and behind every question and `report`, where a model
        was trained on turns of a conversation. An answer follows at once there, without a space.
    before_question : str
        What stands between the image tokens and a question, but not before `report`: the authors'
        code puts a space there (`mllm_dataset.py`).
    answers_questions : bool
        Whether the model was trained to answer questions, not reports alone.
    questions : tuple of str
        The only questions that it can be asked; empty where there is no closed list.
    closed : {"letters", "texts"}
        How it is given choices: listed by letter, as in M3D-VQA, or not at all; then it is asked
        openly, and a choice is as likely as the token that its text begins with.
    parts : tuple of str
        Where a report is asked for part by part: what takes the place of `{part}` in `report`.
    cut_at : str
        A text ends before this.
    """

    report: str
    image_token: str = "<im_patch>"  # noqa: S105 - a token of text
    eos_token: str = "<eos>"  # noqa: S105
    before_question: str = ""
    answers_questions: bool = False
    questions: tuple[str, ...] = ()
    closed: Literal["letters", "texts"] = "letters"
    parts: tuple[str, ...] = ()
    cut_at: str = ""
    before_image: str = ""
    after_image: str = ""
    after_question: str = ""

    @property
    def reports(self) -> tuple[str, ...]:
        """The questions whose answers make a report."""
        return tuple(self.report.replace("{part}", part) for part in self.parts) or (self.report,)


@checked(frozen=True, config={"extra": "forbid"})
class ModelCard:
    """What a checkpoint says of itself.

    Parameters
    ----------
    name, version : str
    demonstration : bool
        Whether it was trained on synthetic images only.
    findings : tuple of str
        The findings that it may write; empty where there is no closed list.
    provenance : mapping
        Where it comes from: recipe, seed, data, figures. JSON values.
    regions : tuple of Region
        The regions of the body that its training images show; empty where nothing says so.
    """

    name: str
    version: str
    demonstration: bool = False
    findings: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, eq=False)
class Description:
    """A checkpoint on disk.

    Parameters
    ----------
    layout : str
    folder : Path
    network : object
        The configuration of its family (`engine.checkpoints.families`).
    card, prompt, preprocess
        As the weights were trained; what writes nothing has no prompt.
    weights : tuple of Path
        Its files of tensors.
    digest : str
        SHA-256 over all files that matter.
    renaming : callable
        See `Renaming`.
    """

    layout: LayoutName
    folder: Path
    network: Any
    card: ModelCard
    prompt: Prompt | None
    preprocess: PreprocessSpec
    weights: tuple[Path, ...]
    digest: str
    renaming: Renaming = dict

    def tensors(self) -> dict[str, Tensor]:
        """Map the weights into memory, under the network's names."""
        return self.renaming(read_tensors(self.weights))

    def headers(self) -> dict[str, TensorInfo]:
        """Return type and shape of the weights, under the network's names."""
        return self.renaming(read_headers(self.weights))


def read_config(folder: Path) -> dict[str, Any]:
    """Read a folder's config.json.

    Raises
    ------
    CheckpointMismatch
        It is no JSON object, or states a size that no network has.
    """
    config = read_json(folder / CONFIG)
    _require_sizes(config, str(folder / CONFIG))
    return config


def _require_sizes(values: Any, path: str, name: str = "") -> None:
    """Refuse sizes that nobody means before transformers or torch make anything of that size."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key not in _NO_SIZES:
                _require_sizes(value, path, str(key))
    elif isinstance(values, list):
        for value in values:
            _require_sizes(value, path, name)
    elif isinstance(values, int) and values > (_MOST_LAYERS if name in _LAYERS else _LARGEST):
        raise CheckpointMismatch(f"{path}: {name} is {values}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointMismatch(
            f"{path} cannot be read; docs/families.md says what it is"
        ) from error


def _of_its_size(network: Any) -> PreprocessSpec:
    return PreprocessSpec(size=network.vision.input_size)


@dataclass(frozen=True)
class Layout:
    """What is a published layout's own; `describe_published` does what all of them share.

    Parameters
    ----------
    network : callable
        config.json, the headers under the network's names, and the folder -> the configuration of
        the family.
    prompt : Prompt, optional
        Its `eos_token` is what ends a text where the tokenizer's files name nothing.
    renaming : callable
        See `Renaming`.
    version : str
        Of the card.
    loose : tuple of str
        Files that, where they are there, are put over the weights.
    provenance : callable
        The headers as stored -> the card's provenance.
    preprocess : callable
        The configuration -> how the weights' training data were prepared.
    regions : tuple of Region
        Of the card.
    system : str, optional
        A file that must be there: what the conversation begins with.
    """

    network: Callable[[Mapping[str, Any], Mapping[str, TensorInfo], Path], Any]
    prompt: Prompt | None = None
    renaming: Renaming = dict
    version: str = "published"
    loose: tuple[str, ...] = ()
    provenance: Callable[[Mapping[str, TensorInfo]], dict[str, Any]] = lambda stored: {}
    preprocess: Callable[[Any], PreprocessSpec] = _of_its_size
    regions: tuple[Region, ...] = ()
    system: str | None = None


def describe_published(folder: Path, layout: LayoutName, own: Layout) -> Description:
    """Read what a checkpoint of a published layout says of itself.

    Parameters
    ----------
    folder : Path
    layout : str
        The name of its layout.
    own : Layout
        What that layout has of its own.

    Raises
    ------
    CheckpointMismatch
        A file is missing or damaged.
    KeyError, TypeError, ValueError
        config.json lacks a key, or names a part that this project does not know.
    """
    loose = [folder / name for name in own.loose if (folder / name).is_file()]
    weights = [*weight_files(folder), *loose]
    stored = read_headers(weights)
    network = own.network(read_config(folder), own.renaming(stored), folder)
    said = [path for path in [folder / GENERATION] if path.is_file()]
    prompt = own.prompt
    if prompt:
        prompt = replace(prompt, eos_token=eos_token(folder) or prompt.eos_token)
    if prompt and own.system:
        said.append(folder / own.system)
        prompt = replace(prompt, before_image=_text(said[-1]) + prompt.before_image)
    return Description(
        layout=layout,
        folder=folder,
        network=network,
        card=ModelCard(
            folder.name, own.version, provenance=own.provenance(stored), regions=own.regions
        ),
        prompt=prompt,
        preprocess=own.preprocess(network),
        weights=tuple(weights),
        digest=digest_of([folder / CONFIG, *said, *tokenizer_files(folder), *weights]),
        renaming=own.renaming,
    )
