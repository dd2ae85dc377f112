"""A number and its noun, as a sentence takes them: 1 draft, 2 drafts."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """Say how many there are.

    Parameters
    ----------
    count : int
        How many.
    one : str
        What one of them is called.
    many : str, optional
        What several are called; by default the same with an s.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"
