"""What an engine tells of its sentences beside their words."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from dicom_io.model_input.preprocess import ModelInput
from engine.protocol import Generation

Level = Literal["high", "medium", "low"]
"""How sure a model is: a word, no figure."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Where in the model's input a sentence comes from.

    Parameters
    ----------
    span : (int, int)
        The sentence, as start and end in the generation's text.
    finding : str
        That it speaks of.
    weights : ndarray of float32, shape (d, h, w)
        How much each cell speaks for the sentence: 1 in the best one, 0 away from the body. The
        cells divide the input evenly.
    """

    span: tuple[int, int]
    finding: str
    weights: NDArray[np.float32]

    @property
    def best(self) -> tuple[int, int, int]:
        """The cell with the most weight."""
        d, h, w = (int(i) for i in np.unravel_index(self.weights.argmax(), self.weights.shape))
        return d, h, w

    def affine_lps(self, model_input: ModelInput) -> NDArray[np.float64]:
        """Return the map from indices of cells of an input to patient coordinates in mm, LPS."""
        size = np.array(model_input.pixels.shape[1:]) / self.weights.shape
        to_input = np.diag([*size, 1.0])
        to_input[:3, 3] = (size - 1) / 2  # voxels reach half a step around their middle
        affine: NDArray[np.float64] = model_input.affine_lps @ to_input
        return affine

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold, without loss; `from_dict` reads them back."""
        return {
            "span": list(self.span),
            "finding": self.finding,
            "cells": list(self.weights.shape),
            "weights": b64encode(self.weights.astype("<f4").tobytes()).decode(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evidence:
        """Read what `to_dict` gave; a ValueError, TypeError or LookupError says it is no such."""
        first, end = values["span"]
        weights = np.frombuffer(b64decode(values["weights"], validate=True), "<f4")
        weights = weights.astype(np.float32).reshape(values["cells"])
        if weights.ndim != 3 or not weights.size or not ((weights >= 0) & (weights <= 1)).all():
            raise ValueError("no weights of cells")
        return cls((first, end), str(values["finding"]), weights)


@runtime_checkable
class Explains(Protocol):
    """An engine that can say where in the images its sentences come from."""

    @property
    def can_explain(self) -> bool:
        """Whether this model, where it runs, can say it of any sentence."""
        ...

    def explain(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> tuple[Evidence, ...]:
        """Find the evidence of sentences that say that something is there.

        Parameters
        ----------
        model_input : ModelInput
            What `generation` was written of.
        generation : Generation
            As `report` gave it with the model's own prompt.
        spans : sequence of (int, int)
            Start and end of each sentence in its text.
        within_s : float
            How long to look, in seconds; what is not found by then is left out.

        Returns
        -------
        tuple of Evidence
            In the order of `spans`, without sentences of findings whose evidence cannot be named.
        """
        ...


@dataclass(frozen=True)
class Confidence:
    """How sure a model is that one sentence is true: a word, no figure.

    Parameters
    ----------
    span : (int, int)
        The sentence, as start and end in the generation's text.
    finding : str
        That it speaks of.
    present : bool
        Whether it says that the finding is there.
    level : {"high", "medium", "low"}
        How sure the model is.
    """

    span: tuple[int, int]
    finding: str
    present: bool
    level: Level


@dataclass(frozen=True)
class Assessment:
    """What a model's confidence is worth, and that of each sentence.

    Parameters
    ----------
    sentences : tuple of Confidence
        Empty where nobody has calibrated the model.
    unmentioned : tuple of str
        Findings that the text does not mention and the images may show.
    calibrated_on : str
        The set of labelled studies with its number, as a reader may see it; "" where nobody has
        calibrated the model.
    drift : float, optional
        How far this study's raw scores lie from those of the set; for a metric, not for a reader.
        None where nobody has calibrated the model.
    """

    sentences: tuple[Confidence, ...]
    unmentioned: tuple[str, ...] = ()
    calibrated_on: str = ""
    drift: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Assessment:
        """Read what `to_dict` gave; a ValueError says it is no such."""
        return TypeAdapter(cls).validate_python(values)


@runtime_checkable
class Assesses(Protocol):
    """An engine that can say how sure it is of its sentences."""

    @property
    def can_assess(self) -> bool:
        """Whether somebody has calibrated this model."""
        ...

    def assess(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> Assessment:
        """Say how sure the model is of sentences that speak of a finding.

        Parameters
        ----------
        model_input : ModelInput
            What `generation` was written of.
        generation : Generation
            As `report` gave it with the model's own prompt.
        spans : sequence of (int, int)
            Start and end of each sentence in its text.
        within_s : float
            How long to look, in seconds; what is not known by then is left out.

        Returns
        -------
        Assessment
            Its sentences in the order of `spans`, without those that speak of no finding that was
            calibrated, or of several.
        """
        ...
