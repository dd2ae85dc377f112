"""Statements of every slice: their text is made once; to make it takes longer than to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, Connection, CursorResult
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

Convert = Callable[[Any], Any] | None


@dataclass(frozen=True)
class _Text:
    """A statement for one kind of database."""

    sql: str
    order: list[str] | None
    """Names of the parameters, if they go by position."""
    constants: dict[str, Any]
    converters: dict[str, Convert]
    """How values become the driver's."""


class Prepared:
    """A statement that is run again and again, with results of types that need no conversion.

    Parameters
    ----------
    statement : ClauseElement
        Its parameters are `bindparam`s, or the columns of an insert; the rest of it is constant.
    columns : sequence of str, optional
        Which columns an insert writes.
    suffix : str
        What stands after it.
    """

    def __init__(
        self, statement: ClauseElement, columns: Sequence[str] | None = None, suffix: str = ""
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._suffix = suffix
        self._texts: dict[str, _Text] = {}

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run it.

        Parameters
        ----------
        connection : Connection
            In a transaction.
        values : mapping of str to object
            A value for every parameter.
        """
        return connection.exec_driver_sql(*self.ready(connection.dialect, values))

    def ready(self, dialect: Dialect, values: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the text for a driver, and the values as it takes them."""
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = self._compile(dialect)
        values = {**text.constants, **values}
        ready = {
            name: values[name] if convert is None else convert(values[name])
            for name, convert in text.converters.items()
        }
        if text.order is None:
            return text.sql, ready
        return text.sql, tuple([ready[name] for name in text.order])

    def _compile(self, dialect: Dialect) -> _Text:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)
        assert isinstance(compiled, SQLCompiler)
        converters: dict[str, Convert] = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for bind, name in compiled.bind_names.items()
        }
        sql = compiled.string + self._suffix
        return _Text(sql, compiled.positiontup, dict(compiled.params), converters)
