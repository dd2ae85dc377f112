"""Conditions: expressions of the library `rule-engine`, checked when the settings are read.

Names and types are known beforehand, so that a misspelt name, a text compared with a number and a
broken pattern are found then, with their place, and not at night with the first study.
"""

from __future__ import annotations

import decimal
import re
from functools import cached_property
from typing import Any

import rule_engine
from rule_engine import DataType
from rule_engine.errors import (
    AttributeResolutionError,
    EngineError,
    RegexSyntaxError,
    SymbolResolutionError,
)

from plugin.rules.facts import Facts, alike, kind_of

_TYPES = {float: DataType.FLOAT, str: DataType.STRING, bool: DataType.BOOLEAN}
# Where an operand that is wrong by itself may begin and end
_JOINT = r"\b(?:and|or|not)\b"
_OPERAND = re.compile(rf"{_JOINT}|((?:(?!{_JOINT})[^()])+)")


class ConditionError(ValueError):
    """A condition that cannot be used.

    Parameters
    ----------
    problem : str
        What is wrong, for a person.
    offset : int
        Where in the condition, in characters from its beginning.
    """

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(problem)
        self.offset = offset


class Undecided(Exception):
    """A condition that met a value for which it has no answer; it does not hold."""


class Condition:
    """An expression that holds for a series or does not.

    Parameters
    ----------
    text : str
        The expression.

    Raises
    ------
    ConditionError
        It cannot be read, uses an unknown name, or is no yes or no.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._rule = _compiled(text)
        if self._rule.statement.expression.result_type is not DataType.BOOLEAN:
            raise ConditionError("the condition is a value, not a yes or no", 0)

    def holds(self, facts: Facts) -> bool:
        """Whether it holds for a series.

        Raises
        ------
        Undecided
            Its value cannot be computed, as the first letter of an empty text.
        """
        try:
            return bool(self._rule.matches(facts))
        except (EngineError, ArithmeticError) as error:
            raise Undecided(f"no answer ({type(error).__name__})") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that it asks for, sorted."""
        return tuple(sorted(self._rule.context.symbols))


def _compiled(text: str) -> rule_engine.Rule:
    try:
        return rule_engine.Rule(text, context=_context())
    except SymbolResolutionError as error:
        raise ConditionError(_unknown(error.symbol_name), _place(text, error.symbol_name)) from None
    except AttributeResolutionError as error:
        name = str(error.attribute_name)
        hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
        raise ConditionError(f"no such property: {name}{hint}", _place(text, name)) from None
    except RegexSyntaxError as error:
        problem = f"not a regular expression: {error.error}"
        raise ConditionError(problem, max(0, text.find(error.value))) from None
    except rule_engine.RuleSyntaxError as error:
        offset = len(text) if error.token is None else error.token.lexpos
        what = "it ends too early" if error.token is None else "not expected here"
        raise ConditionError(f"not an expression: {what}", offset) from None
    except (EngineError, ArithmeticError) as error:
        raise ConditionError(_plain(error), _wrong_operand(text)) from None


def _context() -> rule_engine.Context:
    """One for each condition, as it collects the names; numbers that are absent raise nothing."""
    return rule_engine.Context(
        regex_flags=re.IGNORECASE,
        resolver=lambda facts, name: facts[name],
        type_resolver=_type_of,
        decimal_context=decimal.Context(traps=[]),
        mapping_attribute_lookup=False,
    )


def _type_of(name: str) -> Any:
    kind = kind_of(name)
    if kind is None:
        raise SymbolResolutionError(name)
    return _TYPES[kind]


def _unknown(name: str) -> str:
    meant = alike(name)
    return f"unknown name: {name}" + (f"; did you mean {meant}?" if meant else "")


def _plain(error: Exception) -> str:
    said = str(error)
    return "a text and a number do not go together" if "type mismatch" in said else said


def _place(text: str, name: str) -> int:
    found = re.search(rf"\b{re.escape(name)}\b", text)
    return found.start() if found else 0


def _wrong_operand(text: str) -> int:
    """Find the first operand of `and` and `or` that is wrong by itself."""
    for operand in _OPERAND.finditer(text):
        inner = operand.group(1) or ""
        try:
            rule_engine.Rule(inner, context=_context())
        except rule_engine.RuleSyntaxError:
            continue  # a fragment
        except (EngineError, ArithmeticError):
            return operand.start() + len(inner) - len(inner.lstrip())
    return 0
