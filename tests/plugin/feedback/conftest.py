"""A study that one model drafts and another one drafts in its shadow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydicom.uid import generate_uid

from engine.fake import FakeEngine
from plugin.drafting.worker import Worker
from plugin.drafting.writing.parts import MakeReport
from plugin.drafting.writing.pipeline import Pipeline
from plugin.feedback.shadows import Shadows
from plugin.reception import intake
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from tests.ct import ct_stack
from tests.plugin.arrivals import PATIENCE, arrival

SLICES = 6


@dataclass
class Ward:
    """A service with two models; `trial` drafts in the shadow."""

    sessions: SessionFactory
    spool: Spool
    own: FakeEngine
    trial: FakeEngine
    moment: datetime

    def named(self, name: str) -> MakeReport:
        assert name == "trial"
        return Pipeline(self.trial).make_report

    @property
    def shadows(self) -> Shadows:
        return Shadows(self.sessions, self.spool, self.named, 60.0, lambda: self.moment)

    @property
    def worker(self) -> Worker:
        return Worker(
            self.sessions,
            self.spool,
            Pipeline(self.own).make_report,
            {"strict": "dimse", "plain": "dimse"},
            shadows=lambda: ["trial"],
            idle=self.shadows.work_once,
        )

    def arrive(self, number: int, first: int = 0, count: int = SLICES) -> None:
        """Some slices of a study, long ago."""
        rng = np.random.default_rng(number)
        hu = rng.integers(-200, 200, (2 * SLICES, 64, 64)).astype(float)
        study = f"1.2.{number}"
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.5"}
        images = ct_stack(hu, np.diag([3.0, 1, 1, 1]), **uids, PatientID="P")
        now = datetime.now(UTC) - timedelta(hours=1)
        for place in range(first, first + count):
            image, path = images[place], f"instances/{number}-{place}.dcm"
            (self.spool.root / "instances").mkdir(exist_ok=True)
            image.save_as(self.spool.root / path, enforce_file_format=True)
            one = replace(arrival(place, study=study), path=path)
            header = replace(one.header, sop_instance_uid=str(generate_uid()))
            with self.sessions.begin() as session:
                intake.record(session, [replace(one, header=header)], patience=PATIENCE, now=now)


@pytest.fixture
def ward(sessions: SessionFactory, spool: Spool) -> Ward:
    text = "Findings: {} Impression: None."
    own = FakeEngine(text.format("Small left pleural effusion."))
    trial = FakeEngine(text.format("No pleural effusion."))
    return Ward(sessions, spool, own, trial, datetime.now(UTC) + timedelta(minutes=1))


@pytest.fixture
def drafted(ward: Ward) -> Callable[..., Ward]:
    def drafted(studies: int = 1) -> Ward:
        """Everything that is due is drafted, in the shadow too."""
        for number in range(studies):
            ward.arrive(number)
        while ward.worker.work_once():
            pass
        return ward

    return drafted
