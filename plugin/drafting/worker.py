"""The worker: complete studies become drafts, whatever may be killed when."""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydicom import Dataset
from sqlalchemy.exc import DBAPIError

from dicom_io.errors import (
    CtscribeError,
    EngineUnavailable,
    LeaseLost,
    NothingToDraft,
    StoreFull,
)
from dicom_io.values import texts
from plugin.drafting import job_ends, jobs
from plugin.drafting.corrections import settle_corrections
from plugin.drafting.desk import Desk
from plugin.drafting.due import due_in_s
from plugin.drafting.job_ends import NewDraft
from plugin.drafting.jobs import Claim
from plugin.drafting.wanted.age import why_too_old
from plugin.drafting.wanted.judging import Judge, wanted_until
from plugin.drafting.writing.parts import MakeReport, Missing, no_such_model
from plugin.rules.decision import Decision
from plugin.state.audit import subject_of
from plugin.state.clock import CLOCK_SLACK, now_by
from plugin.state.completeness import nothing_known
from plugin.state.database import SessionFactory, reason_of
from plugin.state.files.spool import Spool
from plugin.state.kept.beside import paths_beside_file
from plugin.state.kept.pruned import not_come_again
from plugin.state.running.bell import Wait
from plugin.state.running.outage import Outage
from plugin.state.tables import DraftState, Level
from plugin.state.watch import Watch
from reporting.edition import Predecessor

LOGGER = logging.getLogger(__name__)
# Engine, archive and database are asked before a study is read, each with a time limit of its own
_ASKING_S = 300.0


