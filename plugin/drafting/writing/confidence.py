"""From the words in which an engine says how sure it is to what a draft says of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput
from engine.judgement.protocol import Assesses
from engine.protocol import Generation, ReportEngine
from reporting.draft import Draft, assertions_in, one_line
from reporting.text.confidence import Assessed

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Confidence:
    """What is kept beside a draft of how sure its model was.

    Parameters
    ----------
    calibrated_on : str or None
        The set that it was calibrated on; "" where there is none, None where nobody knows.
    drift : float or None
        How far the raw scores lie from those of that set.
    withheld : tuple of (str, str)
        Heading and text of each sentence that the draft leaves out.
    """

    calibrated_on: str | None = None
    drift: float | None = None
    withheld: tuple[tuple[str, str], ...] = ()


def find_confidence(
    engine: ReportEngine,
    model_input: ModelInput,
    generation: Generation,
    within_s: float,
    withhold: bool = False,
) -> tuple[Assessed | None, float | None]:
    """Ask an engine how sure it is of its sentences, and how far its scores have drifted.

    Parameters
    ----------
    engine : ReportEngine
        One that does not assess itself counts as uncalibrated.
    model_input, generation
        What it saw and wrote.
    within_s : float
        How long it may take; 0 asks nothing.
    withhold : bool
        Whether the draft leaves out sentences of low confidence.
    """
    if not within_s or generation.abstained is not None:
        return None, None
    spans = assertions_in(generation.text)
    try:
        if not isinstance(engine, Assesses) or not engine.can_assess:
            return Assessed(), None
        found = engine.assess(model_input, generation, spans, within_s=within_s)
    except (EngineError, RuntimeError) as error:  # torch's own errors are RuntimeErrors
        # a draft is worth more than what it says of itself
        LOGGER.warning("a draft goes out without confidence: %s", type(error).__name__)
        return Assessed(failed=True), None
    levels = {one.span: one.level for one in found.sentences}
    unmentioned = tuple(one.replace("_", " ") for one in found.unmentioned)
    calibrated_on = one_line(found.calibrated_on)
    return Assessed(levels, calibrated_on, unmentioned, withhold=withhold), found.drift


def kept_of(draft: Draft, drift: float | None) -> Confidence:
    """Return what is kept of a draft's confidence."""
    told = draft.assessed
    calibrated_on = None if told is None or told.failed else told.calibrated_on
    withheld = ((part.heading.name, one.text) for part in draft.withheld for one in part.sentences)
    return Confidence(calibrated_on, drift, tuple(withheld))
