"""What may be wrong with a condition.

Apart from `condition`, whose library takes half a second to load: only rules need that one.
"""

from __future__ import annotations


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