@dataclass(frozen=True)
class Worker:
    """Everything a worker needs, and nothing that outlives it.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    make_report : MakeReport
        The pipeline.
    destinations : mapping of str to str
        Name and kind of every destination of a draft.
    rejection_notes : sequence of str
        Names of those that take rejection notes.
    attempts : int
        A study is given up after so many.
    ready : callable
        Whether the engine can take work; while it cannot, no job is begun and all wait.
    missing : Missing
        Is asked before a study is read; what is missing is waited for, up to the hard deadline.
    watch : Watch
        How long studies are waited for and claims last, and what was seen before.
    max_study_age_days : int, optional
        An older study is drafted only if somebody asks for it.
    longest_draft_s : float
        Whoever works on a study for longer hangs: the attempt ends with the process.
    studies : int
        How many it has in hand at the same time, each in a thread.
    desk : Desk
        What these threads share; `make_report` leaves it while the engine writes.
    judge : Judge, optional
        Asks the rules; without it there are none.
    named : callable
        Finds the pipeline of the model that a rule names; raises `EngineError`.
    reported : callable
        Says that an archive holds a final report of a study, None where it does not.
    drop_reported : bool
        Whether such a study gets no draft, unless somebody asks for one; else the draft says so.
    shadows : callable
        Names the models on trial, which draft every study too.
    questions : callable
        Answers a reader who waits for it; returns whether there was anybody.
    idle : callable
        Does something less urgent while no study is due; returns whether there was anything.
    wait : callable
        Waits for some seconds, or until there may be something to do; see `Bell.wait`.
    end_process : callable
        Ends this process, whatever its other threads do.
    """

    sessions: SessionFactory
    spool: Spool
    make_report: MakeReport
    destinations: Mapping[str, str]
    rejection_notes: Sequence[str] = ()
    attempts: int = 5
    ready: Callable[[], bool] = lambda: True
    missing: Missing = nothing_known
    watch: Watch = field(default_factory=Watch)
    max_study_age_days: int | None = None
    longest_draft_s: float = 1800.0
    studies: int = 1
    desk: Desk = field(default_factory=Desk)
    judge: Judge | None = None
    named: Callable[[str], MakeReport] = no_such_model
    reported: Missing = nothing_known
    drop_reported: bool = True
    shadows: Callable[[], Sequence[str]] = tuple
    questions: Callable[[], bool] = lambda: False
    idle: Callable[[], bool] = lambda: False
    wait: Wait = threading.Event.wait
    end_process: Callable[[], None] = lambda: os._exit(1)

    def run(self, stop: threading.Event, poll_s: float = 1.0) -> None:
        """Work until `stop` is set; what is in hand is finished first."""
        outage = Outage()
        with ThreadPoolExecutor(self.studies, "draft") as pool:
            threads = [pool.submit(self._run, stop, poll_s, outage) for _ in range(self.studies)]
            for ended in as_completed(threads):
                if ended.exception() is not None:  # the process ends, and is started again
                    stop.set()
        for ended in threads:
            ended.result()

    def _run(self, stop: threading.Event, poll_s: float, outage: Outage) -> None:
        while not stop.is_set():
            pause_s = poll_s
            try:
                busy = self.work_once()
                pause_s = 0.0 if busy else min(poll_s, due_in_s(self.sessions, self._now()))
                outage.over()
            except DBAPIError as error:
                outage.met(error)
            if pause_s:
                self.wait(stop, pause_s)

    def work_once(self) -> bool:
        """Answer a question or do one job, if one is due and the engine is ready.

        Returns whether there was anything to do.
        """
        with self.desk.taken(_ASKING_S):
            if self._done_meanwhile(self.questions):
                return True
            if self.judge is not None:
                self.judge.look(self._now())
            if not self.ready():
                return False
            now = self._now()
            claim = jobs.claim_job(self.sessions, self.watch, attempts=self.attempts, now=now)
            if claim is None:
                return self._done_meanwhile(self.idle)
            self._work_on(claim)
        return True

    def _done_meanwhile(self, work: Callable[[], bool]) -> bool:
        """Do what is no job, beside the studies that others have in hand."""
        with self.desk.in_hand(alone=False, seconds=self.longest_draft_s + _ASKING_S):
            return work()

    def _work_on(self, claim: Claim) -> None:
        longest_s = self.longest_draft_s + _ASKING_S
        # What ended badly before may end the process: no other study is in hand then
        again = claim.attempt > 1
        try:
            with (
                self._lease_kept(claim, waits=again),
                self.desk.in_hand(alone=again, seconds=longest_s),
            ):
                self._do(claim)
        except LeaseLost as error:
            LOGGER.warning("%s", error)

    def _do(self, claim: Claim) -> None:
        try:
            claim = self._settled(claim)
            decision = self.judge.judge(claim.job_id) if self.judge else Decision()
            if self._is_wanted(claim, decision):
                self._draft_unless_reported(claim, decision)
        except (LeaseLost, DBAPIError):
            raise
        except StoreFull as error:
            job_ends.wait_for_space(self.sessions, claim, str(error), now=self._now())
        except EngineUnavailable as error:
            job_ends.wait_for_engine(self.sessions, claim, str(error), now=self._now())
        except NothingToDraft as error:
            # Nothing for a person to do, unless what was lost on the way may be what is missing
            level = Level.ALERT if claim.incomplete or claim.previous else Level.INFO
            job_ends.fail_job(self.sessions, claim, str(error), now=self._now(), level=level)
        except CtscribeError as error:
            reason = "; ".join(filter(None, (str(error), claim.incomplete)))
            self._end(claim, reason, retryable=error.retryable)
        except Exception as error:  # noqa: BLE001  the outermost loop: one study stops no other
            self._end(claim, _where(error), retryable=True)

    def _settled(self, claim: Claim) -> Claim:
        notes = self.rejection_notes
        return settle_corrections(
            self.sessions, self.spool, claim, rejection_notes=notes, now=self._now()
        )

    def _is_wanted(self, claim: Claim, decision: Decision) -> bool:
        """Whether a draft is made now; else the job ends here."""
        now = self._now()
        if self.judge and (waits := self.judge.waits_until(claim.job_id)) and waits > now:
            job_ends.wait_longer(self.sessions, claim)
        elif not decision.draft and not claim.forced:
            reason = f"the rule {decision.rule} wants none"
            job_ends.fail_job(self.sessions, claim, reason, now=now, level=Level.INFO)
        elif (ends := wanted_until(claim.created_at, decision)) and now > ends:
            reason = f"nobody wants it later than {decision.wanted_s:g} s after the first slice"
            job_ends.fail_job(self.sessions, claim, reason, now=now, level=Level.WARNING)
        else:
            return True
        return False

    def _draft_unless_reported(self, claim: Claim, decision: Decision) -> None:
        reported = self.reported(claim.study_id, claim.study_instance_uid)
        if reported and self.drop_reported and not claim.forced:
            job_ends.fail_job(self.sessions, claim, reported, now=self._now(), level=Level.INFO)
        else:
            remarks = (f"When this draft was written, {reported}.",) if reported else ()
            self._draft(claim, decision, remarks)

    def _draft(self, claim: Claim, decision: Decision, remarks: Sequence[str]) -> None:
        missing = self.missing(claim.study_id, claim.study_instance_uid)
        patience = self.watch.patience
        now = self._now()
        if missing and now < claim.hard_deadline <= now + patience.cap + CLOCK_SLACK:
            quiet = patience.quiet
            job_ends.wait_for_instances(self.sessions, claim, missing, quiet=quiet, now=now)
            return
        paths = [self.spool.absolute(path) for path in claim.paths]
        if too_old := self._too_old(claim, paths):
            job_ends.fail_job(self.sessions, claim, too_old, now=self._now(), level=Level.INFO)
            return
        if gone := self._gone(claim):
            job_ends.fail_job(self.sessions, claim, gone, now=self._now(), level=Level.WARNING)
            return
        incomplete = "; ".join(filter(None, (claim.incomplete, missing))) or None
        make_report = self.named(decision.model) if decision.model else self.make_report
        report = make_report(
            paths,
            revision=claim.revision,
            predecessor=_predecessor(claim),
            incomplete=incomplete,
            unless=_unless(claim, incomplete),
            **({"remarks": remarks} if remarks else {}),
        )
        if report is None:
            job_ends.finish_unchanged(self.sessions, claim, now=self._now())
            return
        path = self.spool.write_draft(report.sr, report.beside)
        draft = NewDraft(
            sop_instance_uid=str(report.sr.SOPInstanceUID),
            series_instance_uid=report.series_instance_uid,
            selected_digest=report.selected_digest,
            state=DraftState(report.state),
            path=path,
            selection=tuple(report.selection),
            lacks=tuple(report.lacks),
            incomplete=incomplete,
            model=_model_of(report.sr),
            forms=decision.forms,
            shadows=tuple(self.shadows()),
            subject=subject_of(report.sr),
            embedding=report.embedding,
            heat=tuple(report.heat),
            confidence=report.confidence,
        )
        try:
            names, now = self._destinations(decision), self._now()
            job_ends.finish_with_draft(self.sessions, claim, draft, destinations=names, now=now)
        except LeaseLost:
            self.spool.discard_draft(path, paths_beside_file(path))
            raise
        self.spool.recorded(path)

    def _destinations(self, decision: Decision) -> dict[str, str]:
        wanted = self.destinations if decision.destinations is None else decision.destinations
        return {name: kind for name, kind in self.destinations.items() if name in wanted}

    def _too_old(self, claim: Claim, paths: Sequence[Path]) -> str | None:
        if self.max_study_age_days is None or claim.forced:
            return None
        return why_too_old(paths, self.max_study_age_days, self._now().date())

    def _gone(self, claim: Claim) -> str | None:
        if claim.forced:
            return None
        with self.sessions() as session:
            gone = not_come_again(session, claim.study_id)
        return gone and f"{gone}: send the whole study again for a new draft"

    def _end(self, claim: Claim, reason: str, *, retryable: bool) -> None:
        now = self._now()
        if retryable:
            job_ends.retry_job(self.sessions, claim, reason, attempts=self.attempts, now=now)
        else:
            job_ends.fail_job(self.sessions, claim, reason, now=now)

    @contextmanager
    def _lease_kept(self, claim: Claim, *, waits: bool) -> Iterator[None]:
        """Renew the lease from a thread while the model works, `waits`: for other studies first."""
        done = threading.Event()
        ends = time.monotonic() + self.longest_draft_s * (2 if waits else 1)
        lease = (claim, done, ends)
        thread = threading.Thread(target=self._renew, args=lease, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _renew(self, claim: Claim, done: threading.Event, ends: float) -> None:
        while not done.wait(min(self.watch.lease_s / 3, max(0.0, ends - time.monotonic()))):
            try:
                if time.monotonic() >= ends:
                    self._end_overdue(claim)
                    return
                jobs.renew_lease(self.sessions, claim, lease_s=self.watch.lease_s, now=self._now())
            except LeaseLost:
                return
            except DBAPIError as error:
                LOGGER.warning("the lease could not be renewed: %s", reason_of(error))

    def _now(self) -> datetime:
        return now_by(self.sessions)

    def _end_overdue(self, claim: Claim) -> None:
        """Give the study up for now; nothing else ends a thread that hangs."""
        try:
            self._end(claim, f"no draft within {self.longest_draft_s:.0f} s", retryable=True)
        finally:
            LOGGER.error("job %d hangs: this process ends", claim.job_id)
            self.end_process()


def _model_of(sr: Dataset) -> tuple[str, str] | None:
    """Name and digest of the model, as the report object states them after our own version."""
    versions = texts(sr.get("SoftwareVersions"))
    return (versions[1], versions[2]) if len(versions) > 2 else None


def _unless(claim: Claim, incomplete: str | None) -> str | None:
    """The slices of which no new draft is needed: the current one says the same of its input."""
    previous = claim.previous
    if claim.forced or previous is None or previous.incomplete != incomplete or previous.retracted:
        return None
    return previous.selected_digest


def _predecessor(claim: Claim) -> Predecessor | None:
    if claim.predecessor is None:
        return None
    return Predecessor(
        study_instance_uid=claim.predecessor.study_instance_uid,
        series_instance_uid=claim.predecessor.series_instance_uid,
        sop_instance_uid=claim.predecessor.sop_instance_uid,
        revision=claim.predecessor.revision,
        written=claim.predecessor.written,
        retracted=claim.predecessor.retracted,
    )


def _where(error: Exception) -> str:
    """Name a fault of ours by class and place: its text may hold a patient's name."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"internal error: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
