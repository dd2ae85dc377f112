"""From the evidence that an engine names to the slices of the series that it was given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product

import numpy as np
from pydicom import Dataset

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput
from dicom_io.types import Volume
from engine.judgement.protocol import Evidence, Explains
from engine.protocol import Generation, ReportEngine
from reporting.draft import ImageReference, statements_in
from reporting.sentences import Span

LOGGER = logging.getLogger(__name__)


def find_evidence(
    engine: ReportEngine, model_input: ModelInput, generation: Generation, within_s: float
) -> tuple[Evidence, ...]:
    """Ask an engine where its sentences come from; none where it cannot say, fails, or has no time.

    Parameters
    ----------
    engine : ReportEngine
        Only one that `Explains` is asked.
    model_input, generation
        What it saw and wrote.
    within_s : float
        How long it may look; 0 asks nothing.
    """
    if not within_s or generation.abstained is not None or not isinstance(engine, Explains):
        return ()
    spans = statements_in(generation.text)
    if not spans:
        return ()
    try:
        return engine.explain(model_input, generation, spans, within_s=within_s)
    except (EngineError, RuntimeError) as error:  # torch's own errors are RuntimeErrors
        # a draft is worth more than its evidence
        LOGGER.warning("a draft goes out without evidence: %s", type(error).__name__)
        return ()


def references(
    found: Sequence[Evidence], model_input: ModelInput, volume: Volume, headers: Sequence[Dataset]
) -> dict[Span, tuple[ImageReference, ...]]:
    """Name the slices that the best cell of each sentence crosses, the middle one first.

    Parameters
    ----------
    found : sequence of Evidence
    model_input : ModelInput
        Whose cells these are.
    volume : Volume
        It was prepared of.
    headers : sequence of pydicom.Dataset
        Of the slices.
    """
    known = {str(header.SOPInstanceUID): header for header in headers}
    named = {}
    for one in found:
        uids = (volume.sop_instance_uids[i] for i in _from_the_middle(one, model_input, volume))
        images = (_reference(known[uid]) for uid in dict.fromkeys(uids) if uid in known)
        named[one.span] = tuple(images)
    return named


def _from_the_middle(one: Evidence, model_input: ModelInput, volume: Volume) -> list[int]:
    crossed = slices_of(one, model_input, volume)
    middle = crossed[len(crossed) // 2]
    return sorted(crossed, key=lambda i: abs(i - middle))


def slices_of(evidence: Evidence, model_input: ModelInput, volume: Volume) -> range:
    """Return which slices of a volume the best cell crosses: never fewer than one.

    Parameters
    ----------
    evidence, model_input, volume
        As `references` takes them.
    """
    shape = np.array(model_input.pixels.shape[1:])
    size = shape / evidence.weights.shape
    begin = np.array(evidence.best) * size - 0.5  # voxels reach half a step around their middle
    corners = [[*(begin + np.array(corner) * size), 1.0] for corner in product((0, 1), repeat=3)]
    to_volume = np.linalg.inv(volume.affine_lps) @ model_input.affine_lps
    along = (to_volume @ np.array(corners).T)[0]
    last = len(volume.sop_instance_uids) - 1
    first = int(np.clip(np.ceil(along.min()), 0, last))
    return range(first, max(first, int(np.clip(np.floor(along.max()), 0, last))) + 1)


def _reference(header: Dataset) -> ImageReference:
    return ImageReference(
        str(header.SOPClassUID),
        str(header.SOPInstanceUID),
        _number(header.get("SeriesNumber")),
        _number(header.get("InstanceNumber")),
    )


def _number(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None
