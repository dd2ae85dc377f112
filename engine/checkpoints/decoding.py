"""How a checkpoint says that its tokens are to be chosen: generation_config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.folder import read_json

GENERATION = "generation_config.json"

Id = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Decoding:
    """A checkpoint's defaults, by the names of transformers' `GenerationConfig`.

    Parameters
    ----------
    temperature : float
        0 takes the likeliest token at every step, which is also what "do_sample": false says.
    top_p : float
        Draw among the likeliest tokens whose probabilities reach this sum.
    top_k : int
        Draw among so many of the likeliest; 0 sets no limit.
    repetition_penalty : float
        Makes tokens that the text has already less likely; 1 changes nothing.
    ends : frozenset of int
        Every token that ends a text.
    """

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    ends: frozenset[Id] = frozenset()


GREEDILY = Decoding()
"""The likeliest token at every step."""


def read_decoding(folder: Path) -> Decoding:
    """Read what generation_config.json says; what it leaves out changes nothing.

    Raises
    ------
    CheckpointMismatch
        It is no JSON object, or a value lies outside its range.
    """
    path = folder / GENERATION
    if not path.is_file():
        return GREEDILY
    said = read_json(path)
    try:
        known = {"temperature", "top_p", "top_k", "repetition_penalty"}
        values = {key: said[key] for key in known & said.keys() if said[key] is not None}
        ends = said.get("eos_token_id")
        values["ends"] = ends if isinstance(ends, list) else [] if ends is None else [ends]
        if not said.get("do_sample"):
            values["temperature"] = 0.0
        elif "temperature" not in values:
            values["temperature"] = 1.0  # transformers' own default
        return TypeAdapter(Decoding).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointMismatch(f"{path}: {where}: {first['msg']}") from error


def said(decoding: Decoding, eos_id: int | None) -> dict[str, Any]:
    """Return what generation_config.json says beside the one token that the prompt names.

    Parameters
    ----------
    decoding : Decoding
    eos_id : int, optional
        The token that the prompt names.
    """
    names = ("temperature", "top_p", "top_k", "repetition_penalty")
    values = {name: getattr(decoding, name) for name in names}
    values = {name: value for name, value in values.items() if value != getattr(GREEDILY, name)}
    if "temperature" in values:
        values["do_sample"] = True
    if further := sorted(decoding.ends - {eos_id}):
        values["eos_token_id"] = [eos_id, *further] if eos_id is not None else further
    return values
