"""Conditions: expressions of the library `rule-engine`, checked when the settings are read.

Names and types are known beforehand, so that a misspelt name, a text compared with a number and a
broken pattern are found then, with their place, and not at night with the first study.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import rule_engine
from rule_engine import DataType, ast
from rule_engine.errors import (
    AttributeResolutionError,
    EngineError,
    RegexSyntaxError,
    SymbolResolutionError,
)

from plugin.rules.facts import Facts, alike, kind_of
from plugin.rules.patterns import can_take_for_ever
from plugin.rules.problems import ConditionError, Undecided

_TYPES = {float: DataType.FLOAT, str: DataType.STRING, bool: DataType.BOOLEAN}
# Where the library keeps the operands of each kind of expression
_PARTS = (
    *("left", "right", "condition", "case_true", "case_false", "object", "container", "item"),
    *("member", "start", "stop", "function", "arguments", "iterable", "result", "value"),
)
_TWO_KINDS = "a text and a number do not go together"
# Where an operand that is wrong by itself may begin and end
_JOINT = r"\b(?:and|or|not)\b"
_OPERAND = re.compile(rf"{_JOINT}|((?:(?!{_JOINT})[^()])+)")


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
        _refuse_traps(text, self._rule.statement.expression)
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


def _refuse_traps(text: str, expression: Any) -> None:
    """Refuse what the library takes, and nobody can mean.

    Raises
    ------
    ConditionError
        A text is said to equal a number, which is never true; or a pattern can take for ever.
    """
    for part in _parts(expression):
        if isinstance(part, ast.FuzzyComparisonExpression):
            _refuse_endless(text, part.right)
        elif isinstance(part, ast.ComparisonExpression):
            _refuse_two_kinds(text, part.left, part.right, part.right.result_type)
        elif isinstance(part, ast.ContainsExpression):
            members = getattr(part.container.result_type, "value_type", None)
            _refuse_two_kinds(text, part.member, part.container, members)


def _refuse_two_kinds(text: str, one: Any, other: Any, kind: Any) -> None:
    """Refuse to compare `one` with `other`, of that `kind`, where nothing can be equal."""
    kinds = {one.result_type, kind}
    if len(kinds) > 1 and kinds <= set(_TYPES.values()):
        names = [operand.name for operand in (one, other) if hasattr(operand, "name")]
        raise ConditionError(_TWO_KINDS, _place(text, names[0]) if names else 0)


def _parts(expression: Any) -> Iterator[Any]:
    yield expression
    for name in _PARTS:
        inner = getattr(expression, name, None)
        for part in inner if isinstance(inner, tuple | list) else (inner,):
            if isinstance(part, ast.ExpressionBase):
                yield from _parts(part)


def _refuse_endless(text: str, pattern: Any) -> None:
    """Refuse a pattern that on some texts has more ways to try than there is time.

    Only patterns that stand in the condition are looked at; a header's value is never one.
    """
    if not isinstance(pattern, ast.StringExpression):
        raise ConditionError("a pattern must be written out, in quotes", 0)
    if can_take_for_ever(pattern.value):
        raise ConditionError(
            f"the pattern {pattern.value} repeats what can be read in several ways, which can take "
            "for ever",
            max(0, text.find(pattern.value)),
        )


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
    return _TWO_KINDS if "type mismatch" in said else said


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
