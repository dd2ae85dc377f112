"""A reader asks about a study, and waits: the worker answers before it begins the next draft."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydicom import Dataset

from dicom_io.errors import CtscribeError, EngineUnavailable, PluginError
from dicom_io.model_input.preprocess import ModelInput
from dicom_io.slices.read import read_study
from engine.protocol import Answer, Generation, ReportEngine
from plugin.drafting.jobs import paths_of
from plugin.drafting.writing.pipeline import read_images
from plugin.drafting.writing.regions import reason_to_withhold
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.questions import Question, QuestionState
from plugin.state.running.turns import begin_turn

# A worker that dies with a question in hand is followed by one other
ATTEMPTS = 2
# So often the reader sees the text grow; each time is a commit
_PIECE_S = 0.3


@dataclass(frozen=True)
class _Turn:
    """A question that is to be answered now."""

    id: int
    question: str
    choices: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass
class Questions:
    """Answers questions, one after the other.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    engine : ReportEngine
        The service's own model.
    longest_s : float
        Whoever took longer has died: another worker tries.
    now : callable
        The clock, in UTC.
    while_writing : callable
        Gives what is entered while the engine works.
    default_character_set : str, optional
        See `dicom_io.characters.settle_text`.
    """

    sessions: SessionFactory
    spool: Spool
    engine: ReportEngine
    longest_s: float
    now: Callable[[], datetime]
    while_writing: Callable[[], AbstractContextManager[object]] = nullcontext
    default_character_set: str | None = None
    # A conversation is about one study: its volume is built once
    _latest: tuple[tuple[str, ...], Dataset, ModelInput] | None = field(default=None, init=False)

    def work_once(self) -> bool:
        """Answer one question; return whether there was one."""
        turn = self._claim()
        if turn is None:
            return False
        try:
            self._keep(turn, self._answer(turn))
        except EngineUnavailable as error:
            self._fail(turn, f"the model cannot be asked now: {error}")
        except CtscribeError as error:
            self._fail(turn, str(error))
        except Exception as error:  # noqa: BLE001  its text may hold a patient's name
            self._fail(turn, f"internal error: {type(error).__name__}")
        return True

    def _claim(self) -> _Turn | None:
        with self.sessions.begin() as session:
            now = self.now()
            states = QuestionState.OPEN, QuestionState.FAILED
            row = begin_turn(session, Question, states, ATTEMPTS, now)
            if row is None:
                return None
            row.not_before = now + timedelta(seconds=self.longest_s)
            paths = paths_of(session, row.study_id)
            return _Turn(row.id, row.question, tuple(row.choices), paths)

    def _answer(self, turn: _Turn) -> Answer:
        header, model_input = self._read(turn.paths)
        identity = self.engine.identity
        if reason := reason_to_withhold(identity.regions, header):
            return Answer(Generation.withheld(identity, reason))
        growing = _Growing(self, turn.id)
        with self.while_writing():
            return self.engine.ask(model_input, turn.question, turn.choices, on_token=growing.add)

    def _read(self, paths: tuple[str, ...]) -> tuple[Dataset, ModelInput]:
        latest = self._latest
        if latest is not None and latest[0] == paths:
            return latest[1], latest[2]
        absolute = [self.spool.absolute(path) for path in paths]
        if not absolute or not all(map(Path.is_file, absolute)):
            raise PluginError("the images of the study were deleted")
        study, spec = read_study(absolute), self.engine.preprocess
        choice, _, model_input = read_images(
            study, spec, default_character_set=self.default_character_set
        )
        header = choice.instances[0].header
        self._latest = paths, header, model_input
        return header, model_input

    def grow(self, question_id: int, text: str) -> None:
        """Show a question's reader what is written so far."""
        with self.sessions.begin() as session:
            row = session.get(Question, question_id)
            if row is not None:  # deleted with its study
                row.text = text

    def _keep(self, turn: _Turn, answer: Answer) -> None:
        generation, choice = answer.generation, answer.choice
        if generation.abstained is not None:
            self._fail(turn, f"no answer: {generation.abstained}")
            return
        with self.sessions.begin() as session:
            row = session.get(Question, turn.id)
            if row is None:
                return
            row.state, row.text = QuestionState.ANSWERED, generation.text
            row.model = f"{generation.identity.name} {generation.identity.version}"[:128]
            if choice is not None:
                row.text = choice.text
                row.probabilities = [
                    {"choice": one.text, "probability": round(one.probability, 4)}
                    for one in answer.choices
                ]

    def _fail(self, turn: _Turn, error: str) -> None:
        with self.sessions.begin() as session:
            row = session.get(Question, turn.id)
            if row is not None:
                row.state, row.error = QuestionState.FAILED, error


class _Growing:
    """Collects the pieces of an answer, and shows them now and then."""

    def __init__(self, questions: Questions, question_id: int) -> None:
        self._questions, self._id = questions, question_id
        self._text, self._next = "", 0.0

    def add(self, piece: str) -> None:
        """Add a piece, as the engine writes it."""
        self._text += piece
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PIECE_S
            self._questions.grow(self._id, self._text)
