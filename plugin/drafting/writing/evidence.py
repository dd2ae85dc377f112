"""From the evidence that an engine names to the slices of the series that it was given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy.ndimage import affine_transform

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput
from dicom_io.types import Volume
from dicom_io.values import whole_or_none
from engine.judgement.protocol import Evidence, Explains
from engine.protocol import Generation, ReportEngine
from reporting.draft import ImageReference, statements_in
from reporting.objects.beside import Region, objects_beside
from reporting.text.sentences import Span

HALF = 0.5
"""Of the best cell's weight; what is drawn is a place to look at, and no outline."""

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
    spans = statements_in(generation.text)
    if not within_s or generation.abstained is not None or not spans:
        return ()
    try:
        if not isinstance(engine, Explains) or not engine.can_explain:
            return ()
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


def regions(
    found: Sequence[Evidence],
    text: str,
    model_input: ModelInput,
    volume: Volume,
) -> list[Region]:
    """Draw the evidence of each finding into its slices: what has at least half the best weight.

    Parameters
    ----------
    found : sequence of Evidence
        The sentences of one finding share theirs: the first one is drawn.
    text : str
        That they stand in.
    model_input : ModelInput
    volume : Volume
    """
    firsts = {one.finding: one for one in reversed(found)}.values()
    drawn = []
    for one in sorted(firsts, key=lambda one: one.span):
        crossed = slices_of(one, model_input, volume)
        mask = _weights_at(one, model_input, volume, crossed) >= HALF
        uids = tuple(volume.sop_instance_uids[i] for i in crossed)
        drawn.append(Region(text[slice(*one.span)], uids, mask))
    return drawn


def _weights_at(
    one: Evidence, model_input: ModelInput, volume: Volume, slices: range
) -> NDArray[np.float32]:
    """Interpolate weights at the pixels of some slices."""
    from_slices = np.eye(4)
    from_slices[0, 3] = slices.start
    places = np.linalg.inv(one.affine_lps(model_input)) @ volume.affine_lps @ from_slices
    shape = (len(slices), *volume.hu.shape[1:])
    drawn: NDArray[np.float32] = affine_transform(
        one.weights, places[:3, :3], places[:3, 3], shape, order=1, mode="nearest"
    )
    return drawn


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
    ends = product(*((index - 0.5, index + 0.5) for index in evidence.best))
    corners = [[*corner, 1.0] for corner in ends]
    to_volume = np.linalg.inv(volume.affine_lps) @ evidence.affine_lps(model_input)
    along = (to_volume @ np.array(corners).T)[0]
    last = len(volume.sop_instance_uids) - 1
    first = int(np.clip(np.ceil(along.min()), 0, last))
    return range(first, max(first, int(np.clip(np.floor(along.max()), 0, last))) + 1)


def drawn_beside(
    sr: Dataset, headers: Sequence[Dataset], drawn: Sequence[Region]
) -> tuple[Dataset, ...]:
    """Make the objects that stand beside a draft; none where the images lack what these need.

    Parameters
    ----------
    sr : pydicom.Dataset
        The draft.
    headers : sequence of pydicom.Dataset
        Of its slices.
    drawn : sequence of Region
    """
    if len({str(header.SOPInstanceUID) for header in headers}) < len(headers):
        return ()  # frames of one object
    try:
        return objects_beside(sr, headers, drawn)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        LOGGER.warning("a draft goes out without drawn evidence: %s", type(error).__name__)
        return ()


def _reference(header: Dataset) -> ImageReference:
    return ImageReference(
        str(header.SOPClassUID),
        str(header.SOPInstanceUID),
        whole_or_none(header.get("SeriesNumber")),
        whole_or_none(header.get("InstanceNumber")),
    )
