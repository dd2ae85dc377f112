"""What a worker works with: its model and others, rules, archives, and all that it waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_io.errors import ConfigurationError
from plugin.delivery.destinations import Destination
from plugin.endpoints import archive_of
from plugin.engines import ask_identity, opened_engine
from plugin.feedback.promotion import OWN, current_model
from plugin.sections.destinations import ArchiveDestination
from plugin.settings import Settings
from plugin.state.background import Aside
from plugin.state.clock import now_by
from plugin.state.completeness import ArchiveCount, Patience, nothing_known
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.running.bell import Bell
from plugin.state.running.pulse import Pulse
from plugin.state.watch import Watch
from plugin.supervisor import reread_on_hangup

if TYPE_CHECKING:
    from engine.protocol import ReportEngine
    from plugin.drafting.desk import Desk
    from plugin.drafting.worker import Worker
    from plugin.drafting.writing.parts import MakeReport, Missing
    from plugin.drafting.writing.pipeline import Pipeline


@dataclass(frozen=True)
class Place:
    """What the processes of a service share, and what a worker says of itself.

    Parameters
    ----------
    settings : Settings
        With the service's own model as `engine`; see `with_current_model`.
    path : Path or None
        The settings' file, whose changed rules and models are taken up.
    sessions, spool
        The service's database and spool.
    targets : sequence of Destination
        Where drafts go.
    bell : Bell
        Wakes the worker.
    pulse : Pulse
        Its heartbeat.
    stop : threading.Event
        Set where another model is promoted: the process ends, and is started again with it.
    """

    settings: Settings
    path: Path | None
    sessions: SessionFactory
    spool: Spool
    targets: Sequence[Destination]
    bell: Bell
    pulse: Pulse
    stop: threading.Event


def with_current_model(settings: Settings, sessions: SessionFactory) -> Settings:
    """Put the promoted model in the place of `[engine]`.

    Raises
    ------
    ConfigurationError
        The settings know it no more.
    """
    name = current_model(sessions)
    if name is None:
        return settings
    known = {one.name: one for one in settings.models}
    if name not in known:
        raise ConfigurationError(
            f"the service's model is {name}, and no table [[models]] is called so: write it, or "
            f"take {OWN} by `ctscribe models promote {OWN}`"
        )
    return settings.model_copy(update={"engine": known[name]})


@contextmanager
def at_work(place: Place, engine: ReportEngine) -> Iterator[Worker]:
    """Make everything that a worker needs, for the length of a `with` block.

    Parameters
    ----------
    place : Place
        Where it works.
    engine : ReportEngine
        The service's own model.
    """
    from plugin.drafting.desk import Desk
    from plugin.drafting.engine_watch import EngineWatch
    from plugin.drafting.named_models import NamedModels
    from plugin.drafting.questions import Questions
    from plugin.drafting.worker import Worker
    from plugin.feedback.shadows import Shadows
    from plugin.rulebook import Rulebook

    settings, sessions, spool = place.settings, place.sessions, place.spool
    desk = Desk(place.pulse.expect)
    watch = Watch(patience_of(settings), settings.worker.lease_s)
    aside = Aside(settings.worker.studies)

    @contextmanager
    def opened(name: str) -> Iterator[MakeReport]:
        named = settings.model_copy(update={"engine": book.model(name)})
        with opened_engine(named) as other:
            yield aside(pipeline(named, other, desk).make_report)

    models = NamedModels(opened)
    book = Rulebook(settings, place.path, sessions, watch, models.forget, place.stop)
    longest_s = settings.worker.longest_draft_s
    shadows = Shadows(sessions, spool, models.named, longest_s, partial(now_by, sessions))
    own = pipeline(settings, engine, desk)
    questions = Questions(
        sessions,
        spool,
        engine,
        longest_s,
        partial(now_by, sessions),
        own.while_writing,
        own.default_character_set,
    )
    with closing(aside), closing(models), reread_on_hangup(book.ask):
        yield Worker(
            sessions,
            spool,
            make_report=aside(own.make_report),
            destinations={one.name: one.kind for one in settings.destinations},
            rejection_notes=taking_notes(settings),
            attempts=settings.worker.attempts,
            max_study_age_days=settings.worker.max_study_age_days,
            ready=EngineWatch(
                sessions, settings.engine.called, partial(ask_identity, engine)
            ).ready,
            missing=_missing(place),
            reported=_reported(place),
            drop_reported=settings.worker.when_reported == "drop",
            watch=watch,
            longest_draft_s=longest_s,
            studies=settings.worker.studies,
            desk=desk,
            judge=book.judge(spool),
            named=models.named,
            shadows=book.shadows,
            questions=questions.work_once,
            idle=shadows.work_once,
            wait=place.bell.wait,
        )


def pipeline(settings: Settings, engine: ReportEngine, desk: Desk) -> Pipeline:
    """Build what drafts with an engine, the one of `settings.engine`.

    Parameters
    ----------
    settings : Settings
        Of the service.
    engine : ReportEngine
        Writes the drafts.
    desk : Desk
        Who has which study in hand.
    """
    from plugin.drafting.writing.pipeline import Pipeline

    # A model in this process is for one thread at a time; a server has a queue of its own
    turn = nullcontext() if settings.engine.takes_several else threading.Lock()
    return Pipeline(
        engine,
        settings.engine.max_new_tokens,
        settings.worker.default_character_set,
        while_writing=partial(desk.left_for, turn),
        evidence_s=settings.engine.evidence_s,
        draws=any(
            isinstance(one, ArchiveDestination) and one.evidence_objects
            for one in settings.destinations
        ),
        confidence_s=settings.engine.confidence_s,
        withhold=settings.engine.withhold_low_confidence,
    )


def taking_notes(settings: Settings) -> list[str]:
    """Name the destinations that take rejection notes."""
    return [
        one.name
        for one in settings.destinations
        if isinstance(one, ArchiveDestination) and one.rejection_notes
    ]


def patience_of(settings: Settings) -> Patience:
    """Return how long more slices are waited for."""
    return Patience.of_seconds(settings.completeness.quiet_s, settings.completeness.cap_s)


def _reported(place: Place) -> Missing:
    from plugin.drafting.wanted.reported import FinalReports, ToldReports

    settings = place.settings
    asked: Missing = nothing_known
    for one in settings.destinations:
        if one.name == settings.worker.reported_at and isinstance(one, ArchiveDestination):
            asked = FinalReports(place.sessions, one.name, archive_of(one)).found
    return ToldReports(place.sessions, asked).found if settings.hl7.enabled else asked


def _missing(place: Place) -> Missing:
    count_at = place.settings.completeness.count_at
    counted = [one.archive for one in place.targets if one.name == count_at]
    if not (count_at and counted):
        return nothing_known
    return ArchiveCount(place.sessions, count_at, counted[0]).missing
