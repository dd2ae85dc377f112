"""Who may open the reading room, who has it open, and which programs may ask it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, UtcDateTime


class Person(Base):
    """A user of the reading room."""

    __tablename__ = "people"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    display_name: Mapped[str] = mapped_column(String(128))
    roles: Mapped[list[str]] = mapped_column(JSON)
    # Argon2id in the PHC format, which names its own cost
    password: Mapped[str] = mapped_column(Text)
    # Whom a directory calls so, as `directory|subject`; None for who is known here only
    subject: Mapped[str | None] = mapped_column(String(320), unique=True, index=True)
    # Of the pages; None where the browser's holds
    language: Mapped[str | None] = mapped_column(String(8))
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SignIn(Base):
    """An open session of a browser; it ends when its person does."""

    __tablename__ = "sign_ins"

    # SHA-256 of the cookie: who reads the database cannot sign in with it
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_name: Mapped[str] = mapped_column(
        ForeignKey("people.name", ondelete="CASCADE"), index=True
    )
    csrf: Mapped[str] = mapped_column(String(64))
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime] = mapped_column(UtcDateTime)

    person: Mapped[Person] = relationship()


class ApiToken(Base):
    """A program that may ask, such as a viewer."""

    __tablename__ = "api_tokens"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    # SHA-256 of the token, which is shown once and kept nowhere
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    made_by: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
