"""The ground of every table: keys, identifiers, moments and texts, as both databases keep them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from sqlalchemy import (
    BigInteger,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, mapped_column

from dicom_io.cleaned import cleaned

# 32 bits are used up by some months of a large site's slices. Foreign keys have the type of what
# they refer to; SQLite's integers have 64 bits, and it numbers the rows of INTEGER keys only
Key = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)]
# PS3.5 9.1 ends at 64; archives take a few more. SQLite keeps to no length, and to its first tables
UID = String(70).with_variant(String(64), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python, whatever the database keeps."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text for a person, which may quote something from outside; PostgreSQL takes no NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else cleaned(value)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def index_where(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Make an index of some rows; used where the same condition stands in a query as literals.

    Parameters
    ----------
    name : str
        Of the index.
    columns : str
        What it is sorted by.
    where : str
        The condition, in SQL.
    unique : bool
        Whether no two of these rows may have equal columns.
    """
    rows = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=rows, postgresql_where=rows)
