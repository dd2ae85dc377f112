"""The models that rules name beside the service's own: each is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack

from plugin.drafting.writing.parts import MakeReport

Opening = Callable[[str], AbstractContextManager[MakeReport]]


class NamedModels:
    """Pipelines by the names of their models; they stay open until `close`.

    Parameters
    ----------
    opening : callable
        Opens the pipeline of a model; raises `EngineError` where there is none of that name.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._open: dict[str, tuple[MakeReport, ExitStack]] = {}

    def named(self, name: str) -> MakeReport:
        """Return the pipeline of a model, which is loaded now if it was not before."""
        if name not in self._open:
            stack = ExitStack()
            self._open[name] = stack.enter_context(self._opening(name)), stack
        return self._open[name][0]

    def forget(self, names: Collection[str]) -> None:
        """Close models whose tables in the settings were changed."""
        for name in set(names) & set(self._open):
            self._open.pop(name)[1].close()

    def close(self) -> None:
        self.forget(list(self._open))
