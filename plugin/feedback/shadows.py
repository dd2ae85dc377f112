"""Models on trial draft in the shadow of the current one, when nothing else waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.cleaned import cleaned
from dicom_io.errors import CtscribeError, EngineUnavailable
from dicom_io.values import texts
from plugin.drafting.jobs import paths_of
from plugin.drafting.writing.parts import Drafted, MakeReport
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.trials import Shadow, ShadowState
from plugin.state.running.turns import begin_turn
from plugin.state.tables import Draft
from reporting.objects.render import report_sections
from reporting.text.confidence import unmarked

# A comparison is worth no more; a fault that three attempts meet stays
ATTEMPTS = 3
_PAUSE = timedelta(seconds=60)
# What a model writes, by the codes' meanings; all else comes from the headers
_WRITTEN = ("Findings", "Impressions")


@dataclass(frozen=True)
class _Turn:
    """A shadow draft that is to be written now."""

    id: int
    model: str
    attempts: int
    study_id: int
    revision: int
    selected_digest: str


@dataclass(frozen=True)
class Shadows:
    """Writes shadow drafts, one at a time.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    named : callable
        Finds the pipeline of a model by its name; raises `EngineError`.
    longest_draft_s : float
        Whoever took longer has died: another worker tries.
    now : callable
        The clock, in UTC.
    """

    sessions: SessionFactory
    spool: Spool
    named: Callable[[str], MakeReport]
    longest_draft_s: float
    now: Callable[[], datetime]

    def work_once(self) -> bool:
        """Write one shadow draft; return whether there was one."""
        turn = self._claim()
        if turn is None:
            return False
        try:
            report = self._report(turn)
        except EngineUnavailable as error:  # no attempt of the study's
            self._end(turn, ShadowState.PENDING, str(error), attempts=turn.attempts - 1)
        except CtscribeError as error:
            self._end(turn, ShadowState.FAILED, str(error))
        except Exception as error:  # noqa: BLE001  its text may hold a patient's name
            last = turn.attempts >= ATTEMPTS
            state = ShadowState.FAILED if last else ShadowState.PENDING
            self._end(turn, state, f"internal error: {type(error).__name__}")
        else:
            self._keep(turn, report)
        return True

    def _claim(self) -> _Turn | None:
        with self.sessions.begin() as session:
            now = self.now()
            states = ShadowState.PENDING, ShadowState.FAILED
            row = begin_turn(session, Shadow, states, ATTEMPTS, now)
            if row is None:
                return None
            row.not_before = now + timedelta(seconds=self.longest_draft_s)
            draft = row.draft
            return _Turn(
                row.id,
                row.model_name,
                row.attempts,
                draft.study_id,
                draft.revision,
                draft.selected_digest,
            )

    def _report(self, turn: _Turn) -> Drafted | None:
        with self.sessions() as session:
            if not _stands(session, turn):
                return None
            paths = [self.spool.absolute(path) for path in paths_of(session, turn.study_id)]
        report = self.named(turn.model)
        return report(paths, revision=turn.revision, predecessor=None, incomplete=None, unless=None)

    def _keep(self, turn: _Turn, report: Drafted | None) -> None:
        if report is None:
            self._end(turn, ShadowState.FAILED, "the draft was replaced by a newer one")
        elif report.selected_digest != turn.selected_digest:
            self._end(turn, ShadowState.FAILED, "other slices have come since the draft")
        else:
            with self.sessions.begin() as session:
                row = session.get(Shadow, turn.id)
                if row is not None:  # pruned with its draft meanwhile
                    row.state, row.error = ShadowState.DONE, None
                    text = unmarked(written_text(report.sr))
                    row.text = "\n".join(map(cleaned, text.split("\n")))
                    row.model_digest = digest_of_model(report.sr)

    def _end(
        self, turn: _Turn, state: ShadowState, error: str, attempts: int | None = None
    ) -> None:
        with self.sessions.begin() as session:
            row = session.get(Shadow, turn.id)
            if row is not None:
                row.state, row.error, row.not_before = state, error, self.now() + _PAUSE
                row.attempts = turn.attempts if attempts is None else attempts


def _stands(session: Session, turn: _Turn) -> bool:
    current = select(Draft.revision).where(Draft.study_id == turn.study_id, Draft.is_current)
    return session.scalar(current) == turn.revision


def written_text(sr: Dataset) -> str:
    """Return what the model wrote of a report object: findings and impression."""
    sections = [(heading, lines) for heading, lines in report_sections(sr) if heading in _WRITTEN]
    return "\n\n".join("\n".join([f"{heading}:", *lines]) for heading, lines in sections)


def digest_of_model(sr: Dataset) -> str | None:
    """Return the digest of the model that wrote a report object."""
    versions = texts(sr.get("SoftwareVersions"))
    return versions[2] if len(versions) > 2 else None
