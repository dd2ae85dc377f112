"""`ctscribe prepare site`: collect, have it reviewed, build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError

from dicom_io.counted import counted
from dicom_io.errors import IdentifiedContent, UnusableData
from training.data.shards import locked
from training.site.build import Taken, build_store, rejections
from training.site.collect import Collector, collected
from training.site.deidentify.headers import quiet
from training.site.deidentify.keys import Key, open_work
from training.site.deidentify.known import KnownValues, read_known
from training.site.redaction.identifiers import find_identifiers
from training.site.redaction.languages import UnknownLanguage, refuse_unknown_language
from training.site.redaction.recognizer import SpacyRecognizer
from training.site.redaction.review import Review
from training.site.redaction.site_list import NAMES, SiteList, extend
from training.site.reports.matcher import Matcher, check_patient
from training.site.reports.reports import NoReport, Reading, reading_of
from training.site.reviewing.desk import keep_proposed
from training.site.reviewing.log import read_log, summary
from training.site.sources.pace import Pace
from training.site.sources.source import StudyReference
from training.site.wanted import Wanted
from training.site.work import Record, Work


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Parameters
    ----------
    seen : int
        Studies that the source listed.
    taken : int
        Studies with usable images and a report.
    rejected : dict of str to str
        Why the others were not, by pseudonym.
    review_list : Path, optional
        The list that is to be reviewed before the data set can be built; None where it is built.
    """

    seen: int
    taken: int
    rejected: dict[str, str]
    review_list: Path | None = None

    def summary(self) -> str:
        """Say it in a few lines."""
        seen = counted(self.seen, "study", "studies")
        lines = [f"{seen} seen, {self.taken} taken, {len(self.rejected)} rejected"]
        return "\n".join([*lines, *(f"  {reason}" for reason in _counted(self.rejected))])


def prepare_site(
    wanted: Wanted, out: Path, work: Path, *, pace: Pace | None = None, accept_all: bool = False
) -> Outcome:
    """Make a de-identified store of a hospital's studies and reports, or go on with it.

    Parameters
    ----------
    wanted : Wanted
    out : Path
        The data set.
    work : Path
        The working folder, which holds everything that identifies.
    pace : Pace, optional
        How fast studies are fetched, and when.
    accept_all : bool
        Build with what the rules found, without a person's look.

    Raises
    ------
    PluginError
        The archive does not answer or refuses; the same call goes on later.
    UnusableData
        A folder holds something else.
    """
    key = open_work(work, out)
    with quiet(), locked(work, "works in"):
        folder = Work(work)
        private = [element.name for element in wanted.private]
        making = {"spec": wanted.spec.to_dict(), "series": wanted.series, "private": private}
        folder.require({**making, "search_pixels": wanted.search_pixels})
        studies = _listed(wanted, folder)
        readings, rejected = _collect(wanted, folder, key, studies, pace or Pace())
        review = _proposed(folder, readings, wanted.recognizer, rejected)
        readings = [(record, text) for record, text in readings if record.study not in rejected]
        log = read_log(work)
        # a list without rows is decided by nobody's doing
        undecided = bool(review.undecided) or not (review.decided or log)
        if undecided and not accept_all:
            return Outcome(len(studies), len(readings), rejected, folder.review_list)
        taken = list(_texts(review, readings, rejected, accept_all=accept_all))
        if not taken:
            raise UnusableData(f"no study can be taken: {'; '.join(_counted(rejected))}")
        facts = {
            "studies_seen": len(studies),
            "studies_taken": len(taken),
            "rejected": rejections(rejected),
            "left_out": _left_out(readings),
            "reports": wanted.reports_from,
            "reviewed": not undecided,
            "reading": summary(review.studies, log),
            "recognizer": wanted.recognizer.name if wanted.recognizer else "none",
            "checkpoint": wanted.checkpoint,
            "series": wanted.series,
            "pixels": "searched for text" if wanted.search_pixels else "not searched for text",
            "years": _years(studies, key, taken),
        }
        _build(out, taken, folder, wanted, facts)
    return Outcome(len(studies), len(taken), rejected)


def _build(
    out: Path, taken: Sequence[Taken], work: Work, wanted: Wanted, facts: Mapping[str, Any]
) -> None:
    try:
        build_store(out, taken, work, wanted, facts)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or "it cannot be written"
        raise UnusableData(f"{out}: {why}; the same command goes on when that is mended") from None


def _counted(rejected: Mapping[str, str]) -> list[str]:
    return [f"{count} × {why}" for why, count in Counter(rejected.values()).most_common()]


Readings = Sequence[tuple[Record, Reading]]


