"""What is wrong with a settings file, in a line: which table, which key, and where."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from plugin.rules.problems import ConditionError

_PLAIN = {
    "extra_forbidden": "no such key",
    "missing": "is missing",
    "union_tag_invalid": "kind: must be one of {expected_tags}",
    "union_tag_not_found": "kind: is missing",
}
"""What Pydantic calls a problem, and what a person is told."""

# Lists of tables with names: what follows in a location is the number of the table, and for
# destinations their kind once that is known
_NAMED = {"destinations": ("destination", 3), "models": ("model", 2), "rules": ("rule", 2)}


def first_problem(error: ValidationError, tables: dict[str, Any], text: str) -> str:
    """Say what is wrong first.

    Parameters
    ----------
    error : ValidationError
        Of the settings.
    tables : dict
        The file's tables.
    text : str
        The file.
    """
    problem = error.errors(include_input=False, include_url=False)[0]
    context = problem.get("ctx", {})
    plain = _PLAIN.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    said = plain.format(**context) if problem["type"] in _PLAIN else plain
    where, loc = "", problem["loc"]
    if len(loc) > 1 and loc[0] in _NAMED:
        what, used = _NAMED[str(loc[0])]
        table = tables[str(loc[0])][loc[1]]
        where, loc = f"{what} {_name_of(table, loc[1])}: ", loc[used:]
        if isinstance(fault := context.get("error"), ConditionError):
            said = f"{_place(text, str(table['when']), fault.offset)}: {said}"
    key = ".".join(str(part) for part in loc)
    return where + (f"{key}: {said}" if key else said)


def _name_of(table: Any, index: int | str) -> str:
    named = isinstance(table, dict) and table.get("name")
    return str(named or f"number {int(index) + 1}")


def _place(text: str, condition: str, offset: int) -> str:
    """Name line and column in the file, or only in the condition where it is written otherwise."""
    begins = text.find(condition) if condition else -1
    if begins < 0:
        return f"character {offset + 1}"
    before = text[: begins + offset]
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
