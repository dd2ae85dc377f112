"""Stands for pipeline and engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset

from plugin.drafting.writing.confidence import Confidence
from plugin.drafting.writing.heat import Heat
from tests.plugin.intake_objects import make_slice, new_uid


@dataclass(frozen=True)
class Drafted:
    sr: Dataset
    selected_digest: str = "d" * 64
    series_instance_uid: str = "1.2.7"
    state: str = "complete"
    selection: tuple[str, ...] = ("read series 2",)
    lacks: tuple[str, ...] = ()
    embedding: bytes = b""
    heat: tuple[Heat, ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    beside: tuple[Dataset, ...] = ()


@dataclass
class Model:
    """Keeps what it was asked, and answers or fails as a test says."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    digest: str = "d" * 64
    meanwhile: Callable[[], object] = lambda: None

    def report(self, paths: Any, *, unless: str | None, **what: Any) -> Drafted | None:
        if unless == self.digest:
            return None
        self.calls.append({"paths": list(paths), **what})
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return Drafted(make_slice(new_uid()), self.digest)
