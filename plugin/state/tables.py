"""The tables: what has arrived, what is to be done, what was drafted and delivered.

Patient identity is not kept here. The one exception is the accession number, by which a
radiologist asks for a study; it is looked up and shown on request, and never logged. Names stand
in `plugin.state.kept.listings`, for the reading room.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.rules.urgency import Urgency
from plugin.state.columns import UID, Base, CleanText, Key, UtcDateTime, index_where


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"
    DRAFTED = "drafted"
    FAILED = "failed"


class JobState(StrEnum):
    """Where a job stands; only pending and running ones are ever changed again."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DraftState(StrEnum):
    """Whether the model wrote all, a part, or abstained."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    ABSTAINED = "abstained"


class DeliveryState(StrEnum):
    """A delivery ends as proved, accepted (by choice without proof), failed or cancelled.

    Cancelled ones are superseded. Sent is not yet delivered.
    """

    PENDING = "pending"
    SENT = "sent"
    PROVED = "proved"
    ACCEPTED = "accepted"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What an object turned out to be that came with other bytes than the first of its UID."""

    WAITING = "waiting"
    """It is compared before the study's next draft."""
    ASKED = "asked"
    """The same, and a person wants the newer bytes."""
    SAME = "same"
    """The same content in other bytes."""
    ASIDE = "aside"
    """Another image under a UID that is taken: the study lacks it."""
    REPLACED = "replaced"
    """The state before a correction; the instance has the newer bytes."""


class Level(StrEnum):
    """How loud an event is; an alert wants a person."""

    INFO = "info"
    WARNING = "warning"
    ALERT = "alert"


class Study(Base):
    """A study that has sent at least one instance."""

    __tablename__ = "studies"
    __table_args__ = (
        index_where("ix_studies_with_images", "id", where="image_bytes IS NULL OR image_bytes > 0"),
    )

    id: Mapped[Key]
    study_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    accession_number: Mapped[str | None] = mapped_column(String(64), index=True)
    # Indexed, since what is old is looked for; unlike the next one it never changes
    first_received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    last_received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(16), default=StudyState.RECEIVING)
    # AE title of whoever sent the first instance
    sender: Mapped[str | None] = mapped_column(String(16))
    # Of the rule that the study meets; None where it waits as long as every other
    quiet_s: Mapped[float | None] = mapped_column(Float)
    # What its instances take on the disk; None: not counted since something came; 0: none is left
    image_bytes: Mapped[int | None] = mapped_column(BigInteger)

    series: Mapped[list[Series]] = relationship(back_populates="study")
    jobs: Mapped[list[Job]] = relationship(back_populates="study", order_by="Job.revision")
    drafts: Mapped[list[Draft]] = relationship(back_populates="study", order_by="Draft.revision")


class Series(Base):
    """A series of a study."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("study_id", "series_instance_uid"),)

    id: Mapped[Key]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    modality: Mapped[str | None] = mapped_column(String(16))

    study: Mapped[Study] = relationship(back_populates="series")
    instances: Mapped[list[Instance]] = relationship(back_populates="series")


class Instance(Base):
    """A SOP Instance that lies in the spool; the row is what makes it acknowledged."""

    __tablename__ = "instances"

    id: Mapped[Key]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    path: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    # Kept, but never read by the model: made by this system, or no image
    processed: Mapped[bool] = mapped_column(default=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)

    series: Mapped[Series] = relationship(back_populates="instances")


class Quarantine(Base):
    """The bytes of an object whose UID the instance has with other bytes."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("sop_instance_uid", "sha256"),)

    id: Mapped[Key]
    # Which the object itself names; another one has the instance where a UID was used twice
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    sha256: Mapped[str] = mapped_column(String(64))
    # Empty: the bytes were deleted, as the retention says
    path: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str] = mapped_column(String(16), default=Verdict.WAITING)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Absent(Base):
    """An instance that a peer began to send, and that was refused or cut off."""

    __tablename__ = "absent"

    id: Mapped[Key]
    study_instance_uid: Mapped[str] = mapped_column(UID, index=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)


