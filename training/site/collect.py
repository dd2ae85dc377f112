"""One study at a time: its objects are fetched, become model inputs, and go."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass, replace

import torch
from pydicom import Dataset
from safetensors.torch import save

from dicom_io.errors import (
    CtscribeError,
    DicomError,
    GeometryError,
    IdentifiedContent,
    IncompleteSeries,
    MissingAttribute,
    NotRetrieved,
    NoUsableSeries,
    PluginError,
    UnsupportedTransferSyntax,
    UnusableData,
)
from dicom_io.model_input.preprocess import prepare
from dicom_io.slices.read import read_study
from dicom_io.types import Instance, Series, Study
from dicom_io.volume.orientation import acquisition_plane
from dicom_io.volume.series import choose_series, usable_stacks
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from training.data.store import quantised, sha256
from training.site.deidentify.headers import (
    also_known_as,
    deidentify,
    origin,
    patient_of,
    quiet,
    refuse_burned_in,
)
from training.site.deidentify.keys import Key
from training.site.deidentify.known import KnownValues
from training.site.deidentify.pixels import holds_text
from training.site.deidentify.private import kept_values
from training.site.questions.phase import contrast_phase
from training.site.reports.sr import reports_in
from training.site.sources.pace import Pace
from training.site.sources.source import StudyReference, stated
from training.site.wanted import Wanted
from training.site.work import Image, Record, Work

# Messages of dicom_io may name a file or a series; these say nothing of whose it is
_REASONS: tuple[tuple[type[CtscribeError], str], ...] = (
    (IdentifiedContent, "text can be read in its pixels"),
    (NotRetrieved, "the archive did not give all of it"),
    (NoUsableSeries, "no series that could be given to the model"),
    (IncompleteSeries, "slices are missing"),
    (GeometryError, "its slices form no volume"),
    (MissingAttribute, "an attribute that a volume needs is missing"),
    (UnsupportedTransferSyntax, "its pixels are encoded in a way that no decoder here reads"),
    (DicomError, "its objects are damaged"),
)


_LEAST_FREE = 1 << 24
"""Bytes that the disk of the working folder must have, lest it is what a study failed of."""

_TOLERANCE_MM = 10.0
"""By which a series may reach beyond another one that is said to show the same."""


class UnusableStudy(DicomError):
    """A study is not what its source says; the message names nobody."""


@dataclass(frozen=True)
class Collector:
    """Makes the record of a study.

    Parameters
    ----------
    wanted : Wanted
        Where its objects are, and how inputs are made.
    work : Work
        Where the record goes.
    key : Key
        Of the data set.
    """

    wanted: Wanted
    work: Work
    key: Key

    def name_of(self, reference: StudyReference) -> str:
        """The pseudonym of a study."""
        return self.key.study(reference.study_instance_uid)

    def collect(self, reference: StudyReference) -> Record:
        """Fetch a study, make its inputs, and keep its record.

        Raises
        ------
        PluginError
            The archive does not answer: the study is not done.
        UnusableData
            The disk is full, or a file cannot be read or written: the study is not done.
        """
        name = self.name_of(reference)
        with self.work.objects(name) as folder:
            try:
                self.wanted.source.fetch(reference, folder)
                record = self._read(name, reference, read_study([folder]))
            except OSError as error:
                raise UnusableData(self._unwritable(error)) from None
            except PluginError:
                raise
            except NotRetrieved as error:
                self._stop_without_space()
                # no record: the next run asks again
                return Record(name, rejected=reason_of(error), detail=str(error))
            except CtscribeError as error:
                self._stop_without_space()
                record = Record(name, rejected=reason_of(error), detail=str(error))
            except Exception as error:  # noqa: BLE001  one odd header stops no other study
                self._stop_without_space()
                damaged = f"its objects cannot be understood ({type(error).__name__})"
                record = Record(name, rejected=damaged, detail=repr(error))
        try:
            self.work.finish(record)
        except OSError as error:
            raise UnusableData(self._unwritable(error)) from None
        return record

    def _stop_without_space(self) -> None:
        """Blame no study for a disk that is full, whatever the full disk made of it."""
        if shutil.disk_usage(self.work.folder).free < _LEAST_FREE:
            raise UnusableData(self._unwritable(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))

    def _unwritable(self, error: OSError) -> str:
        """What is wrong with the disk; a path may tell whose study it is."""
        return (
            f"{self.work.folder}: {error.strerror or type(error).__name__}; "
            "the same command goes on when that is mended"
        )

    def _read(self, name: str, reference: StudyReference, study: Study) -> Record:
        headers = [i.header for series in study.series for i in series.instances]
        _check_identity(reference, study, headers)
        KnownValues.of(headers).save(self.work.folder, name)
        kept, left_out = self._without_pictures(study)
        usable = [stack.series for stack in usable_stacks(kept)]
        if not usable:
            choose_series(kept)  # raises, and says why of every series
        return Record(
            name,
            self.key.patient(patient_of(headers[0])),
            also_known_as=tuple(sorted(map(self.key.patient, _names_of(headers)))),
            left_out=left_out,
            reports=tuple(reports_in(headers)),
            images=tuple(self._images(name, usable)),
        )

    def _without_pictures(self, study: Study) -> tuple[Study, dict[str, int]]:
        """Leave out what may show text, counted by the reason."""
        left_out: Counter[str] = Counter()

        def kept(series: Series) -> Iterator[Instance]:
            for instance in series.instances:
                try:
                    refuse_burned_in(instance.header)
                except IdentifiedContent as error:
                    left_out[str(error)] += 1
                else:
                    yield instance

        series = (replace(one, instances=tuple(kept(one))) for one in study.series)
        usable = tuple(one for one in series if one.instances)
        return replace(study, series=usable), dict(sorted(left_out.items()))

    def _images(self, name: str, usable: Sequence[Series]) -> Iterator[Image]:
        chosen = usable if self.wanted.series == "all" else usable[:1]
        for number, series in enumerate(chosen, start=1):
            try:
                image = self._image(name, number, series)
            except (DicomError, IdentifiedContent):
                if self.wanted.series == "best":
                    raise
                continue
            covers = all(covered_by(other, series) for other in usable)
            yield replace(image, origin={**image.origin, "covers_study": covers})

    def _image(self, name: str, number: int, series: Series) -> Image:
        # what is built of headers that tell nothing has notes that tell nothing
        nameless = replace(series, instances=tuple(map(self._nameless, series.instances)))
        stack = stack_of(nameless)
        volume = build_volume(stack)
        if self.wanted.search_pixels and holds_text(volume.hu):
            raise IdentifiedContent("text can be read in its pixels")
        made = prepare(volume, self.wanted.spec, stack.window)
        file = f"{name}-{number}.safetensors"
        path = self.work.input(file)
        # safetensors itself says in no type that the disk is full
        path.write_bytes(save({"input": quantised(torch.from_numpy(made.pixels[0]), "uint16")}))
        header = nameless.header
        told = {
            **origin(header),
            "plane": acquisition_plane(volume.affine_lps),
            "phase": contrast_phase(series.header),
            "study": name,
            "series": stated(header, "SeriesInstanceUID"),
        }
        if self.wanted.private:
            told["private"] = kept_values(series.header, self.wanted.private)
        notes = (*volume.unreadable, *volume.notes, *made.steps)
        return Image(file, sha256(path), made.affine_lps.tolist(), notes, told)

    def _nameless(self, instance: Instance) -> Instance:
        return replace(instance, header=deidentify(instance.header, self.key))


def collected(
    collector: Collector,
    studies: Iterable[StudyReference],
    pace: Pace,
    say: Callable[[str], None],
    processes: int,
) -> Iterator[tuple[StudyReference, Record]]:
    """Collect studies, several at once; yields each with its record, as they are done.

    No more are under way than there are processes, so that memory stays flat and the pace is kept.

    Parameters
    ----------
    collector : Collector
        Goes to every process.
    studies : iterable of StudyReference
        In the order in which they begin.
    pace : Pace
        When the next one may begin.
    say : callable
        Told what is being done.
    processes : int
        One means this one.

    Raises
    ------
    PluginError, UnusableData
        As `Collector.collect`; what is under way is finished first.
    """
    if processes == 1:
        for study in studies:
            pace.wait(say)
            say(collector.name_of(study))
            yield study, collector.collect(study)
        return
    # torch has threads by now, and a fork would copy their locks
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        under_way: dict[Future[Record], StudyReference] = {}
        for study in studies:
            pace.wait(say)
            say(collector.name_of(study))
            under_way[pool.submit(_collect_quietly, collector, study)] = study
            if len(under_way) == processes:
                yield from _done(under_way, FIRST_COMPLETED)
        yield from _done(under_way, ALL_COMPLETED)


def _collect_quietly(collector: Collector, study: StudyReference) -> Record:
    """Collect in a process of its own; a warning of a library may quote a header."""
    with quiet():
        return collector.collect(study)


def _done(
    under_way: dict[Future[Record], StudyReference], until: str
) -> Iterator[tuple[StudyReference, Record]]:
    for future in wait(under_way, return_when=until).done:
        yield under_way.pop(future), future.result()


def _names_of(headers: Sequence[Dataset]) -> set[str]:
    return {name for header in headers for name in also_known_as(header)}


def reason_of(error: CtscribeError) -> str:
    """Why a study cannot be used, in words that name nobody."""
    if isinstance(error, UnusableStudy):
        return str(error)
    return next((text for kind, text in _REASONS if isinstance(error, kind)), "it cannot be used")


def covered_by(other: Series, series: Series) -> bool:
    """Whether a series lies within another one, by the positions of their images along the body."""
    here, there = _extent_mm(series), _extent_mm(other)
    if here is None or there is None:
        return other is series
    if series.header.get("FrameOfReferenceUID") != other.header.get("FrameOfReferenceUID"):
        return False
    return here[0] - _TOLERANCE_MM <= there[0] and there[1] <= here[1] + _TOLERANCE_MM


def _extent_mm(series: Series) -> tuple[float, float] | None:
    """Lowest and highest corner of its images along z in their frame of reference, if it is one."""
    heights: list[float] = []
    for instance in series.instances:
        header = instance.header
        position = header.get("ImagePositionPatient")
        orientation, spacing = header.get("ImageOrientationPatient"), header.get("PixelSpacing")
        if not (position and orientation and spacing):
            return None
        along_row = float(orientation[2]) * float(spacing[1]) * (header.Columns - 1)
        down = float(orientation[5]) * float(spacing[0]) * (header.Rows - 1)
        z = float(position[2])
        heights += [z, z + along_row, z + down, z + along_row + down]
    return min(heights), max(heights)


def _check_identity(reference: StudyReference, study: Study, headers: Sequence[Dataset]) -> None:
    """Refuse a study whose objects are of several patients, or of another study than was listed."""
    if study.study_instance_uid != reference.study_instance_uid:
        raise UnusableStudy("its objects are of another study than its source says")
    patients = {stated(header, "PatientID") for header in headers}
    if len({patient_of(header) for header in headers}) > 1:
        raise UnusableStudy("its objects are of several patients")
    if patients == {""} and not stated(headers[0], "PatientBirthDate"):
        raise UnusableStudy("its objects name no patient, whose studies must stay together")
    accessions = {stated(header, "AccessionNumber") for header in headers} - {""}
    if not patients <= {reference.patient_id.strip()} or not accessions <= {
        reference.accession_number.strip()
    }:
        raise UnusableStudy("its objects and its source name different patients or accessions")
