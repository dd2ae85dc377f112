"""One line of `ctscribe model tables`, and whether it agrees with the paper."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizes.cost import Cost

UNITS = {"M": 1e6, "G": 1e9, "B": 1e9}


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Parameters
    ----------
    table, name : str
    cost : Cost
        What was counted.
    paper_parameters, paper_operations : str
        As the paper prints them, such as "47.22 M" and "6.14 G"; "" where it prints none.
    note : str
        What the paper must have counted, where it is not this.
    """

    table: str
    name: str
    cost: Cost
    paper_parameters: str = ""
    paper_operations: str = ""
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether these counts, rounded as the paper's, are the paper's.

        The paper's FLOPs are what fvcore counts: multiply-adds and normalisations.
        """
        return _rounds_to(self.cost.parameters, self.paper_parameters) and _rounds_to(
            self.cost.with_normalisations, self.paper_operations
        )


def _rounds_to(count: int, printed: str) -> bool:
    if not printed:
        return True
    number, unit = printed.split()
    decimals = len(number.partition(".")[2])
    return f"{count / UNITS[unit]:.{decimals}f}" == number
