"""What a model's confidence is worth on a site's own studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from dicom_io.counted import counted
from dicom_io.errors import EngineError, UnusableData
from dicom_io.model_input.preprocess import ModelInput
from dicom_io.phantoms.truth import FINDINGS
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.description import Description
from engine.judgement.calibration import ENOUGH, Fitted
from engine.judgement.phrasing import ABSENT, Phrasing
from training.data.questions import presence
from training.data.store import Store, as_unit_interval
from training.evaluation.metrics.bootstrap import wilson
from training.export.confidence import Labelled, keep_fitted
from training.export.phrasings import phantom_phrasings


def confident_phrasings(
    found: Description, truths: Mapping[str, Mapping[str, str]]
) -> tuple[Phrasing, ...]:
    """Return how a model speaks of the findings that its confidence can be fitted for.

    Parameters
    ----------
    found : Description
        A model of phantoms, whose sentences are known, or one that answers free questions.
    truths : mapping of str to mapping of str to str
        The facts of each labelled study; see `Case`.

    Raises
    ------
    EngineError
        Nobody knows what else the model could have said.
    UnusableData
        The studies show no finding often enough, and the model names none of its own.
    """
    own, prompt = found.card.findings, found.prompt
    if found.card.demonstration and set(own) <= set(FINDINGS):
        return phantom_phrasings(own)
    if prompt is None or not prompt.answers_questions or prompt.questions:
        raise EngineError(
            f"the model {found.card.name} answers no free questions: "
            "nobody knows what else it could have said"
        )
    known = {name for facts in truths.values() for name in facts}
    asked = own or [name for name in sorted(known) if _there(truths, name) >= ENOUGH]
    if not asked:
        raise UnusableData(
            f"no finding is there in {ENOUGH} of the {counted(len(truths), 'study', 'studies')}"
        )
    return tuple(
        Phrasing(finding=name, terms=(name,), question=presence("", name, True).question)
        for name in asked
    )


def _there(truths: Mapping[str, Mapping[str, str]], finding: str) -> int:
    return sum(facts.get(finding, ABSENT) != ABSENT for facts in truths.values())


def calibrate_confidence(
    folder: Path, store: Store, truths: Mapping[str, Mapping[str, str]], name: str, device: str
) -> Iterator[str]:
    """Fit a model's confidence, write it beside the weights, and say what it is worth.

    Parameters
    ----------
    folder : Path
        Of the checkpoint; a calibration that is there is replaced, and the folder sealed again.
    store : Store
    truths : mapping of str to mapping of str to str
        The facts of each image that the model has not learnt from; see `Case`.
    name : str
        Of the set, as a reader of drafts sees it.
    device : str
        Where the model runs.

    Yields
    ------
    str
        A line for a person.

    Raises
    ------
    EngineError, UnusableData
        See `confident_phrasings`.
    """
    phrasings = confident_phrasings(describe(folder), truths)
    watched = track(truths, "confidence", console=Console(stderr=True))
    studies = (Labelled(key, _input(store, key), truths[key]) for key in watched)
    fitted = keep_fitted(folder, studies, phrasings, name=name, device=device)
    yield (
        f"confidence: fitted on {fitted.studies} of {counted(len(truths), 'study', 'studies')} "
        "that the model has not learnt from"
    )
    yield from map(worth, fitted.fitted)
    yield (
        f"a promise needs {ENOUGH} studies in which the finding is there, and {ENOUGH} in which "
        "it is not; a share within 5 points of the truth needs about 60 sentences"
    )


def worth(fitted: Fitted) -> str:
    """Say of a finding and polarity how many cases there were, and whether they suffice."""
    what = "there" if fitted.present else "not there"
    cases = f"{fitted.finding}, {what}: {counted(fitted.cases, 'study', 'studies')}"
    lack = ENOUGH - fitted.cases
    promise = "ruled out in at most 1 of 20" if fitted.promises else f"no promise, {lack} too few"
    share = wilson(fitted.right / fitted.sentences, fitted.sentences) if fitted.sentences else None
    said = f"said {counted(fitted.sentences, 'time')}"
    if share is not None:
        said += f", {fitted.right} right ({100 * share.low:.0f} to {100 * share.high:.0f} %)"
    if fitted.sentences < ENOUGH:
        said += f"; no word of confidence, {ENOUGH - fitted.sentences} too few"
    return f"  {cases}; {promise}; {said}"


def _input(store: Store, key: str) -> ModelInput:
    """Return an image of a store as an engine takes it."""
    affine = store.images[key].affine_lps
    pixels = as_unit_interval(store.stored(key)).numpy()
    return ModelInput(pixels, store.header.spec, np.array(affine or np.eye(4)), ())