def _listed(wanted: Wanted, work: Work) -> Sequence[StudyReference]:
    def ask() -> Iterator[StudyReference]:
        return islice(wanted.source.studies(wanted.query), wanted.limit)

    known = work.listed(wanted.question, ask)
    if not known:
        raise UnusableData(f"the source has no {wanted.query.modality} study of these days")
    return known


def _collect(
    wanted: Wanted, work: Work, key: Key, studies: Sequence[StudyReference], pace: Pace
) -> tuple[Readings, dict[str, str]]:
    """Collect every study whose report is there; studies without one are not even fetched."""
    matcher = None if wanted.reports_from == "sr" else Matcher(wanted.reports, studies)
    names = {study: key.study(study.study_instance_uid) for study in studies}
    reported: dict[StudyReference, Reading | None] = {}
    records: dict[str, Record] = {}
    missing: dict[str, StudyReference] = {}
    rejected: dict[str, str] = {}
    for study, name in names.items():
        try:
            reported[study] = reading_of(matcher.reports_of(study)) if matcher else None
        except NoReport as error:
            rejected[name] = str(error)
        else:
            if known := work.record(name):
                records[name] = known
            else:
                missing[name] = study
    with _progress(len(studies), len(studies) - len(missing)) as (say, advance):
        collector = Collector(wanted.for_collecting, work, key)
        for study, record in collected(collector, missing.values(), pace, say, wanted.processes):
            records[names[study]] = record
            advance()
    readings = []
    for study, reading in reported.items():
        record, name = records[names[study]], names[study]
        try:
            if record.rejected:
                raise NoReport(record.rejected)
            readings.append((record, reading or _own_reading(study, record)))
        except NoReport as error:
            rejected[name] = str(error)
    return readings, rejected


def _own_reading(study: StudyReference, record: Record) -> Reading:
    """Read the reports that lie in the study itself."""
    check_patient(study.patient_id, record.reports)
    stated = {report.accession_number for report in record.reports} - {""}
    if study.accession_number and not stated <= {study.accession_number}:
        raise NoReport("its report names another accession number")
    return reading_of(record.reports)


def _proposed(
    work: Work,
    readings: Readings,
    recognizer: SpacyRecognizer | None,
    rejected: dict[str, str],
) -> Review:
    """Bring the review list up to date: what rules and recognizer find in each text.

    A report in a language that no rule covers is rejected.
    """
    recognizers = [recognizer] if recognizer else []
    review = Review.open(work.review_list)
    known = read_known(work.folder)
    values_of = {
        record.study: KnownValues.joined((known[record.study], reading.known))
        for record, reading in readings
    }
    extend(work.folder, NAMES, sorted({name for one in values_of.values() for name in one.staff}))
    site = SiteList.read(work.folder)
    for record, reading in readings:
        values = values_of[record.study]
        values.save(work.folder, record.study)
        try:
            refuse_unknown_language(reading.text)
        except UnknownLanguage as error:
            rejected[record.study] = str(error)
            continue
        found = find_identifiers(reading.text, values, recognizers, site)
        review.propose(record.study, reading.text, found, values)
    review.save()
    review.save_texts(work.folder / "review-texts.csv")
    keep_proposed(work.folder, review, values_of)
    return review


def _texts(
    review: Review, readings: Readings, rejected: dict[str, str], *, accept_all: bool
) -> Iterator[Taken]:
    """The studies with their texts, as they were decided."""
    for record, _ in readings:
        try:
            text = review.text(record.study, accept_all=accept_all)
            yield Taken(record, text, tuple(review.kept(record.study)))
        except IdentifiedContent:
            rejected[record.study] = "a value of its headers is left in its report"


def _years(studies: Sequence[StudyReference], key: Key, taken: Sequence[Taken]) -> list[int] | None:
    """First and last year of the studies taken, as their source dates them."""
    names = {one.record.study for one in taken}
    chosen = [study for study in studies if key.study(study.study_instance_uid) in names]
    years = [int(s.study_date[:4]) for s in chosen if s.study_date[:4].isdecimal()]
    return [min(years), max(years)] if years else None


def _left_out(readings: Readings) -> dict[str, int]:
    """Objects of the studies taken that were left out, by reason."""
    total: Counter[str] = Counter()
    for record, _ in readings:
        total.update(record.left_out)
    return dict(sorted(total.items()))


@contextmanager
def _progress(total: int, done: int) -> Iterator[Any]:
    """A bar that names studies by their pseudonym."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, completed=done)
        yield (
            lambda sentence: progress.update(task, description=sentence),
            lambda: progress.advance(task),
        )