class Hold(Base):
    """An open association that has contributed to a study keeps it from being complete."""

    __tablename__ = "holds"
    __table_args__ = (UniqueConstraint("association", "study_id"),)

    id: Mapped[Key]
    association: Mapped[str] = mapped_column(String(64))
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    heartbeat: Mapped[datetime] = mapped_column(UtcDateTime)
    # Who sends, and since when: for the audit trail
    ae_title: Mapped[str | None] = mapped_column(String(16))
    address: Mapped[str | None] = mapped_column(String(64))
    since: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Job(Base):
    """One draft to be made of a study, once the study counts as complete."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("study_id", "revision"),
        index_where("uq_jobs_pending", "study_id", unique=True, where="state = 'pending'"),
        # In the order in which they are claimed; those that ended are never looked for
        index_where("ix_jobs_urgent", "urgency", "deadline", "id", where="state = 'pending'"),
        index_where("ix_jobs_waiting", "deadline", "id", where="state = 'pending'"),
        index_where("ix_jobs_running", "lease_until", where="state = 'running'"),
    )

    id: Mapped[Key]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    revision: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default=JobState.PENDING)
    # Asked for by a person: a draft is made even if the selected series is unchanged
    forced: Mapped[bool] = mapped_column(default=False)
    urgency: Mapped[int] = mapped_column(
        SmallInteger, default=Urgency.ROUTINE, server_default=str(int(Urgency.ROUTINE))
    )
    # When the rules were last asked, and what they said
    judged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decision: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    # Later on nobody wants the draft
    wanted_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline: Mapped[datetime] = mapped_column(UtcDateTime)
    hard_deadline: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Host and process that began it last
    worker: Mapped[str | None] = mapped_column(String(80))
    incomplete: Mapped[str | None] = mapped_column(CleanText)
    error: Mapped[str | None] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Claimed the first time: until then, from its deadline on, it waited for a worker
    begun_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    study: Mapped[Study] = relationship(back_populates="jobs")
    draft: Mapped[Draft | None] = relationship(back_populates="job")


class Draft(Base):
    """A draft report as it was written: its SR lies in the spool and never changes."""

    __tablename__ = "drafts"
    __table_args__ = (
        index_where("uq_drafts_current", "study_id", unique=True, where="is_current"),
        index_where("ix_drafts_with_files", "created_at", where="path <> ''"),
    )

    id: Mapped[Key]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    # Indexed: the database looks for followers of every draft that it deletes
    predecessor_id: Mapped[int | None] = mapped_column(ForeignKey("drafts.id"), index=True)
    revision: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    is_current: Mapped[bool] = mapped_column(default=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    # Empty: the file was deleted, as the retention says, and that of the rejection note with it
    path: Mapped[str] = mapped_column(Text)
    selected_digest: Mapped[str] = mapped_column(String(64))
    model_name: Mapped[str | None] = mapped_column(String(128))
    model_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    # What its model's confidence was calibrated on; empty where nothing was, null where unknown
    calibrated_on: Mapped[str | None] = mapped_column(CleanText)
    # How far the model's scores lay from those of that set
    drift: Mapped[float | None]
    # Heading and text of sentences that it leaves out; they are deleted with the file
    withheld: Mapped[list[list[str]] | None] = mapped_column(JSON)
    # The rejection note that takes the draft back: the study's identity was corrected
    retraction_path: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    study: Mapped[Study] = relationship(back_populates="drafts")
    job: Mapped[Job] = relationship(back_populates="draft")
    # Its own, and those of its note; what was accepted of it has others
    deliveries: Mapped[list[Delivery]] = relationship(
        back_populates="draft",
        primaryjoin="and_(Draft.id == Delivery.draft_id, Delivery.final_id.is_(None))",
    )
    finals: Mapped[list[Final]] = relationship(back_populates="draft", order_by="Final.id")


class Final(Base):
    """The text of a draft as a radiologist accepted it, and the report object of it."""

    __tablename__ = "finals"

    id: Mapped[Key]
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), index=True)
    # Until the same study's next one is accepted
    is_current: Mapped[bool] = mapped_column(default=True)
    # Findings and impression, which may name people, as reports do; it goes with its draft
    text: Mapped[str] = mapped_column(Text)
    edited: Mapped[bool]
    accepted_by: Mapped[str] = mapped_column(String(128))
    # None where the site wants no object
    sop_instance_uid: Mapped[str | None] = mapped_column(UID, unique=True)
    # Empty: there is no file, or it was deleted with the draft's
    path: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    draft: Mapped[Draft] = relationship(back_populates="finals")
    deliveries: Mapped[list[Delivery]] = relationship(back_populates="final")


class Delivery(Base):
    """A draft, the note that retracts it, or its accepted report, on its way to a destination."""

    __tablename__ = "deliveries"
    __table_args__ = (
        index_where(
            "uq_deliveries_of_drafts",
            *("draft_id", "destination", "retracts"),
            unique=True,
            where="final_id IS NULL",
        ),
        Index("uq_deliveries_of_finals", "final_id", "destination", unique=True),
        index_where(
            "ix_deliveries_open", "destination", "not_before", where="state IN ('pending', 'sent')"
        ),
    )

    id: Mapped[Key]
    # Indexed: both unique indexes hold a part of the rows
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id"), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    # Names of the forms that a rule wants, the best first; None where the destination's own do
    forms: Mapped[list[str] | None] = mapped_column(JSON)
    retracts: Mapped[bool] = mapped_column(default=False)
    final_id: Mapped[int | None] = mapped_column(ForeignKey("finals.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.PENDING)
    # Begun since it was created, sent or released: how long the next pause is
    attempts: Mapped[int] = mapped_column(default=0)
    # Accepted by the destination so often, the first time at sent_at
    sends: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Looked for in vain, and refused, since it was last accepted
    misses: Mapped[int] = mapped_column(default=0)
    refusals: Mapped[int] = mapped_column(default=0)
    # Waits only for the destination to answer
    away: Mapped[bool] = mapped_column(default=False)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(CleanText)
    proved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    draft: Mapped[Draft] = relationship(back_populates="deliveries", foreign_keys=[draft_id])
    final: Mapped[Final | None] = relationship(back_populates="deliveries")

    @property
    def path(self) -> str:
        """The report object that is sent and looked for, relative to the spool."""
        if self.final is not None:
            return self.final.path
        return str(self.draft.retraction_path if self.retracts else self.draft.path)

    @property
    def is_taken_back(self) -> bool:
        """Whether the draft that it delivers was retracted."""
        return self.draft.retraction_path is not None and not self.retracts


class Removal(Base):
    """A file or folder of the spool whose rows are gone: it goes next, whatever is killed."""

    __tablename__ = "removals"

    id: Mapped[Key]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    path: Mapped[str] = mapped_column(Text)


class Event(Base):
    """A step in a study's timeline, or in the service's own; without patient identity."""

    __tablename__ = "events"
    __table_args__ = (
        Index(
            "ix_events_unnoticed",
            "id",
            sqlite_where=text("unnoticed"),
            postgresql_where=text("unnoticed"),
        ),
    )

    id: Mapped[Key]
    time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(16), default=Level.INFO)
    message: Mapped[str] = mapped_column(CleanText)
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    # An alert that no alarm counts yet
    unnoticed: Mapped[bool] = mapped_column(default=False)
