"""The calibration of a model's confidence: `engine.judgement.calibration`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.phantoms.detailed.phantom import make_detailed_phantom
from dicom_io.phantoms.grades import GRADES
from dicom_io.phantoms.phantom import Phantom, make_phantom
from dicom_io.phantoms.truth import FINDINGS
from engine.checkpoints.calibrated import discard_calibration, keep_calibration, trained_digest
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.description import Description
from engine.inference.local import LocalEngine
from engine.judgement.calibration import CALIBRATION, Calibration
from engine.judgement.fitting import fit
from engine.judgement.phrasing import Phrasing
from engine.judgement.scores import Case, cases_of
from engine.protocol import GREEDY
from training.export.phrasings import phantom_facts, phantom_phrasings

FIRST_SEED = 45_000_000
"""Far from the phantoms that a model is trained, explained and tested on."""

PHANTOMS = "synthetic phantoms of three grades"
"""The set, as a reader sees it."""

_SENTENCE = re.compile(r"[^\s.!?](?:[^.!?\n]|\.(?=\d))*[.!?]?")


@dataclass(frozen=True, eq=False)
class Labelled:
    """A study whose findings are known.

    Parameters
    ----------
    key : str
        Tells it from the others; not kept.
    model_input : ModelInput
    truths : mapping of str to str
        The true fact of each finding that is known of it; see `Case`.
    """

    key: str
    model_input: ModelInput
    truths: Mapping[str, str]


def weighed(
    engine: LocalEngine, studies: Iterator[Labelled], phrasings: Sequence[Phrasing]
) -> Iterator[Case]:
    """Let a model write of labelled studies, and weigh what it says of their findings.

    Studies from which the model abstains give no case.

    Parameters
    ----------
    engine : LocalEngine
    studies : iterator of Labelled
    phrasings : sequence of Phrasing
        How the model speaks of its findings.
    """
    for study in studies:
        generation = engine.report(study.model_input, GREEDY)
        spans = [found.span() for found in _SENTENCE.finditer(generation.text)]
        scores = engine.score(study.model_input, generation, spans, phrasings)
        yield from cases_of(study.key, scores, study.truths)


def keep_fitted(
    folder: Path,
    studies: Iterator[Labelled],
    phrasings: Sequence[Phrasing],
    *,
    name: str,
    device: str,
) -> Calibration:
    """Fit a model's confidence to labelled studies, and keep it beside the weights.

    Parameters
    ----------
    folder : Path
        Of the checkpoint; a calibration that is there is replaced, and the folder sealed again.
    studies : iterator of Labelled
        That the model has not learnt from.
    phrasings : sequence of Phrasing
        How the model speaks of its findings.
    name : str
        Of the set, as a reader of drafts sees it.
    device : str
        Where the model runs.
    """
    discard_calibration(folder)
    engine = LocalEngine.load(folder, device=device)
    cases = list(weighed(engine, studies, phrasings))
    calibration = fit(cases, phrasings, name=name, model=trained_digest(describe(folder)))
    keep_calibration(folder, calibration)
    return calibration


def calibrate_on_phantoms(folder: Path, images: int) -> Path:
    """Calibrate a model of phantoms on graded ones, and vouch for the file beside its weights.

    Parameters
    ----------
    folder : Path
        Of the native checkpoint; an older calibration is replaced.
    images : int
        Phantoms, a third of each grade.

    Raises
    ------
    EngineError
        The model was not trained on phantoms.
    CheckpointMismatch
        A file is missing, damaged or changed.
    """
    found = describe(folder)
    if not found.card.demonstration:
        raise EngineError("phantoms say nothing about a model of patients: calibrate it on a store")
    phrasings = phantom_phrasings(found.card.findings)
    keep_fitted(folder, _phantoms(found, images), phrasings, name=PHANTOMS, device="cpu")
    return folder / CALIBRATION


def _phantoms(model: Description, images: int) -> Iterator[Labelled]:
    """Make phantoms of the kind that shows what a model may say."""
    is_plain = set(model.card.findings) <= set(FINDINGS)
    make: Callable[..., Phantom] = make_phantom if is_plain else make_detailed_phantom
    console = Console(stderr=True)
    for seed in track(range(FIRST_SEED, FIRST_SEED + images), "phantoms", console=console):
        phantom = make(seed, grade=GRADES[seed % len(GRADES)])
        model_input = prepare(phantom.volume, model.preprocess)
        yield Labelled(str(seed), model_input, phantom_facts(phantom.truth))
