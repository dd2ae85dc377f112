"""From a study's files to its draft report: the only place where engine and reporting meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec, prepare
from dicom_io.slices.read import read_study
from dicom_io.types import Study, Volume
from dicom_io.volume.choice import SeriesChoice, name_series
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_first
from engine.protocol import GREEDY, Generation, ReportEngine
from plugin.drafting.writing.confidence import Confidence, find_confidence, kept_of
from plugin.drafting.writing.evidence import drawn_beside, find_evidence, references, regions
from plugin.drafting.writing.heat import Heat, heat_maps
from plugin.drafting.writing.regions import reason_to_withhold
from plugin.drafting.writing.steps import BUILD, CHOOSE, PREPARE, READ, REPORT, WRITE, timed_steps
from reporting.draft import Draft, DraftModel, Evidence, make_draft
from reporting.edition import Edition, Predecessor
from reporting.objects.sr import build_sr
from reporting.patient import disagreements, now_at, require_one_patient
from reporting.technique import technique_sentences
from reporting.text.confidence import Assessed

Progress = Callable[[str], None]

EVIDENCE_S = 10.0
"""The embedded model takes half a second a sentence."""

CONFIDENCE_S = 10.0
"""As long as its evidence may take."""


@dataclass(frozen=True, eq=False)
class DraftedStudy:
    """A draft with all that led to it.

    Parameters
    ----------
    choice : SeriesChoice
        The series that was read, and why each other one was not.
    model_input : ModelInput
        What the model saw.
    draft : Draft
        The text in sections.
    sr : pydicom.Dataset
        The Structured Report.
    ignored : tuple of str
        A sentence for every file that was no readable DICOM object.
    disagreements : tuple of str
        A sentence for everything about the patient that the images do not agree on.
    image_embedding : ndarray, optional
        What the model saw, see `Generation`.
    beside : tuple of pydicom.Dataset
        Its evidence for viewers (`reporting.objects.beside`).
    heat : tuple of Heat
        Its evidence for the reading room.
    drift : float, optional
        How far the model's raw scores lie from those that it was calibrated on.
    """

    choice: SeriesChoice
    model_input: ModelInput
    draft: Draft
    sr: Dataset
    ignored: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()
    image_embedding: NDArray[np.float32] | None = None
    beside: tuple[Dataset, ...] = ()
    heat: tuple[Heat, ...] = ()
    drift: float | None = None

    @property
    def selection(self) -> tuple[str, ...]:
        """What was read and what was not, and why; why the model abstained: a line each."""
        others = (f"{name_series(r.series)}: {r.reason}" for r in self.choice.rejected)
        return (
            f"read {self.choice.reason}",
            *(f"not read: {other}" for other in (*others, *self.ignored)),
            *self.disagreements,
            *([f"the model abstained: {why}"] if (why := self.draft.abstained) else []),
        )

    @property
    def series_instance_uid(self) -> str:
        """Of the report's own series."""
        return str(self.sr.SeriesInstanceUID)

    @property
    def selected_digest(self) -> str:
        return digest_of_choice(self.choice)

    @property
    def state(self) -> str:
        return self.draft.state

    @property
    def lacks(self) -> tuple[str, ...]:
        """What the draft or its input lacks, a sentence each."""
        return self.draft.faults

    @property
    def confidence(self) -> Confidence:
        return kept_of(self.draft, self.drift)

    @property
    def embedding(self) -> bytes:
        """What the model saw, of length 1, as float16; empty where it was not asked."""
        if self.image_embedding is None or not (length := np.linalg.norm(self.image_embedding)):
            return b""
        return bytes((self.image_embedding / length).astype("<f2").tobytes())


@dataclass(frozen=True)
class Pipeline:
    """Drafts reports with one engine.

    Parameters
    ----------
    engine : ReportEngine
        The model.
    max_new_tokens : int
        Longest text it may write.
    default_character_set : str, optional
        How an identity is read that its object declares as ASCII and that is neither that nor
        UTF-8: a term of PS3.3 C.12.1.1.2.
    while_writing : callable
        Gives what is entered while the engine works.
    evidence_s : float
        How long to look for the slices that its sentences come from; 0 does not.
    draws : bool
        Whether they are drawn for viewers, too.
    confidence_s : float
        How long to ask how sure the model is of its sentences; 0 does not ask.
    withhold : bool
        Whether drafts leave out sentences of low confidence.
    """

    engine: ReportEngine
    max_new_tokens: int = 256
    default_character_set: str | None = None
    while_writing: Callable[[], AbstractContextManager[object]] = nullcontext
    evidence_s: float = EVIDENCE_S
    draws: bool = False
    confidence_s: float = CONFIDENCE_S
    withhold: bool = False

    def make_report(
        self,
        paths: Iterable[Path],
        *,
        revision: int = 1,
        predecessor: Predecessor | None = None,
        incomplete: str | None = None,
        unless: str | None = None,
        remarks: Sequence[str] = (),
    ) -> DraftedStudy | None:
        """Draft the report of the study in some files; see `report_study` for what it raises.

        None where the slices that would be read are those of the digest `unless`. The Technique
        says each of `remarks`, a sentence.
        """
        with timed_steps() as progress:
            progress(READ)
            study = read_study(paths)
            choice = choose_series(study)
            if digest_of_choice(choice) == unless:
                return None
            images = self._read(study, choice, progress)
            # a first choice that cannot be built is tried again, and fails again
            if digest_of_choice(images[0]) == unless:
                return None
            return self._report(study, images, revision, predecessor, incomplete, progress, remarks)

    def report_study(
        self,
        study: Study,
        *,
        revision: int = 1,
        predecessor: Predecessor | None = None,
        incomplete: str | None = None,
        progress: Progress = lambda step: None,
    ) -> DraftedStudy:
        """Choose a series, build its volume, let the model write, and make the report object.

        Parameters
        ----------
        study : Study
            As `dicom_io.slices.read` gives it.
        revision, predecessor
            Which draft of this study this is, and the one it takes the place of.
        incomplete : str, optional
            Why slices may be missing; stands in the draft.
        progress : callable
            Told the name of each step as it begins.

        Raises
        ------
        DicomError
            The images are of several patients, no series is usable, or the chosen one is no volume.
        EngineError, ReportError
            The model failed, or wrote nothing.
        """
        images = self._read(study, None, progress)
        return self._report(study, images, revision, predecessor, incomplete, progress)

    def _read(
        self, study: Study, choice: SeriesChoice | None, progress: Progress = lambda step: None
    ) -> tuple[SeriesChoice, Volume, ModelInput]:
        return read_images(
            study, self.engine.preprocess, progress, choice, self.default_character_set
        )

    def _report(
        self,
        study: Study,
        images: tuple[SeriesChoice, Volume, ModelInput],
        revision: int,
        predecessor: Predecessor | None,
        incomplete: str | None,
        progress: Progress = lambda step: None,
        remarks: Sequence[str] = (),
    ) -> DraftedStudy:
        choice, volume, model_input = images
        progress(WRITE)
        read = set(volume.sop_instance_uids)
        headers = [i.header for i in choice.instances if i.sop_instance_uid in read]
        with self.while_writing():
            generation = self._written(model_input, headers[0])
            asked = self.engine, model_input, generation
            assessed, drift = find_confidence(*asked, self.confidence_s, self.withhold)
            found = find_evidence(*asked, self.evidence_s)
        if assessed:
            found = tuple(one for one in found if not assessed.withholds(one.span))
        progress(REPORT)
        lost = (*choice.lacking, *volume.unreadable, *study.damaged)
        missing = "; ".join([*([incomplete] if incomplete else []), *lost])
        differing = disagreements(i.header for one in study.series for i in one.instances)
        corrections = (*choice.notes, *volume.notes, *differing, *remarks)
        edition = Edition(revision, now_at(headers[0]), predecessor)
        evidence = references(found, model_input, volume, headers)
        draft = draft_of(
            generation, corrections, headers, edition, missing or None, evidence, assessed
        )
        sr = build_sr(draft, headers)
        drawn = regions(found, generation.text, model_input, volume) if self.draws else []
        return DraftedStudy(
            choice,
            model_input,
            draft,
            sr,
            study.ignored,
            differing,
            generation.image_embedding,
            drawn_beside(sr, headers, drawn),
            heat_maps(found, generation.text, model_input),
            drift,
        )

    def _written(self, model_input: ModelInput, header: Dataset) -> Generation:
        identity = self.engine.identity
        if reason := reason_to_withhold(identity.regions, header):
            return Generation.withheld(identity, reason)
        # the same study, the same draft
        sampling = replace(GREEDY, max_new_tokens=self.max_new_tokens)
        return self.engine.report(model_input, sampling)


def read_images(
    study: Study,
    spec: PreprocessSpec,
    progress: Progress = lambda step: None,
    choice: SeriesChoice | None = None,
    default_character_set: str | None = None,
) -> tuple[SeriesChoice, Volume, ModelInput]:
    """Choose a series of one patient, build its volume, and prepare it for a model.

    Parameters
    ----------
    study : Study
        As `dicom_io.slices.read` gives it.
    spec : PreprocessSpec
        How the model wants its input.
    progress : callable
        Told the name of each step as it begins.
    choice : SeriesChoice, optional
        What of it is read; by default it is chosen here.
    default_character_set : str, optional
        See `dicom_io.characters.settle_text`.

    Raises
    ------
    DicomError
        The images are of several patients, no series is usable, or the chosen one is no volume.
    """
    progress(CHOOSE)
    headers = (i.header for series in study.series for i in series.instances)
    require_one_patient(headers, default_character_set)
    choice = choice or choose_series(study)
    progress(BUILD)
    choice, volume = build_first(choice)
    progress(PREPARE)
    return choice, volume, prepare(volume, spec, choice.stack.window)


def digest_of_choice(choice: SeriesChoice) -> str:
    """SHA-256 over the sorted SOP Instance UIDs of the chosen series: the same slices, the same."""
    uids = sorted(instance.sop_instance_uid for instance in choice.instances)
    return sha256("\n".join(uids).encode()).hexdigest()


def draft_of(
    generation: Generation,
    corrections: Sequence[str],
    headers: Sequence[Dataset],
    edition: Edition,
    incomplete: str | None,
    evidence: Evidence | None = None,
    assessed: Assessed | None = None,
) -> Draft:
    """Turn what the model wrote into a draft.

    Parameters
    ----------
    generation : Generation
        The text, or why there is none.
    corrections : sequence of str
        What the Technique says of the choice and of the volume, one sentence each.
    headers : sequence of pydicom.Dataset
        Of the series that was read; Technique comes from them alone.
    edition : Edition
        Which draft of the study it is.
    incomplete : str or None
        What is missing of the input.
    evidence : mapping of spans to slices, optional
        What the sentences were inferred from.
    assessed : Assessed, optional
        How sure the model is of them.
    """
    identity = generation.identity
    model = DraftModel(identity.name, identity.version, identity.digest, identity.demonstration)
    return make_draft(
        generation.text,
        technique=technique_sentences(headers, corrections=corrections),
        model=model,
        edition=edition,
        finish_reason=generation.finish_reason,
        abstained=generation.abstained,
        incomplete=incomplete,
        tokens=generation.tokens,
        token_logprobs=generation.token_logprobs,
        evidence=evidence,
        assessed=assessed,
    )
